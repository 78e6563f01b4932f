package shadow

import (
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// Promote makes the ring one of a leader and says what it has to append after its epoch batch, in the order in which this
// replica learnt of it. The messages wait until they are Appended; if their replica is deposed before, they wait on.
//
// The ring of a leader works on: what it hears waits until the leader has appended it, what arrives late for a record of
// the leader before is recognised, and what does not fit is lost and reported by Tick.
func (r *Ring) Promote(now int64) Recovery {
	if !r.leading {
		r.leading, r.promoted = true, now
		if now < r.judgesFrom {
			r.judgesFrom = now + r.options.WindowNanos
		}
	}
	if mutant("shadow-early-zeroed") {
		for r.early.head != nil {
			r.remove(r.early.head)
		}
	}
	var recovery Recovery
	var records []*item
	given := map[Fingerprint]bool{}
	for it := r.waiting.head; it != nil; {
		next := it.links[inState].next
		switch {
		case it.lost != 0:
		case r.refuses(it):
			recovery.Refused = append(recovery.Refused, it.refusedAcks()...)
			r.remove(it)
			r.missRefused(it)
		default:
			records = append(records, it)
		}
		it = next
	}
	slices.SortFunc(records, func(x, y *item) int {
		if x.before(y) {
			return -1
		}
		return 1
	})
	for _, it := range records {
		if it.id != (Fingerprint{}) && given[it.id] {
			continue // ends to wait when the one before it is appended
		}
		given[it.id] = true
		recovery.Records = append(recovery.Records, it.record)
	}
	for _, report := range r.takeMissing() {
		recovery.Gaps = append(recovery.Gaps, report.Gap())
	}
	if mutant("shadow-incomplete-forgotten") {
		recovery.Gaps = nil
	}
	return recovery
}

func (r *Ring) refuses(it *item) bool {
	return r.options.Refuse != nil && r.options.Refuse(it.record, it.id) && !mutant("shadow-refused-recovered")
}

// missRefused makes a gap of unknown count for a message that was accepted once, when it was heard or by a leader whose
// record of it was cut, and is not any more.
func (r *Ring) missRefused(it *item) {
	cause := r.emptied
	if cause == 0 {
		cause = batch.GapPaused
	}
	r.miss(missing{cause: cause, from: it.earliest(), to: it.learnt, heard: true})
}

func (it *item) refusedAcks() [][]byte {
	var acks [][]byte
	if len(it.ack) > 0 {
		acks = append(acks, it.ack)
	}
	for _, d := range it.dups {
		acks = append(acks, d.ack)
	}
	return acks
}

// Follow says that another broker leads from now on, in a new leader epoch. It has a whole window for what waits here.
func (r *Ring) Follow(_ int64) {
	r.leading = false
	if !mutant("shadow-window-not-restarted") {
		r.followed = r.progress
	}
}

// longestStep bounds, as a part of the window, what one Tick can add to a leader's progress.
const longestStep = 4

// Tick is called a few times in a window. LeaderProgressed says that since the last Tick another broker that leads was
// shown to have appended all that it had heard at some moment after that Tick, and that this replica has appended it too.
//
// It returns messages that a leader had a window's time to append and did not: the ring forgets them and its owner
// reports them. On a leader: what did not fit.
func (r *Ring) Tick(now int64, leaderProgressed bool) []Report {
	var step int64
	if r.ticked != 0 {
		step = min(max(now-r.ticked, 0), r.options.WindowNanos/longestStep)
	}
	r.ticked = now
	r.expireEarly(now)
	if leaderProgressed {
		if r.leading {
			r.Follow(now)
		}
		r.progress += step
	} else if mutant("shadow-leaderless-time-counts") {
		r.progress += step
	}
	switch {
	case r.leading:
		return r.takeMissing()
	case leaderProgressed:
		return r.overdue()
	default:
		return nil
	}
}

func (r *Ring) expireEarly(now int64) {
	for it := r.early.head; it != nil && it.dies <= now; it = r.early.head {
		r.unlink(it)
		it.unheard, it.state = false, matched
		if it.needless() || it.seq < r.committed {
			r.free(it)
			continue
		}
		r.link(it)
	}
}

// hadTime says whether the leader had so many windows since then. The step in which it began does not count.
func (r *Ring) hadTime(since, windows int64) bool {
	return r.progress-max(since, r.followed) > windows*r.options.WindowNanos+r.options.WindowNanos/longestStep
}

// overdue takes out what a leader had the time to append.
func (r *Ring) overdue() []Report {
	var elsewhere tally
	for it := r.waiting.head; it != nil; it = r.waiting.head {
		if !r.hadTime(it.since, 1) {
			break
		}
		switch it.lost {
		case 0, batch.GapRingOverflow:
			elsewhere.add(batch.GapHeardElsewhere, it)
		case refusedHere:
		default: // the leader may have refused it
			elsewhere.merge(Report{Cause: it.lost, First: it.earliest(), Last: it.learnt})
		}
		r.remove(it)
	}
	if mutant("shadow-report-without-gap") {
		elsewhere = nil
	}
	return append(elsewhere.reports(), r.expireMissing()...)
}

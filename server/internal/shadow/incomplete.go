package shadow

import (
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// missing is a time in which this replica may have missed messages, or lost them without knowing which.
type missing struct {
	cause    batch.GapCause
	from, to int64
	atLeast  uint64
	counted  bool
	heard    bool  // something was heard here and is not known any more
	since    int64 // as of an item
}

// Incomplete says that messages that arrived between from and to were missed here: all of them for the causes that mean
// that this replica heard nothing (disconnected, restart, paused), else some. AtLeast is how many, if counted.
//
// After a time without hearing nothing that was published before its end arrives any more, so records of that time and
// before stop expecting their message.
func (r *Ring) Incomplete(cause batch.GapCause, from, to int64, atLeast uint64, counted bool) {
	switch cause {
	case batch.GapNATSDisconnected, batch.GapRestart, batch.GapPaused:
		r.heardNothingUntil(to)
	default:
	}
	r.miss(missing{cause: cause, from: from, to: to, atLeast: atLeast, counted: counted})
}

func (r *Ring) heardNothingUntil(to int64) {
	r.hearsFrom = max(r.hearsFrom, to)
	if mutant("shadow-early-during-absence") {
		return
	}
	for it := r.early.head; it != nil; {
		next := it.links[inState].next
		if it.dies-r.options.WindowNanos <= to {
			it.dies = min(it.dies, to)
		}
		it = next
	}
	for it := r.waiting.head; it != nil; it = it.links[inState].next {
		if it.unheard && it.dies-r.options.WindowNanos <= to {
			it.dies = min(it.dies, to)
		}
	}
}

// miss adds to what is known of the cause.
func (r *Ring) miss(m missing) {
	m.since = r.progress
	for i := range r.missing {
		if known := &r.missing[i]; known.cause == m.cause {
			m.from, m.to = min(m.from, known.from), max(m.to, known.to)
			m.atLeast += known.atLeast
			m.counted, m.heard = m.counted && known.counted, m.heard || known.heard
			*known = m
			return
		}
	}
	r.missing = append(r.missing, m)
}

// Empty drops what waits, because a setting that Refuse reads has changed or because capture ends: what was heard before
// can no longer be judged as its leader judged it (protocol.md 2.5). The ring is incomplete from the first of them to now.
// What is in the log stays: it is acknowledged when it commits, and its messages may still arrive.
//
// For a window from now on nothing that is heard is kept either, unless this replica has led for a window: another leader
// that had not applied the change may have refused it, and must not be made a liar.
func (r *Ring) Empty(cause batch.GapCause, now int64) {
	from := now
	for it, last := r.waiting.head, r.waiting.tail; it != nil; {
		next, done := it.links[inState].next, it == last
		from = min(from, it.earliest())
		if it.lost == 0 {
			r.remove(it)
			r.lose(it, cause)
		}
		if done {
			break
		}
		it = next
	}
	r.emptied, r.emptiedAt = cause, now
	if r.leading {
		r.judgesFrom = max(r.judgesFrom, r.promoted+r.options.WindowNanos)
	} else {
		r.judgesFrom = now + r.options.WindowNanos
	}
	r.miss(missing{cause: cause, from: from, to: now})
}

// takeMissing takes out all that is known for lost, at most one report of a cause.
func (r *Ring) takeMissing() []Report {
	var lost tally
	for it := r.waiting.head; it != nil; {
		next := it.links[inState].next
		if it.lost != 0 {
			if it.lost != refusedHere {
				lost.add(it.lost, it)
			}
			r.remove(it)
		}
		it = next
	}
	for i := range r.missing {
		lost.merge(r.missing[i].report())
	}
	r.missing = nil
	return lost.reports()
}

// missingLasts is for how many windows it matters what was missed: one until a leader that heard it has appended it, one
// more in which a record that was missed here may be taken for another that looks like it.
const missingLasts = 2

// expireMissing forgets what a leader had the time to make good. If messages were heard here and nothing else is known of
// them any more, that is reported.
func (r *Ring) expireMissing() []Report {
	var reports []Report
	r.missing = slices.DeleteFunc(r.missing, func(m missing) bool {
		if !r.hadTime(m.since, missingLasts) {
			return false
		}
		if m.heard {
			reports = append(reports, m.report())
		}
		return true
	})
	return reports
}

func (m *missing) report() Report {
	return Report{Cause: m.cause, First: m.from, Last: m.to, Count: m.atLeast, Counted: m.counted}
}

// tally sums up what was lost, by cause.
type tally []Report

func (t *tally) add(cause batch.GapCause, it *item) {
	t.merge(Report{Cause: cause, First: it.earliest(), Last: it.learnt, Count: 1, Counted: true})
}

func (t *tally) merge(report Report) {
	for i := range *t {
		if known := &(*t)[i]; known.Cause == report.Cause {
			known.First, known.Last = min(known.First, report.First), max(known.Last, report.Last)
			known.Count += report.Count
			known.Counted = known.Counted && report.Counted
			return
		}
	}
	*t = append(*t, report)
}

func (t *tally) reports() []Report { return *t }

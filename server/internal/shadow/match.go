package shadow

import (
	"math"
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// Appended takes a captured record that was appended to this replica's log, by itself when it leads: in order of the log,
// each once. The record is the message that has been waiting longest of those that look like it; the ring then needs its
// bytes no more, and keeps its acknowledgement until the commit position passes. Without such a message it is early.
func (r *Ring) Appended(a Captured, now int64) {
	it := r.oldestWaiting(&a)
	switch {
	case it != nil:
		r.unlink(it)
		r.resize(it, func() { it.record, it.lost = nil, 0 })
		it.seq, it.offset = a.Seq, a.Offset
		r.delays.note(a.Seq, a.AppendTime-it.earliest())
		it.state = matched
		if it.unheard && it.dies > now {
			it.state = early
		}
		if mutant("shadow-release-on-match") {
			r.free(it)
			return
		}
	case r.mayArrive(&a, now) && r.fits(overhead, true):
		it = r.newItem(a.Fingerprint, a.ID, min(a.AppendTime, now))
		it.fromLog = !mutant("shadow-cut-time-bounds")
		it.seq, it.offset, it.state = a.Seq, a.Offset, early
		it.unheard, it.dies = true, r.expectedUntil(&a, now)
		r.add(it)
		r.takeDuplicates(it)
		return
	case a.ID != Fingerprint{} && r.fits(overhead, true):
		it = r.newItem(a.Fingerprint, a.ID, min(a.AppendTime, now))
		it.fromLog = !mutant("shadow-cut-time-bounds")
		it.seq, it.offset, it.state = a.Seq, a.Offset, matched
		r.add(it)
		r.takeDuplicates(it)
		return
	default:
		if r.mayArrive(&a, now) {
			r.blindUntil = max(r.blindUntil, r.expectedUntil(&a, now))
		}
		return
	}
	r.link(it)
	r.takeDuplicates(it)
	if it.state == matched && it.needless() {
		r.remove(it)
	}
}

// oldestWaiting finds the message that the record is of. A message that was heard here long after the record was appended
// is another one, however much they look alike: so is any message for a record from before this replica listened.
func (r *Ring) oldestWaiting(a *Captured) *item {
	t := r.twins[a.Fingerprint]
	if t == nil {
		return nil
	}
	heard := t.heard.head
	if mutant("shadow-match-newest") {
		heard = t.heard.tail
	}
	if heard != nil && !r.mayBe(a, heard) && !mutant("shadow-old-record-matches") {
		heard = nil
	}
	return oldest(oldest(heard, t.cut.head), t.unheard.head)
}

// mayBe says whether the record can be of a message that was heard at a time that is known.
func (r *Ring) mayBe(a *Captured, heard *item) bool {
	fromBefore := a.AppendTime < r.hearsFrom && heard.learnt >= r.hearsFrom
	return !fromBefore && a.AppendTime >= heard.learnt-r.options.WindowNanos
}

func oldest(x, y *item) *item {
	if y == nil || x != nil && x.before(y) {
		return x
	}
	return y
}

// mayArrive says whether NATS may still bring the message of a record that no message here matches.
func (r *Ring) mayArrive(a *Captured, now int64) bool {
	if a.AppendTime < r.hearsFrom && !mutant("shadow-early-during-absence") {
		return false
	}
	return a.AppendTime > now-r.options.WindowNanos
}

func (r *Ring) expectedUntil(a *Captured, now int64) int64 {
	if mutant("shadow-early-immortal") {
		return math.MaxInt64
	}
	return min(a.AppendTime, now) + r.options.WindowNanos
}

// takeDuplicates ends the waiting of other messages with the record's id: they will not be appended any more, and are
// acknowledged as its duplicates.
func (r *Ring) takeDuplicates(it *item) {
	if it.id == (Fingerprint{}) || mutant("shadow-id-kept") {
		return
	}
	for other := r.ids[it.id].head; other != nil; {
		next := other.links[inID].next
		if other != it && other.state == waiting {
			r.remove(other)
			for _, d := range other.dups {
				r.addDuplicate(it, d)
			}
			r.addDuplicate(it, duplicate{other.fingerprint, other.ack, other.learnt})
		}
		other = next
	}
}

// Committed says that the batches before seq are committed. It returns each message that was heard here and wants an
// acknowledgement, once.
func (r *Ring) Committed(seq uint64) []Settled {
	r.committed = max(r.committed, seq)
	r.delays.committed(r.committed)
	settled := r.late
	r.late = nil
	for it := r.matched.head; it != nil && it.seq < r.committed; it = r.matched.head {
		settled = append(settled, it.settled()...)
		r.remove(it)
	}
	if r.duplicate == 0 {
		return settled
	}
	for it := r.early.head; it != nil && it.seq < r.committed; it = it.links[inState].next {
		if len(it.dups) > 0 {
			settled = append(settled, it.settled()...)
			r.duplicate--
			r.resize(it, func() { it.dups = nil })
		}
	}
	return settled
}

// settled is what is to be acknowledged once the record of it is committed.
func (it *item) settled() []Settled {
	var all []Settled
	if len(it.ack) > 0 {
		all = append(all, Settled{
			Fingerprint: it.fingerprint, Ack: it.ack, Heard: it.learnt, Seq: it.seq, Offset: it.offset,
		})
	}
	for _, d := range it.dups {
		all = append(all, Settled{
			Fingerprint: d.fingerprint, Ack: d.ack, Heard: d.heard, Seq: it.seq, Offset: it.offset, Duplicate: true,
		})
	}
	return all
}

// Truncated says that this replica, which follows, cuts the batches from seq on: cut are all captured records in them, in
// order. They wait again, for a whole window. One that the ring knows nothing of counts as heard: its message came and
// went, or cannot come any more. One from before settings changed loses its bytes, as all did that waited then: see Empty.
func (r *Ring) Truncated(seq uint64, cut []CutRecord, _ int64) {
	r.leading = false
	r.committed = min(r.committed, seq)
	known, taken := r.takeLogged(seq)
	if mutant("shadow-cut-not-put-back") {
		return
	}
	var back []*item
	for i := range cut {
		it := r.uncut(&cut[i], known)
		if cut[i].Time < max(r.emptiedAt, r.judgesFrom) && !mutant("shadow-cut-escapes-empty") {
			r.lose(it, r.emptied)
			continue
		}
		if !r.fits(it.size(), false) {
			r.lose(it, batch.GapRingOverflow)
			continue
		}
		back = append(back, it)
		r.bytes += it.size()
	}
	r.delays.truncated(seq)
	for _, it := range slices.Backward(back) {
		r.bytes -= it.size()
		r.wait(it)
	}
	for _, it := range taken {
		if it.record == nil && it.lost == 0 && !it.unheard {
			r.lose(it, batch.GapRingOverflow)
		}
	}
}

// uncut is the item of a record that is cut.
func (r *Ring) uncut(c *CutRecord, known map[place][]*item) *item {
	var it *item
	if same := known[place{c.Seq, c.Fingerprint}]; len(same) > 0 {
		it, known[place{c.Seq, c.Fingerprint}] = same[0], same[1:]
	} else {
		it = r.newItem(c.Fingerprint, c.ID, c.Time)
		it.fromLog = !mutant("shadow-cut-time-bounds")
		if !mutant("shadow-delay-forgotten") {
			it.late = r.delays.longest(c.Seq)
		}
		if mutant("shadow-unknown-unheard") {
			it.unheard, it.dies = true, c.Time+10*r.options.WindowNanos
		}
	}
	it.state, it.record = waiting, c.Record
	return it
}

// place is where a captured record was in the log.
type place struct {
	seq         uint64
	fingerprint Fingerprint
}

// takeLogged takes the items out of the ring that are in the log from seq on, in order of the log.
func (r *Ring) takeLogged(seq uint64) (known map[place][]*item, taken []*item) {
	known = map[place][]*item{}
	for _, l := range []*list{&r.matched, &r.early} {
		from := l.tail
		for from != nil && from.links[inState].prev != nil && from.links[inState].prev.seq >= seq {
			from = from.links[inState].prev
		}
		for it := from; it != nil && it.seq >= seq; {
			next := it.links[inState].next
			r.remove(it)
			k := place{it.seq, it.fingerprint}
			known[k] = append(known[k], it)
			taken = append(taken, it)
			it = next
		}
	}
	return known, taken
}

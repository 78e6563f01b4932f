package shadow

import (
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// judge looks at what a history came to, long after its faults ended.
func (w *world) judge() {
	leader := w.replicas[w.leader]
	for _, r := range w.replicas {
		if !r.alive || len(r.log) != len(leader.log) || r.committed != len(leader.log) {
			w.fault("model: %d has %d batches, %d committed; its leader has %d", r.id, len(r.log), r.committed, len(leader.log))
		}
		if n := r.ring.Len(); n != 0 {
			w.fault("(d) %d messages wait on %d for ever", n, r.id)
		}
		if r.ring.Bytes() != 0 {
			w.fault("(d) the ring of %d keeps %d bytes for ever: %d early, %d matched, %d fingerprints, %d ids", r.id, r.ring.Bytes(),
				r.ring.early.length(), r.ring.matched.length(), len(r.ring.twins), len(r.ring.ids))
		}
		if r.gaps.Len() != 0 {
			w.fault("(a) %d gaps are never written by %d", r.gaps.Len(), r.id)
		}
	}
	l := w.read(leader)
	w.stats.stored, w.stats.gaps = l.count, len(l.gaps)
	w.judgeLosses(l)
	w.judgeDuplicates(l)
	w.judgeOrder(l)
	w.judgeAcks(l)
	if w.clean() && len(l.gaps) > 0 {
		w.fault("(f) %d gaps although nothing was missing, the first of them %+v", len(l.gaps), l.gaps[0])
	}
}

func (l *list) length() int {
	n := 0
	for it := l.head; it != nil; it = it.links[inState].next {
		n++
	}
	return n
}

// ledger is what a log says.
type ledger struct {
	count  int
	copies map[uint64]int // by content
	again  map[uint64]int // recovered ones among them
	byID   map[uint64]int
	first  map[uint64]int // place of the first copy of a message
	flag   map[uint64]bool
	gaps   []batch.Gap
}

func (w *world) read(r *replica) *ledger {
	l := &ledger{
		copies: map[uint64]int{}, again: map[uint64]int{}, byID: map[uint64]int{}, first: map[uint64]int{}, flag: map[uint64]bool{},
	}
	for i := range r.log {
		e := &r.log[i]
		if e.kind == batch.ControlGap {
			l.gaps = append(l.gaps, e.gap)
		}
		for _, s := range e.stored {
			l.count++
			l.copies[s.m.content]++
			if s.recovered {
				l.again[s.m.content]++
				w.stats.recovered++
			}
			if s.m.id != 0 {
				l.byID[s.m.id]++
			}
			if _, known := l.first[s.m.number]; !known {
				l.first[s.m.number], l.flag[s.m.number] = l.count, s.recovered
			}
		}
	}
	return l
}

// judgeLosses checks (a): a message that was heard by a replica that lives on, and which was not misled about messages
// that look like it, is in the log, or a gap stands for when it was heard.
func (w *world) judgeLosses(l *ledger) {
	granted := map[uint64][]*message{}
	var contents []uint64
	for _, m := range w.messages {
		if m.nacked && m.twice == 0 && m.late == 0 && l.copies[m.content] > 0 && m.content >= 100 {
			w.fault("S10: message %d was refused and is stored", m.number)
		}
		if !w.granted(m) || m.id != 0 && l.byID[m.id] > 0 {
			continue
		}
		if granted[m.content] == nil {
			contents = append(contents, m.content)
		}
		granted[m.content] = append(granted[m.content], m)
	}
	for _, c := range contents {
		lost := len(granted[c]) - l.copies[c]
		for _, m := range granted[c] {
			if lost > 0 && (w.explained(l, m) || c < 100 && l.explainsLater(m)) {
				lost--
			}
		}
		if lost > 0 {
			w.fault("(a) %d of content %d are lost without a gap: %d granted, %d stored, message %d", lost, c, len(granted[c]),
				l.copies[c], granted[c][0].number)
		}
	}
}

func (w *world) granted(m *message) bool {
	return slices.ContainsFunc(m.hearings, func(h hearing) bool {
		r := w.replicas[h.replica]
		return h.process == r.process && h.reached && !r.tainted[m.content]
	})
}

// explainsLater says whether a gap stands for a later message that looks like this one. Each record ends the waiting of the
// oldest, so the one that is left over in the end is the newest.
func (l *ledger) explainsLater(m *message) bool {
	return len(m.times) > 0 && slices.ContainsFunc(l.gaps, func(g batch.Gap) bool { return g.ToTime >= slices.Min(m.times) })
}

// explained says whether a gap stands for a message, or for one that says the same because it has its id.
func (w *world) explained(l *ledger, m *message) bool {
	return l.explains(m) || m.id != 0 && slices.ContainsFunc(w.messages, func(other *message) bool {
		return other.id == m.id && l.explains(other)
	})
}

// explains says whether a gap stands for a time at which someone heard the message. When it was appended is as good if
// someone heard it after that, but not when a leader recovered it long after all had heard it.
func (l *ledger) explains(m *message) bool {
	return slices.ContainsFunc(l.gaps, func(g batch.Gap) bool {
		within := func(t int64) bool { return g.FromTime <= t && t <= g.ToTime }
		return slices.ContainsFunc(m.times, within) || slices.ContainsFunc(m.appended, func(t int64) bool {
			return within(t) && slices.ContainsFunc(m.times, func(heard int64) bool { return heard >= t })
		})
	})
}

// judgeDuplicates checks (b).
func (w *world) judgeDuplicates(l *ledger) {
	published := map[uint64]int{}
	twice := map[uint64]int{}
	for _, m := range w.messages {
		published[m.content]++
		twice[m.content] += m.twice + m.late
	}
	for _, m := range w.messages {
		c := m.content
		excess := l.copies[c] - published[c] - twice[c]
		published[c] = 1 << 30 // judged
		if m.id != 0 && l.byID[m.id] > 1 {
			w.fault("(b) id %d is stored %d times", m.id, l.byID[m.id])
		}
		if w.overflow || w.clocks > 0 && (w.cuts || w.restarts) {
			excess -= l.again[c] // what was heard at once after an absence may seem to be newer than its record: MayBeStored
		}
		if excess > 0 {
			w.fault("(b) content %d is stored %d times too often, %d copies are recovered", c, excess, l.again[c])
		}
	}
}

// judgeOrder checks (e).
func (w *world) judgeOrder(l *ledger) {
	if w.slow || w.twice {
		return // NATS itself brings them out of order
	}
	last := map[int]*message{}
	for _, m := range w.messages {
		if m.content < 100 || m.id != 0 || m.missed || l.first[m.number] == 0 {
			continue
		}
		if before := last[m.publisher]; before != nil && l.first[before.number] > l.first[m.number] && !l.flag[before.number] {
			w.fault("(e) message %d stands behind message %d of the same publisher and is not marked recovered", before.number, m.number)
		}
		if before := last[m.publisher]; before == nil || l.first[before.number] < l.first[m.number] {
			last[m.publisher] = m
		}
	}
}

// judgeAcks checks the other half of (c): what was heard and is stored is acknowledged.
func (w *world) judgeAcks(l *ledger) {
	if !w.clean() {
		return
	}
	for _, m := range w.messages {
		for _, h := range m.hearings {
			if m.wantsAck && m.id == 0 && h.settled != 1 {
				w.fault("(c) message %d is settled %d times on %d", m.number, h.settled, h.replica)
			}
		}
	}
}

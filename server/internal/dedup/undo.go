package dedup

import (
	"cmp"
	"fmt"
	"slices"
)

// undo is what one Add changed.
type undo struct {
	seq uint64
	id  uint64

	created    bool      // the producer was not known
	before     *producer // what it was, if a new epoch or a long silence made its state begin anew
	displaced  item      // else the item that made room, if there were five
	full       bool
	beforeSeq  uint64
	beforeTime int64

	evicted *producer // the producer that made room
}

func (s *Producers) remember(u undo) {
	if u.seq <= s.floor {
		return
	}
	if s.undos.len() == maxUndos {
		s.floor = s.undos.popFront().seq
	}
	s.undos.push(u)
}

// Truncated undoes every Add of a batch with the sequence seq or a greater one: the state is what it was before them. If
// that is not possible, because seq was settled, the state was loaded later than that, or 65,536 batches of producers
// came after it, the error is ErrRebuild; producers with a batch that was cut are then unknown.
func (s *Producers) Truncated(seq uint64) error {
	if mutant("dedup-producer-truncation-keeps") {
		return nil
	}
	clear(s.answered)
	var touched bool
	for s.undos.len() > 0 && s.undos.back().seq >= seq {
		s.undo(s.undos.popBack())
		touched = true
	}
	if touched {
		s.sort()
	}
	for p := s.order.latest; p != nil && p.seq >= seq; p = s.order.latest {
		s.drop(p)
	}
	if seq <= s.floor {
		return fmt.Errorf("%w: the log was cut at seq %d, and what producers did up to seq %d cannot be undone",
			ErrRebuild, seq, s.floor)
	}
	return nil
}

func (s *Producers) undo(u undo) {
	p := s.known[u.id]
	switch {
	case u.created:
		s.drop(p)
	case u.before != nil:
		before := *u.before
		before.earlier, before.later = p.earlier, p.later
		*p = before
	default:
		p.n--
		if u.full && !mutant("dedup-displaced-lost") {
			copy(p.items[1:], p.items[:p.n])
			p.items[0] = u.displaced
			p.n++
		}
		p.seq, p.time = u.beforeSeq, u.beforeTime
	}
	if u.evicted != nil {
		s.known[u.evicted.id] = u.evicted
		s.order.push(u.evicted)
	}
}

// sort puts the producers back in order after an undo has changed which batch was the last of some.
func (s *Producers) sort() {
	all := make([]*producer, 0, len(s.known))
	for p := s.order.oldest; p != nil; p = p.later {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *producer) int { return cmp.Compare(a.seq, b.seq) })
	s.order = producerList{}
	for _, p := range all {
		s.order.push(p)
	}
}

// producerList has the producers in order of their last batch.
type producerList struct{ oldest, latest *producer }

func (l *producerList) push(p *producer) {
	p.earlier, p.later = l.latest, nil
	if l.latest != nil {
		l.latest.later = p
	} else {
		l.oldest = p
	}
	l.latest = p
}

func (l *producerList) remove(p *producer) {
	if p.earlier != nil {
		p.earlier.later = p.later
	} else {
		l.oldest = p.later
	}
	if p.later != nil {
		p.later.earlier = p.earlier
	} else {
		l.latest = p.earlier
	}
	p.earlier, p.later = nil, nil
}

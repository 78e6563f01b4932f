package dedup

import "time"

// What Producers keep unless told otherwise.
const (
	// DefaultIdleNanos is how long after its last batch a producer is remembered.
	DefaultIdleNanos = int64(24 * time.Hour)
	// DefaultMaxProducers is the number of producers that are remembered, about 200 bytes each.
	DefaultMaxProducers = 10_000

	remembered = 5       // batches a producer
	maxUndos   = 1 << 16 // uncommitted batches of producers that can be undone
)

// Producers holds where the idempotent producers of a partition stand: the epoch of each, and the last 5 batches that
// it stored. Sequences count a producer's batches from 0 in every epoch; after 2^32-1 comes 0.
type Producers struct {
	idle int64
	most int

	known map[uint64]*producer
	order producerList
	undos ring[undo]
	floor uint64 // nothing at or below can be undone
	// answered are sequences that the leader answered without storing a batch, since all ids in it were duplicates. They
	// are the leader's alone and lost with it.
	answered map[uint64]answered
}

// producer is the state of one. Its zero epoch is an epoch like any other.
type producer struct {
	id      uint64
	epoch   uint32
	n       int // of items
	items   [remembered]item
	seq     uint64 // of the last batch
	time    int64  // append time of the last batch
	earlier *producer
	later   *producer
}

// item is a batch that was stored.
type item struct {
	sequence uint32
	count    uint32
	offset   int64
}

type answered struct {
	epoch    uint32
	from, to uint32 // the sequences; to is exclusive
	time     int64
}

// Verdict is what Producers say of a batch.
type Verdict uint8

// Verdicts. Only a Fresh batch may be appended.
const (
	// Fresh is the batch that comes next.
	Fresh Verdict = iota + 1
	// Repeated was answered before. Its records, if any were stored, stand where they stood.
	Repeated
	// Gap comes after a batch that was never stored. Nothing of the producer's from the expected sequence on is in the log.
	Gap
	// Fenced comes from an epoch of the producer that a later one has ended.
	Fenced
	// Unknown is not the first of an epoch, and the producer is not known, or no longer: its state has aged out or made
	// room for others. Whether the batch was stored before cannot be said. The producer begins a new epoch at sequence 0.
	Unknown
	// Past was answered before, but so long ago that the answer is forgotten. Its outcome cannot be said.
	Past
)

// Standing is a verdict on a batch, with what belongs to it.
type Standing struct {
	Verdict  Verdict
	Offset   int64  // Repeated: of the first record; -1 if none was stored
	Count    uint32 // Repeated: records stored; 0 if all were duplicates
	Expected uint32 // Gap: the sequence that comes next
}

// NewProducers makes an empty state. Producers without a batch for idle nanoseconds of append time are forgotten, and of
// more than most producers the ones longest without a batch; 0 stands for the default.
func NewProducers(idle int64, most int) *Producers {
	if idle <= 0 {
		idle = DefaultIdleNanos
	}
	if most <= 0 {
		most = DefaultMaxProducers
	}
	return &Producers{idle: idle, most: most, known: map[uint64]*producer{}, answered: map[uint64]answered{}}
}

// Len is the number of producers held, aged ones included.
func (s *Producers) Len() int { return len(s.known) }

// Check says what a batch is that a producer sends: a pure question. The time is the append time that it would get.
func (s *Producers) Check(id uint64, epoch, sequence uint32, now int64) Standing {
	p := s.known[id]
	if p != nil && age(p.time, now) >= s.idle {
		p = nil
	}
	switch {
	case p == nil, epoch > p.epoch && !mutant("dedup-epoch-ignored"):
		return s.checkFirst(id, epoch, sequence, now, p != nil)
	case epoch < p.epoch && !mutant("dedup-epoch-ignored"):
		return Standing{Verdict: Fenced}
	}
	for _, stored := range p.items[:p.n] {
		if stored.sequence == sequence {
			return Standing{Verdict: Repeated, Offset: stored.offset, Count: stored.count}
		}
	}
	next, repeated := s.after(id, epoch, p.items[p.n-1].sequence+1, sequence, now)
	switch distance := int32(sequence - next); {
	case repeated, distance < 0 && (p.n < remembered || int32(sequence-p.items[0].sequence) > 0):
		// All that was stored since is known, and this was not.
		return Standing{Verdict: Repeated, Offset: -1}
	case distance == 0:
		return Standing{Verdict: Fresh}
	case distance < 0:
		return Standing{Verdict: Past}
	}
	if mutant("dedup-gap-accepted") {
		return Standing{Verdict: Fresh}
	}
	return Standing{Verdict: Gap, Expected: next}
}

// checkFirst judges the first batch of an epoch.
func (s *Producers) checkFirst(id uint64, epoch, sequence uint32, now int64, known bool) Standing {
	next, repeated := s.after(id, epoch, 0, sequence, now)
	switch {
	case repeated:
		return Standing{Verdict: Repeated, Offset: -1}
	case sequence == next:
		return Standing{Verdict: Fresh}
	case known || next > 0:
		return Standing{Verdict: Gap, Expected: next}
	}
	return Standing{Verdict: Unknown}
}

// after returns the sequence that follows those answered without storing anything, if they follow what is stored, and
// whether the sequence in question is one of them.
func (s *Producers) after(id uint64, epoch, next, sequence uint32, now int64) (follows uint32, repeated bool) {
	a, ok := s.answered[id]
	if !ok || a.epoch != epoch || a.from != next || age(a.time, now) >= s.idle {
		return next, false
	}
	return a.to, sequence-a.from < a.to-a.from
}

// Answered notes, on a leader, that a Fresh batch was answered without being stored, since all its records were duplicates:
// the next sequence is no gap. It is not in the log, so the next leader does not know of it; see DESIGN.md.
func (s *Producers) Answered(id uint64, epoch, sequence uint32, now int64) {
	if len(s.answered) >= s.most {
		clear(s.answered)
	}
	a, ok := s.answered[id]
	if !ok || a.epoch != epoch || a.to != sequence {
		a = answered{epoch: epoch, from: sequence}
	}
	a.to, a.time = sequence+1, now
	s.answered[id] = a
}

// Add remembers a batch that was stored, as it stands in the log: nothing is judged. Batches come in the order of the
// log. The producer 0 is none.
func (s *Producers) Add(b Batch) {
	if b.Producer == 0 {
		return
	}
	delete(s.answered, b.Producer)
	u := undo{seq: b.Seq, id: b.Producer}
	p := s.known[b.Producer]
	switch {
	case p == nil:
		p = &producer{id: b.Producer, epoch: b.ProducerEpoch}
		s.known[p.id] = p
		u.created = true
	case p.epoch != b.ProducerEpoch, age(p.time, b.Time) >= s.idle:
		before := *p
		u.before = &before
		s.order.remove(p)
		*p = producer{id: b.Producer, epoch: b.ProducerEpoch}
	default:
		u.displaced, u.beforeSeq, u.beforeTime = p.items[0], p.seq, p.time
		u.full = p.n == remembered
		s.order.remove(p)
	}
	p.add(item{sequence: b.ProducerSequence, count: b.Count, offset: b.BaseOffset})
	p.seq, p.time = b.Seq, b.Time
	s.order.push(p)
	if len(s.known) > s.most {
		u.evicted = s.order.oldest
		s.drop(u.evicted)
	}
	s.remember(u)
}

func (p *producer) add(stored item) {
	if p.n == remembered {
		copy(p.items[:], p.items[1:])
		p.n--
	}
	p.items[p.n] = stored
	p.n++
}

func (s *Producers) drop(p *producer) {
	s.order.remove(p)
	delete(s.known, p.id)
}

// Settled says that the batches up to seq, appended at the given time or later, are committed and will not be cut:
// producers that had been idle for too long by then are dropped.
func (s *Producers) Settled(seq uint64, time int64) {
	s.floor = max(s.floor, seq)
	for s.undos.len() > 0 && s.undos.front().seq <= seq {
		s.undos.popFront()
	}
	for p := s.order.oldest; p != nil && p.seq <= seq && age(p.time, time) >= s.idle; p = s.order.oldest {
		s.drop(p)
	}
}

package dedup_test

import (
	"errors"
	"math"
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// producerBatch is batch seq of a log in which each has one record, stored at second seq.
func producerBatch(seq, producer uint64, epoch, sequence uint32) dedup.Batch {
	return dedup.Batch{
		Seq: seq, Time: int64(seq) * second, BaseOffset: int64(seq) * 10, Count: 1,
		Producer: producer, ProducerEpoch: epoch, ProducerSequence: sequence,
	}
}

func wantStanding(t *testing.T, s *dedup.Producers, epoch, sequence uint32, now int64, want dedup.Standing) {
	t.Helper()
	if got := s.Check(9, epoch, sequence, now); got != want {
		t.Errorf("at %d batch %d of epoch %d is %+v, want %+v", now, sequence, epoch, got, want)
	}
}

// protocol.md §1.6: the leader keeps the last 5 sequences of a producer, answers a repeated one with its first offset
// and refuses a gap.
func TestLastFiveAreRepeatedAndGapsRefused(t *testing.T) {
	t.Parallel()
	s := dedup.NewProducers(1000*second, 0)
	wantStanding(t, s, 3, 1, 0, dedup.Standing{Verdict: dedup.Unknown})
	wantStanding(t, s, 3, 0, 0, dedup.Standing{Verdict: dedup.Fresh})
	for sequence := range uint32(7) {
		s.Add(producerBatch(1+uint64(sequence), 9, 3, sequence))
	}
	now := 8 * second
	for sequence := uint32(2); sequence < 7; sequence++ {
		wantStanding(t, s, 3, sequence, now, dedup.Standing{Verdict: dedup.Repeated, Offset: 10 + 10*int64(sequence), Count: 1})
	}
	wantStanding(t, s, 3, 7, now, dedup.Standing{Verdict: dedup.Fresh})
	wantStanding(t, s, 3, 8, now, dedup.Standing{Verdict: dedup.Gap, Expected: 7})
	wantStanding(t, s, 3, 1, now, dedup.Standing{Verdict: dedup.Past})
	wantStanding(t, s, 2, 7, now, dedup.Standing{Verdict: dedup.Fenced})
	wantStanding(t, s, 2, 0, now, dedup.Standing{Verdict: dedup.Fenced})
	wantStanding(t, s, 4, 7, now, dedup.Standing{Verdict: dedup.Gap, Expected: 0})
	wantStanding(t, s, 4, 0, now, dedup.Standing{Verdict: dedup.Fresh})
	s.Add(producerBatch(8, 9, 4, 0))
	wantStanding(t, s, 4, 0, now, dedup.Standing{Verdict: dedup.Repeated, Offset: 80, Count: 1})
	wantStanding(t, s, 3, 7, now, dedup.Standing{Verdict: dedup.Fenced})
}

func TestSequenceGoesRound(t *testing.T) {
	t.Parallel()
	s := dedup.NewProducers(1000*second, 0)
	for seq, sequence := range []uint32{math.MaxUint32 - 3, math.MaxUint32 - 2, math.MaxUint32 - 1, math.MaxUint32, 0} {
		s.Add(producerBatch(1+uint64(seq), 9, 3, sequence))
	}
	wantStanding(t, s, 3, math.MaxUint32, 0, dedup.Standing{Verdict: dedup.Repeated, Offset: 40, Count: 1})
	wantStanding(t, s, 3, 0, 0, dedup.Standing{Verdict: dedup.Repeated, Offset: 50, Count: 1})
	wantStanding(t, s, 3, 1, 0, dedup.Standing{Verdict: dedup.Fresh})
	wantStanding(t, s, 3, math.MaxUint32-4, 0, dedup.Standing{Verdict: dedup.Past})
	wantStanding(t, s, 3, 2, 0, dedup.Standing{Verdict: dedup.Gap, Expected: 1})
}

// A producer whose state has aged out is told so, and begins a new epoch at 0.
func TestIdleProducerAgesOut(t *testing.T) {
	t.Parallel()
	s := dedup.NewProducers(1000*second, 0)
	s.Add(producerBatch(1, 9, 3, 0))
	wantStanding(t, s, 3, 1, 1001*second-1, dedup.Standing{Verdict: dedup.Fresh})
	for range 2 {
		wantStanding(t, s, 3, 1, 1001*second, dedup.Standing{Verdict: dedup.Unknown})
		wantStanding(t, s, 4, 0, 1001*second, dedup.Standing{Verdict: dedup.Fresh})
		s.Settled(1, 1001*second)
	}
	if s.Len() != 0 {
		t.Errorf("%d producers are held after the only one aged out", s.Len())
	}
}

func TestProducersAreBounded(t *testing.T) {
	t.Parallel()
	s := dedup.NewProducers(1000*second, 2)
	s.Add(producerBatch(1, 9, 3, 0))
	s.Add(producerBatch(2, 8, 1, 0))
	s.Add(producerBatch(3, 9, 3, 1))
	s.Add(producerBatch(4, 7, 1, 0)) // 8 makes room
	wantStanding(t, s, 3, 2, 0, dedup.Standing{Verdict: dedup.Fresh})
	if got := s.Check(8, 1, 1, 0); got.Verdict != dedup.Unknown {
		t.Errorf("of three producers the one that wrote first is %+v, want it unknown", got)
	}
	if err := s.Truncated(4); err != nil {
		t.Error(err)
	}
	if got := s.Check(8, 1, 1, 0); got.Verdict != dedup.Fresh || s.Len() != 2 {
		t.Errorf("after the cut it is %+v among %d, want its next batch accepted", got, s.Len())
	}
}

// protocol.md §1.6: rebuilt as batches are appended; R10: what is at or above the cut is dropped. Item by item.
func TestProducerTruncationIsExact(t *testing.T) {
	t.Parallel()
	s := dedup.NewProducers(1000*second, 0)
	var states []string
	log := []dedup.Batch{}
	for i := range uint32(14) {
		b := producerBatch(uint64(i)+1, 9, 3+i/8, i%8) // a new epoch at the ninth
		if i == 13 {
			b.Time = 5000 * second // long after
		}
		log = append(log, b)
		states = append(states, standings(s))
		s.Add(b)
	}
	for i := len(log) - 1; i >= 0; i-- {
		if err := s.Truncated(log[i].Seq); err != nil {
			t.Fatal(err)
		}
		if got := standings(s); got != states[i] {
			t.Errorf("cut at seq %d it is\n%q, before that batch it was\n%q", log[i].Seq, got, states[i])
		}
	}
	s.Add(log[0])
	s.Settled(1, 0)
	if err := s.Truncated(1); !errors.Is(err, dedup.ErrRebuild) || s.Len() != 0 {
		t.Errorf("cutting what was settled gives %v and leaves %d, want ErrRebuild and none", err, s.Len())
	}
}

// standings is all that can be asked about producer 9.
func standings(s *dedup.Producers) (all string) {
	for epoch := range uint32(6) {
		for sequence := range uint32(10) {
			got := s.Check(9, epoch, sequence, 0)
			all += string(rune('a'+got.Verdict)) + string(rune('a'+got.Offset/10))
		}
	}
	return all
}

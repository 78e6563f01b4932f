package dedup_test

import (
	"reflect"
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// stored is a state in which batch 1 holds the messages 1 to 3 under the offsets 10 to 12, of producer 9.
func stored() *dedup.State {
	s := dedup.New(dedup.Options{})
	s.Append(dedup.Batch{Seq: 1, Time: second, BaseOffset: 10, Count: 3, Producer: 9, ProducerEpoch: 1},
		[]dedup.Stored{{Offset: 10, ID: number(1)}, {Offset: 11, ID: number(2)}, {Offset: 12, ID: number(3)}})
	return s
}

func offset(n int64) *int64 { return &n }

// protocol.md §1.6: a duplicate record is left out and the ack names it; §2.5: an expected offset is judged after that.
func TestDecide(t *testing.T) {
	t.Parallel()
	none := dedup.ID{}
	for name, c := range map[string]struct {
		request dedup.Request
		want    dedup.Decision
	}{
		"all new": {
			dedup.Request{IDs: []dedup.ID{number(4), none, number(5)}, Count: 3},
			dedup.Decision{Action: dedup.Store, BaseOffset: 13, Count: 3},
		},
		"no ids": {
			dedup.Request{Count: 3, ExpectedOffset: offset(13)},
			dedup.Decision{Action: dedup.Store, BaseOffset: 13, Count: 3},
		},
		"one of the window": {
			dedup.Request{IDs: []dedup.ID{none, number(2), number(4)}, Count: 3},
			dedup.Decision{Action: dedup.Store, BaseOffset: 13, Count: 2, Duplicates: []dedup.Duplicate{{Index: 1, Offset: 11}}},
		},
		"twins within the batch": { // 4 at 13, none at 14, 5 at 15
			dedup.Request{IDs: []dedup.ID{number(1), number(4), number(4), none, number(5), number(5), number(4)}, Count: 7},
			dedup.Decision{Action: dedup.Store, BaseOffset: 13, Count: 3, Duplicates: []dedup.Duplicate{
				{Index: 0, Offset: 10}, {Index: 2, Offset: 13}, {Index: 5, Offset: 15}, {Index: 6, Offset: 13},
			}},
		},
		"all duplicates": {
			dedup.Request{IDs: []dedup.ID{number(3), number(1)}, Count: 2},
			dedup.Decision{
				Action: dedup.Answer, BaseOffset: 12,
				Duplicates: []dedup.Duplicate{{Index: 0, Offset: 12}, {Index: 1, Offset: 10}},
			},
		},
		"a repeated id answers its first offset, whatever is expected": {
			dedup.Request{IDs: []dedup.ID{number(3)}, Count: 1, ExpectedOffset: offset(12)},
			dedup.Decision{Action: dedup.Answer, BaseOffset: 12, Duplicates: []dedup.Duplicate{{Index: 0, Offset: 12}}},
		},
		"another offset expected": {
			dedup.Request{IDs: []dedup.ID{number(4)}, Count: 1, ExpectedOffset: offset(12)},
			dedup.Decision{Action: dedup.Refuse, WrongOffset: true},
		},
		"the new record stands behind the repeated one": {
			dedup.Request{IDs: []dedup.ID{number(3), number(4)}, Count: 2, ExpectedOffset: offset(12)},
			dedup.Decision{Action: dedup.Store, BaseOffset: 13, Count: 1, Duplicates: []dedup.Duplicate{{Index: 0, Offset: 12}}},
		},
		"the new record would stand elsewhere": {
			dedup.Request{IDs: []dedup.ID{number(2), number(4)}, Count: 2, ExpectedOffset: offset(11)},
			dedup.Decision{Action: dedup.Refuse, WrongOffset: true},
		},
		"a repeated batch": {
			dedup.Request{
				IDs: []dedup.ID{number(1), number(2), number(3), number(2)}, Count: 4, Producer: 9, ProducerEpoch: 1,
				ExpectedOffset: offset(10),
			},
			dedup.Decision{
				Action: dedup.Answer, Verdict: dedup.Repeated, BaseOffset: 10, Count: 3,
				Duplicates: []dedup.Duplicate{{Index: 3, Offset: 11}},
			},
		},
		"a gap, although its messages are known": {
			dedup.Request{IDs: []dedup.ID{number(1)}, Count: 1, Producer: 9, ProducerEpoch: 1, ProducerSequence: 2},
			dedup.Decision{Action: dedup.Refuse, Verdict: dedup.Gap, ExpectedSequence: 1},
		},
		"an older epoch": {
			dedup.Request{Count: 1, Producer: 9},
			dedup.Decision{Action: dedup.Refuse, Verdict: dedup.Fenced},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.want.Verdict == 0 {
				c.want.Verdict = dedup.Fresh
			}
			got := stored().Decide(c.request, 13, 2*second, nil)
			if len(got.Duplicates) == 0 {
				got.Duplicates = nil
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("the decision is\n%+v, want\n%+v", got, c.want)
			}
		})
	}
}

func TestKept(t *testing.T) {
	t.Parallel()
	ids := []dedup.ID{number(1), number(4), number(4), {}, number(5)}
	d := stored().Decide(dedup.Request{IDs: ids, Count: 5}, 13, 2*second, nil)
	want := []dedup.Stored{{Offset: 13, ID: number(4)}, {Offset: 15, ID: number(5)}}
	if got := d.Kept(ids, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}

// A batch of duplicates only is answered and not stored; the producer's next one is no gap on this leader. One that has
// the log alone reports the gap, and that nothing from there on is stored.
func TestSequencesAnsweredWithoutBeingStored(t *testing.T) {
	t.Parallel()
	s := stored()
	repeat := func(sequence uint32) dedup.Request {
		return dedup.Request{IDs: []dedup.ID{number(2)}, Count: 1, Producer: 9, ProducerEpoch: 1, ProducerSequence: sequence}
	}
	for _, sequence := range []uint32{1, 2, 1, 2} {
		d := s.Decide(repeat(sequence), 13, 2*second, nil)
		if d.Action != dedup.Answer || d.Count != 0 || d.BaseOffset != 11 || len(d.Duplicates) != 1 {
			t.Errorf("batch %d, of a duplicate alone, is %+v", sequence, d)
		}
	}
	fresh := dedup.Request{Count: 1, Producer: 9, ProducerEpoch: 1, ProducerSequence: 3}
	if d := s.Decide(fresh, 13, 2*second, nil); d.Action != dedup.Store {
		t.Errorf("the batch after two that were not stored is %+v, want it stored", d)
	}
	if d := stored().Decide(fresh, 13, 2*second, nil); d.Verdict != dedup.Gap || d.ExpectedSequence != 1 {
		t.Errorf("on another leader it is %+v, want a gap after 0", d)
	}
	s.Append(dedup.Batch{Seq: 2, Time: 2 * second, BaseOffset: 13, Count: 1, Producer: 9, ProducerEpoch: 1, ProducerSequence: 3}, nil)
	if d := s.Decide(repeat(2), 14, 2*second, nil); d.Action != dedup.Answer || d.Verdict != dedup.Repeated || d.BaseOffset != 11 {
		t.Errorf("a batch between those stored is %+v, want it answered as a repeat", d)
	}
	if err := s.Truncated(2); err != nil {
		t.Fatal(err)
	}
	if d := s.Decide(fresh, 13, 2*second, nil); d.Verdict != dedup.Gap || d.ExpectedSequence != 1 {
		t.Errorf("after a cut it is %+v, want a gap after 0", d)
	}
}

func TestDedupSwitchedOff(t *testing.T) {
	t.Parallel()
	s := dedup.New(dedup.Options{WindowNanos: -1})
	ids := []dedup.ID{number(1), number(1)}
	for seq := range uint64(2) {
		d := s.Decide(dedup.Request{IDs: ids, Count: 2}, 2*int64(seq), 1, nil)
		if d.Action != dedup.Store || d.Count != 2 || len(d.Duplicates) != 0 {
			t.Errorf("without a window the decision is %+v", d)
		}
		s.Append(dedup.Batch{Seq: seq + 1, Time: 1, BaseOffset: 2 * int64(seq), Count: 2}, d.Kept(ids, nil))
	}
}

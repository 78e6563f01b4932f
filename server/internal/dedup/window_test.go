package dedup_test

import (
	"errors"
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// protocol.md §1.12: dedup windows count in append time.
func TestIDExpiresByAppendTime(t *testing.T) {
	t.Parallel()
	w := dedup.NewWindow(120*second, nil)
	w.Add(number(1), 40, 1, 1000*second)
	wantFound(t, w, number(1), 1000*second, 40)
	wantFound(t, w, number(1), 1120*second-1, 40)
	wantUnknown(t, w, number(1), 1120*second)
	wantFound(t, w, number(1), 900*second, 40) // a clock that is behind
	wantUnknown(t, w, number(2), 1000*second)

	for n := range uint64(1000) { // many are no reason to go
		w.Add(number(100+n), int64(41+n), 2+n, 1001*second)
	}
	w.Settled(1001, 1001*second)
	wantFound(t, w, number(1), 1001*second, 40)
	w.Settled(1001, 1120*second)
	if w.Len() != 1000 {
		t.Errorf("%d ids are held after one of 1001 expired, want 1000", w.Len())
	}
}

// protocol.md §2.7: the window is undone on truncation; also when an id was added again after it had expired.
func TestTruncationRestoresAnEarlierID(t *testing.T) {
	t.Parallel()
	w := dedup.NewWindow(120*second, nil)
	w.Add(number(1), 10, 1, 0)
	w.Add(number(1), 20, 5, 121*second)
	w.Add(number(1), 30, 9, 250*second)
	w.Add(number(2), 31, 9, 250*second)
	wantFound(t, w, number(1), 250*second, 30)
	for _, cut := range []struct {
		seq   uint64
		now   int64
		first int64
	}{{9, 130 * second, 20}, {9, 130 * second, 20}, {5, 119 * second, 10}, {2, 119 * second, 10}} {
		if err := w.Truncated(cut.seq); err != nil {
			t.Fatal(err)
		}
		wantFound(t, w, number(1), cut.now, cut.first)
		wantUnknown(t, w, number(2), 250*second)
	}
	if err := w.Truncated(1); err != nil || w.Len() != 0 {
		t.Errorf("cut to nothing: %v, %d ids", err, w.Len())
	}
}

func TestTruncationBelowTheSettledAsksForARebuild(t *testing.T) {
	t.Parallel()
	w := dedup.NewWindow(120*second, nil)
	w.Add(number(1), 10, 1, 0)
	w.Add(number(2), 11, 2, 0)
	w.Settled(2, 0)
	if err := w.Truncated(3); err != nil {
		t.Error(err)
	}
	if err := w.Truncated(2); !errors.Is(err, dedup.ErrRebuild) {
		t.Errorf("cutting what was settled gives %v, want ErrRebuild", err)
	}
	wantUnknown(t, w, number(2), 0) // not known any more, as it is not in the log any more
	wantFound(t, w, number(1), 0, 10)
}

// What expired by a batch that is cut must come back with it: nothing goes before that batch is committed.
func TestNothingGoesBeforeItsExpiryIsCommitted(t *testing.T) {
	t.Parallel()
	s := dedup.New(dedup.Options{WindowNanos: 120 * second})
	s.Append(dedup.Batch{Seq: 1, Time: 0, Count: 1}, []dedup.Stored{{Offset: 0, ID: number(1)}})
	s.Append(dedup.Batch{Seq: 2, Time: 500 * second, BaseOffset: 1, Count: 1}, []dedup.Stored{{Offset: 1, ID: number(2)}})
	s.Committed(1)
	if err := s.Truncated(2); err != nil {
		t.Fatal(err)
	}
	wantFound(t, s.Window(), number(1), 10*second, 0)
	s.Append(dedup.Batch{Seq: 2, Time: 400 * second}, nil)
	s.Committed(2)
	if s.Window().Len() != 0 {
		t.Errorf("%d ids are held long after the only one expired", s.Window().Len())
	}
}

func TestSettingAnotherWindow(t *testing.T) {
	t.Parallel()
	w := dedup.NewWindow(100*second, nil)
	w.Add(number(1), 1, 1, 0)
	w.Add(number(2), 2, 2, 90*second)
	w.Settled(2, 90*second)
	w.SetNanos(50 * second)
	wantUnknown(t, w, number(1), 90*second)
	wantFound(t, w, number(2), 90*second, 2)
	if got := w.EffectiveNanos(90 * second); got != 50*second {
		t.Errorf("a shorter window is %d, want it at once", got)
	}
	w.Settled(2, 90*second) // lets the first go
	w.SetNanos(200 * second)
	for now, want := range map[int64]int64{90 * second: 50 * second, 190 * second: 150 * second, 300 * second: 200 * second} {
		if got := w.EffectiveNanos(now); got != want {
			t.Errorf("a longer window at %d is %d, want %d", now, got, want)
		}
	}
	w.SetNanos(0)
	w.Add(number(3), 3, 3, 91*second)
	wantUnknown(t, w, number(3), 91*second)
	w.SetNanos(200 * second)
	wantUnknown(t, w, number(3), 91*second)
	if got := w.EffectiveNanos(92 * second); got != second {
		t.Errorf("a window that is switched on is %d, want 1 s", got)
	}
}

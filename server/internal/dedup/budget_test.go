package dedup_test

import (
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// fill adds n ids, one a second, and returns the time of the last.
func fill(w *dedup.Window, from, n uint64) (now int64) {
	for i := from; i < from+n; i++ {
		now = int64(i) * second
		w.Add(number(i), int64(i), i, now)
	}
	return now
}

// protocol.md §2.7: beyond the budget the window shortens, and that is shown.
func TestWindowShortensBeyondTheBudget(t *testing.T) {
	t.Parallel()
	b := dedup.NewBudget(100_000) // some 2,000 ids
	w := dedup.NewWindow(1_000_000*second, b)
	now := fill(w, 1, 10_000)
	if over := b.Used() - b.Limit(); over > 4096 {
		t.Errorf("%d bytes beyond the budget are in use", over)
	}
	effective := w.EffectiveNanos(now)
	if effective < 1900*second || effective > 2400*second {
		t.Errorf("the effective window is %d s, want some 2,000", effective/second)
	}
	for i := uint64(1); i <= 10_000; i++ {
		offset, found := w.Lookup(number(i), now)
		if within := now-int64(i)*second < effective; within && (!found || offset != int64(i)) {
			t.Fatalf("id %d lies within the effective window and is found %t under %d", i, found, offset)
		}
	}
	wantUnknown(t, w, number(1), now)
	if w.Nanos() != 1_000_000*second {
		t.Errorf("the setting is %d", w.Nanos())
	}
	w.Close()
	if b.Used() != 0 {
		t.Errorf("%d bytes are in use after Close", b.Used())
	}
}

// No partition is left without a window because another was first.
func TestBudgetIsShared(t *testing.T) {
	t.Parallel()
	b := dedup.NewBudget(200_000)
	first, second, third := dedup.NewWindow(1e18, b), dedup.NewWindow(1e18, b), dedup.NewWindow(1e18, b)
	fill(first, 1, 10_000)
	fill(second, 1, 1000)
	if second.Len() != 1000 {
		t.Errorf("a window below its share holds %d of 1000 ids, while another holds %d", second.Len(), first.Len())
	}
	fill(third, 1, 10_000)
	if b.Used() > 2*b.Limit() {
		t.Errorf("%d bytes are in use, of %d", b.Used(), b.Limit())
	}
	fill(first, 10_001, 5000)
	second.Trim()
	if second.Len() != 1000 {
		t.Errorf("a window below its share gave ids up: %d of 1000 left", second.Len())
	}
	third.Trim()
	if over := b.Used() - b.Limit(); over > 4096 {
		t.Errorf("%d bytes beyond the budget are in use after those above their share gave back", over)
	}
	if share := b.Limit() / 3; first.Bytes() < share*8/10 || third.Bytes() < share*8/10 {
		t.Errorf("of a share of %d bytes %d and %d are left", share, first.Bytes(), third.Bytes())
	}
}

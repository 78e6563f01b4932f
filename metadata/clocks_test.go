package metadata

import (
	"slices"
	"testing"
	"time"
)

// protocol.md 1.12: more than 500 ms from the median is a warning; more than 60 s ahead of the median of at least three
// ends leaderships.
func TestClockSkews(t *testing.T) {
	t.Parallel()
	c := NewClocks()
	now := int64(1_000_000 * time.Second)
	if got := c.Skews(); got != nil {
		t.Errorf("without reports: %v", got)
	}
	c.Report("a", now, now)
	c.Report("b", now+int64(2*time.Minute), now)
	if got, want := c.Skews(), []Skew{{Broker: "b", AheadNanos: int64(2 * time.Minute)}}; !slices.Equal(got, want) {
		t.Errorf("two clocks cannot say who is wrong: got %v, want %v", got, want)
	}
	c.Report("c", now-int64(time.Minute+time.Second), now)
	c.Report("d", now+int64(400*time.Millisecond), now)
	want := []Skew{
		{Broker: "b", AheadNanos: int64(2 * time.Minute), TooFar: true},
		{Broker: "c", AheadNanos: -int64(time.Minute + time.Second)}, // behind: append times never go back, so this is safe
	}
	if got := c.Skews(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	c.Forget("b")
	if got := c.Skews(); len(got) != 1 || got[0].Broker != "c" {
		t.Errorf("after b was forgotten: %v", got)
	}
}

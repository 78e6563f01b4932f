package partition_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// A purge is exact to the record, within batches and segments, by offset and by time; offsets go on.
func TestPurge(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	s.segment = 4 << 10
	r := s.lead(t)
	for i := range 30 {
		publish(t, r, records(fmt.Sprintf("%0200d", i), "b", "c"))
		s.clock.forward(time.Second)
	}
	purge := func(to partition.Place, wantBefore, want int64) {
		t.Helper()
		before, now, err := r.Purge(to)
		if err != nil || before != wantBefore || now != want || r.State().LogStart != want {
			t.Fatalf("%+v: from %d to %d, %v; want %d to %d", to, before, now, err, wantBefore, want)
		}
	}
	size := r.State().Bytes
	purge(atOffset(40), 0, 40)
	if got := r.all(t); got[0].Offset != 40 || len(got) != 50 || r.State().Bytes >= size {
		t.Errorf("got %d records from %+v on, %d bytes of %d", len(got), got[0], r.State().Bytes, size)
	}
	purge(atOffset(7), 40, 40) // nothing is left to do
	purge(atTime(s.clock.after(-10*time.Second)), 40, 60)
	var beyond *commitlog.RangeError
	if _, _, err := r.Purge(atOffset(91)); !errors.As(err, &beyond) || beyond.NextOffset != 90 {
		t.Errorf("above the end: %v", err)
	}
	purge(at(partition.AtEnd), 60, 90)
	if got := r.all(t); len(got) != 0 || r.State().Bytes > 200 {
		t.Errorf("all of it: %v stay, %d bytes", got, r.State().Bytes)
	}
	if ack := publish(t, r, records("next")); ack.BaseOffset != 90 {
		t.Errorf("ack %+v", ack)
	}
	r.close(t)
	if _, _, err := r.Purge(at(partition.AtEnd)); !errors.Is(err, partition.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

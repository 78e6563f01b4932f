package partition_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// With too much waiting, records of a caller that does not wait become a gap, counted, which stands behind those that were
// queued before them (2.8); what is captured once there is room comes after it.
func TestOverflowIsAGapInItsPlace(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	full := make(chan error, 8)
	r := s.lead(t, func(c *partition.Config) { c.OnFull = func(err error) { full <- err } })
	s.disk.SetCapacity(1)
	padding := strings.Repeat(" ", 1<<20)
	var want []string
	refused, stored := 0, make(chan error, 200)
	for i := range 80 {
		value := fmt.Sprintf("%d%s", i, padding)
		before := r.State().Gaps
		answer := make(chan error, 1)
		err := r.CaptureWith(message("", value), partition.Captured{NoWait: true, OnAck: func(_ partition.Ack, err error) {
			if errors.Is(err, partition.ErrTooManyInFlight) {
				answer <- err
				return
			}
			stored <- err
		}})
		if err != nil || before != 0 {
			t.Fatalf("capture: %v, %d gaps", err, before)
		}
		select {
		case <-answer: // answered before CaptureWith returns
			refused++
		default:
			if refused > 0 {
				t.Fatalf("record %d was taken after %d were not", i, refused)
			}
			want = append(want, value)
		}
	}
	if err := <-full; err == nil || refused < 10 || len(want) < 60 {
		t.Fatalf("%d taken, %d refused: %v", len(want), refused, err)
	}
	s.disk.SetCapacity(0)
	for range want {
		if err := <-stored; err != nil {
			t.Error(err)
		}
	}
	if _, err := r.captured(t, message("", "after"), nil); err != nil {
		t.Error(err)
	}
	now := s.clock.after(0)
	all := r.all(t)
	n := len(want)
	if len(all) != n+2 {
		t.Fatalf("%d records and gaps, want %d", len(all), n+2)
	}
	for i, value := range want {
		if all[i].Value != value {
			t.Fatalf("record %d is another one", i)
		}
	}
	gap := batch.Gap{Cause: batch.GapRingOverflow, FromTime: now, ToTime: now, AtLeast: uint64(refused), Counted: true}
	if diff := cmp.Diff(&gap, all[n].Gap); diff != "" || all[n+1].Value != "after" {
		t.Errorf("gap (-want +got):\n%s\nthen %.10q", diff, all[n+1].Value)
	}
	r.close(t)
}

// A batch with a record that is larger than the stream takes is refused, whole; the limit may change; what was stored before
// is answered nevertheless (S10).
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t, withDedup, func(c *partition.Config) { c.Settings.MaxRecordBytes = 10 })
	b := messages(message("a", "1"))
	b.LargestRecord = 10
	publish(t, r, b)
	settings := partition.Settings{DedupWindow: time.Minute, MaxRecordBytes: 9}
	r.Configure(settings)
	if ack := publish(t, r, b); ack.Count != 0 || ack.BaseOffset != 0 {
		t.Errorf("repeated: %+v", ack)
	}
	b = messages(message("b", "2"))
	b.LargestRecord = 10
	var large *partition.TooLargeError
	if _, err := r.Publish(t.Context(), b); !errors.As(err, &large) || large.SizeBytes != 10 || large.LimitBytes != 9 {
		t.Errorf("too large: %v", err)
	}
	settings.MaxRecordBytes = 0
	r.Configure(settings)
	publish(t, r, b)
	r.close(t)
}

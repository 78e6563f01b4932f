package partition_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func lost(cause batch.GapCause, from, to int64, atLeast uint64) batch.Gap {
	return batch.Gap{Cause: cause, FromTime: from, ToTime: to, AtLeast: atLeast, Counted: true}
}

func (r *rig) addGap(t *testing.T, gap batch.Gap) {
	t.Helper()
	if err := r.AppendGap(gap); err != nil {
		t.Error(err)
	}
}

func wantGaps(t *testing.T, r *rig, want ...batch.Gap) {
	t.Helper()
	if diff := cmp.Diff(want, gapsOf(r.all(t))); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// Gaps are merged: at most one a second per partition and cause; they are committed and shown like any batch (2.9). What
// waits is written when the partition closes.
func TestGapsAreMerged(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t)
	r.addGap(t, lost(batch.GapNATSDropped, 1, 2, 5))
	publish(t, r, records("1"))
	r.addGap(t, lost(batch.GapNATSDropped, 3, 4, 1))
	r.addGap(t, lost(batch.GapNATSDropped, 7, 8, 2))
	r.addGap(t, lost(batch.GapTooLarge, 5, 5, 1))
	publish(t, r, records("2"))
	first := lost(batch.GapNATSDropped, 1, 2, 5)
	wantGaps(t, r, first)
	s.clock.forward(time.Second)
	r.Tick(s.clock.now())
	publish(t, r, records("3"))
	merged := lost(batch.GapNATSDropped, 3, 8, 3)
	wantGaps(t, r, first, merged, lost(batch.GapTooLarge, 5, 5, 1))
	r.addGap(t, lost(batch.GapRingOverflow, 9, 9, 1))
	r.close(t)
	r = s.lead(t)
	wantGaps(t, r, first, merged, lost(batch.GapTooLarge, 5, 5, 1), lost(batch.GapRingOverflow, 9, 9, 1))
	r.close(t)
}

// A gap that met a full disk is written first when space returns (1.11).
func TestGapFirstWhenSpaceReturns(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	full := make(chan error, 8)
	r := s.lead(t, func(c *partition.Config) { c.OnFull = func(err error) { full <- err } })
	s.disk.SetCapacity(1)
	large := strings.Repeat("1", 10<<10)
	if err := r.Capture(message("", large)); err != nil {
		t.Fatal(err)
	}
	if err := <-full; !errors.Is(err, commitlog.ErrFull) {
		t.Error(err)
	}
	r.addGap(t, lost(batch.GapNATSDropped, 1, 2, 5))
	r.addGap(t, lost(batch.GapNATSDropped, 3, 4, 5))
	tries := make(chan struct{}, 100)
	remove := s.disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpWriteAt {
			tries <- struct{}{}
		}
		return nil
	})
	for range 3 { // the second has met the gaps, and failed
		<-tries
	}
	remove()
	s.disk.SetCapacity(0)
	if err := <-full; err != nil {
		t.Error(err)
	}
	publish(t, r, records("2"))
	all := r.all(t)
	want := []found{
		{Gap: &batch.Gap{Cause: batch.GapNATSDropped, FromTime: 1, ToTime: 4, AtLeast: 10, Counted: true}},
		{Value: large},
		{Offset: 1, Value: "2"},
	}
	for i := range all {
		all[i].Time = 0
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	r.close(t)
}

// An unclean start with one replica writes a gap from the last append on; a clean one, and the first, write none (2.9, S13).
func TestUncleanStart(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	unclean := func(c *partition.Config) { c.Unclean = true }
	r := s.lead(t, unclean)
	wantGaps(t, r)
	s.clock.forward(time.Second)
	publish(t, r, records("1"))
	last := s.clock.after(0)
	s.clock.forward(time.Minute)
	s.disk = s.disk.Crash(vfs.KeepNone)
	_ = r.Close()
	r = s.lead(t, unclean)
	restart := batch.Gap{Cause: batch.GapRestart, FromTime: last, ToTime: last + int64(time.Minute)}
	wantGaps(t, r, restart)
	if state := r.State(); state.Gaps != 1 || state.LastGap == nil || *state.LastGap != restart {
		t.Errorf("state %+v", state)
	}
	s.clock.forward(time.Minute)
	r.close(t)
	r = s.lead(t)
	wantGaps(t, r, restart)
	r.close(t)
}

// Where everything was deleted, nobody knows when the last append was; the gap begins when what comes after it did (S13).
func TestUncleanStartOfWhatWasDeleted(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t)
	publish(t, r, records("1"))
	s.clock.forward(time.Minute)
	deleted := s.clock.after(0)
	if _, _, err := r.Purge(atOffset(1)); err != nil {
		t.Fatal(err)
	}
	r.close(t)
	s.clock.forward(time.Minute)
	r = s.lead(t, func(c *partition.Config) { c.Unclean = true })
	wantGaps(t, r, batch.Gap{Cause: batch.GapRestart, FromTime: deleted, ToTime: deleted + int64(time.Minute)})
	r.close(t)
}

// What a full disk refused and the process took with it, before its gap was written, lies within the gap of the next start, also
// where everything was deleted meanwhile to make room (S13).
func TestGapOfAFullDiskThatWasEmptied(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	s.options = func(o *commitlog.Options) {
		marks, err := commitlog.OpenMarks(s.disk, "/marks")
		if err != nil {
			t.Fatal(err)
		}
		o.Marks = marks
	}
	space := vfs.Space{TotalBytes: 1000, FreeBytes: 500}
	r := s.lead(t, func(c *partition.Config) { c.Space = func() (vfs.Space, error) { return space, nil } })
	r.Tick(s.clock.now())
	publish(t, r, records("1"))
	space.FreeBytes = 10
	r.Tick(s.clock.now())
	s.clock.forward(time.Second)
	refused := s.clock.after(0)
	if err := r.Capture(message("", "refused")); err != nil {
		t.Fatal(err)
	}
	s.clock.forward(time.Minute)
	if _, _, err := r.Purge(atOffset(1)); err != nil {
		t.Fatal(err)
	}
	s.clock.forward(time.Minute)
	s.disk = s.disk.Kill()
	_ = r.Close()
	r = s.lead(t, func(c *partition.Config) { c.Unclean = true })
	if gap := r.State().LastGap; gap == nil || gap.FromTime > refused {
		t.Errorf("refused at %d, the gap is %+v", refused, gap)
	}
	r.close(t)
}

// At 95 % full publishes are refused and captured messages become a gap, which is written first when there is room (1.11);
// what was stored before is answered nevertheless (S10).
func TestDiskGuard(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	space := vfs.Space{TotalBytes: 1000, FreeBytes: 51}
	told := make(chan error, 8)
	r := s.lead(t, withDedup, func(c *partition.Config) {
		c.Space = func() (vfs.Space, error) { return space, nil }
		c.OnFull = func(err error) { told <- err }
	})
	r.Tick(s.clock.now())
	publish(t, r, messages(message("a", "1")))
	space.FreeBytes = 50
	r.Tick(s.clock.now())
	if err := <-told; !errors.Is(err, commitlog.ErrFull) {
		t.Errorf("told %v", err)
	}
	if _, err := r.Publish(t.Context(), records("2")); !errors.Is(err, commitlog.ErrFull) {
		t.Errorf("publish: %v", err)
	}
	if _, err := r.Publish(t.Context(), messages(message("b", "3"))); !errors.Is(err, commitlog.ErrFull) {
		t.Errorf("publish with an id: %v", err)
	}
	if ack := publish(t, r, messages(message("a", "4"))); ack.BaseOffset != 0 || ack.Count != 0 {
		t.Errorf("repeated: %+v", ack)
	}
	from := s.clock.after(0)
	for range 3 {
		if err := r.Capture(message("", "5")); err != nil {
			t.Error(err)
		}
		s.clock.forward(2 * time.Second)
	}
	if _, err := r.captured(t, message("", "6"), nil); !errors.Is(err, commitlog.ErrFull) {
		t.Errorf("captured with an ack: %v", err)
	}
	wantGaps(t, r)
	if state := r.State(); !errors.Is(state.Fault, commitlog.ErrFull) {
		t.Errorf("state %+v", state)
	}
	space.FreeBytes = 51
	r.Tick(s.clock.now())
	if err := <-told; err != nil {
		t.Errorf("told %v", err)
	}
	if _, err := r.captured(t, message("", "7"), nil); err != nil {
		t.Error(err)
	}
	wantGaps(t, r, lost(batch.GapDiskFull, from, from+int64(6*time.Second), 4))
	if diff := cmp.Diff([]string{"1", "7"}, valuesIn(r.all(t))); diff != "" {
		t.Error(diff)
	}
	r.close(t)
}

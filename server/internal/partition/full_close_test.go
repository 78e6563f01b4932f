package partition_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// waitForRoom captures n records into a partition whose disk has no room for them.
func waitForRoom(t *testing.T, r *rig, n int, full <-chan error) (answers chan error) {
	t.Helper()
	answers = make(chan error, n)
	for range n {
		err := r.CaptureWith(message("", strings.Repeat("1", 10<<10)), partition.Captured{
			OnAck: func(_ partition.Ack, err error) { answers <- err },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-full; !errors.Is(err, commitlog.ErrFull) {
		t.Fatalf("told %v", err)
	}
	return answers
}

// Captured records that wait for room when the partition closes become a gap; a full disk is no fault (1.10, 1.11).
func TestCloseOnFullDisk(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	full := make(chan error, 8)
	r := s.lead(t, func(c *partition.Config) { c.OnFull = func(err error) { full <- err } })
	last := s.clock.after(0)
	s.clock.forward(time.Second)
	remove := s.disk.OnOp(func(op vfs.Op) error { // room for a gap, and no more
		if op.Kind == vfs.OpWriteAt && op.Bytes > 4<<10 {
			return syscall.ENOSPC
		}
		return nil
	})
	answers := waitForRoom(t, r, 7, full)
	r.close(t)
	for range 7 {
		if err := <-answers; !errors.Is(err, commitlog.ErrFull) {
			t.Errorf("answered %v", err)
		}
	}
	r.wantNoFault(t)
	remove()
	r = s.lead(t)
	wantGaps(t, r, lost(batch.GapDiskFull, last, last+int64(time.Second), 7))
	r.close(t)
}

// With no room for the gap either Close says so, and the gap of the next start stands for what is missing; a full disk is no
// fault (1.10, 2.9).
func TestCloseOnDiskWithoutAnyRoom(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	full := make(chan error, 8)
	r := s.lead(t, func(c *partition.Config) { c.OnFull = func(err error) { full <- err } })
	last := s.clock.after(0)
	remove := s.disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpWriteAt {
			return syscall.ENOSPC
		}
		return nil
	})
	answers := waitForRoom(t, r, 7, full)
	if err := r.Close(); !errors.Is(err, commitlog.ErrFull) || !strings.Contains(err.Error(), "7 messages") {
		t.Errorf("close: %v", err)
	}
	for range 7 {
		if err := <-answers; !errors.Is(err, commitlog.ErrFull) {
			t.Errorf("answered %v", err)
		}
	}
	r.wantNoFault(t)
	remove()
	s.clock.forward(time.Second)
	r = s.lead(t, func(c *partition.Config) { c.Unclean = true })
	wantGaps(t, r, batch.Gap{Cause: batch.GapRestart, FromTime: last, ToTime: last + int64(time.Second)})
	r.close(t)
}

func (r *rig) wantNoFault(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.faults:
		t.Errorf("fault: %v", err)
	default:
	}
}

// A record for which the broker has no room is counted in a gap, behind what is there already (2.8).
func TestNoRoomInTheBroker(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t)
	publish(t, r, records("1"))
	var answer error
	settled := 0
	err := r.CaptureWith(message("", "2"), partition.Captured{
		NoRoom: true, OnAck: func(_ partition.Ack, err error) { answer = err }, OnSettled: func() { settled++ },
	})
	if err != nil || settled != 1 || !errors.Is(answer, partition.ErrTooManyInFlight) {
		t.Errorf("capture: %v, settled %d times, answered %v", err, settled, answer)
	}
	r.close(t)
	r = s.lead(t)
	wantGaps(t, r, lost(batch.GapRingOverflow, s.clock.after(0), s.clock.after(0), 1))
	r.close(t)
}

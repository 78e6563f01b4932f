package commitlog_test

import (
	"context"
	"errors"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

func TestSyncMovesTheDurableEnd(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.append(1, numbered(0, 5)...)
	if k.log.Durable() != commitlog.Origin {
		t.Fatalf("durable is %v before a sync", k.log.Durable())
	}
	end, err := k.log.Sync()
	if want := (commitlog.Position{Seq: 2, Offset: 5}); err != nil || end != want || k.log.Durable() != want {
		t.Fatalf("synced up to %v, %v, want %v", end, err, want)
	}
	k.append(2, numbered(5, 5)...)
	k.crash(vfs.KeepNone)
	k.open()
	wantNumbers(t, k.read(), 0, 5)
}

// A sync that fails is the last thing that a log does. What it should have made durable is not believed at the next
// start, although the page cache shows it; what was appended after that start is.
func TestFailedSyncIsFinal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		segmentBytes int64
		before       int // batches that are durable
	}{
		{"in the segment of the last good one", 1 << 20, 3},
		{"in a new segment", 1, 3},
		{"in a new log", 1 << 20, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(test.segmentBytes))
			k.fill(test.before, 10)
			good := k.log.End()
			k.append(100, numbered(good.Offset, 10)...)
			k.mem.FailNextSync("")
			if durable, err := k.log.Sync(); !errors.Is(err, commitlog.ErrFault) || durable != good {
				t.Fatalf("synced up to %v, %v, want %v and ErrFault", durable, err, good)
			}
			for range 2 {
				if _, err := k.log.Sync(); !errors.Is(err, commitlog.ErrFault) {
					t.Errorf("a later sync: %v, want ErrFault", err)
				}
				if _, err := k.log.Append(1, 101, batchOf(numbered(0, 1)...)); !errors.Is(err, commitlog.ErrFault) {
					t.Errorf("a later append: %v, want ErrFault", err)
				}
			}
			wantNumbers(t, k.read(), 0, good.Offset+10)
			k.mem = k.mem.Kill()
			k.fs = k.mem
			k.open()
			if k.log.End() != good {
				t.Fatalf("the log ends at %v, want %v", k.log.End(), good)
			}
			k.fill(2, 10) // acknowledged, and no mark of it is flushed
			k.crash(vfs.KeepNone)
			k.open()
			wantNumbers(t, k.read(), 0, good.Offset+20)
			k.noFaults()
		})
	}
}

func TestClosedLog(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(500))
	k.fill(5, 10)
	begun := k.log.ReadFrom(0)
	buf := make([]byte, 400)
	if _, err := begun.Read(buf, k.log.End()); err != nil {
		t.Fatal(err)
	}
	k.append(9, numbered(50, 10)...)
	waited := make(chan error, 1)
	go func() {
		_, err := k.log.WaitCommitted(context.WithoutCancel(t.Context()), k.log.Committed())
		waited <- err
	}()
	k.close()
	for name, got := range map[string]error{
		"a reader that is in the middle": readError(begun, buf, k.log.End()),
		"a new reader":                   readError(k.log.ReadFrom(0), buf, k.log.End()),
		"a backwards reader":             second(k.log.ReadBackFrom(k.log.End()).Read(buf)),
		"append":                         second(k.log.Append(1, 1, batchOf(numbered(0, 1)...))),
		"sync":                           second(k.log.Sync()),
		"truncate":                       second(k.log.TruncateUnclean(1)),
		"waiting":                        <-waited,
	} {
		if !errors.Is(got, commitlog.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, got)
		}
	}
	if err := k.log.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	k.crash(vfs.KeepNone)
	k.open()
	wantNumbers(t, k.read(), 0, 60) // closing made all durable
	if len(k.report.Cut) > 0 {
		t.Errorf("cut %+v after a clean stop", k.report.Cut)
	}
}

func readError(r *commitlog.Reader, buf []byte, until commitlog.Position) error {
	_, err := r.Read(buf, until)
	return err
}

func second[T any](_ T, err error) error { return err }

func TestCommit(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.append(1, numbered(0, 5)...)
	k.append(1, numbered(5, 5)...)
	k.log.Commit(commitlog.Position{Seq: 2, Offset: 5})
	k.log.Commit(commitlog.Origin)
	if got := k.log.Committed(); got.Seq != 2 {
		t.Errorf("committed is %v, want seq 2: it never goes back", got)
	}
	k.log.Commit(commitlog.Position{Seq: 99, Offset: 99})
	if got := k.log.Committed(); got != k.log.End() {
		t.Errorf("committed is %v, want the end", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("nobody waits any more")
	cancel(why)
	if _, err := k.log.WaitCommitted(ctx, k.log.End()); !errors.Is(err, why) {
		t.Errorf("error is %v, want the cause", err)
	}
	if got, err := k.log.WaitCommitted(ctx, commitlog.Origin); err != nil || got != k.log.End() {
		t.Errorf("waited for %v, %v", got, err)
	}
}

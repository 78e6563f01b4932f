package commitlog_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// Every seq of a log of 12 batches, control batches among them, in segments of three or four is truncated to.
func TestTruncate(t *testing.T) {
	t.Parallel()
	for seq := uint64(0); seq <= 14; seq++ {
		for _, marked := range []bool{false, true} {
			t.Run(fmt.Sprintf("seq %d, marks %v", seq, marked), func(t *testing.T) {
				t.Parallel()
				k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.marked = 800, marked })
				for i := range 4 {
					k.appendBatch(uint64(i+1), int64(i), epochBatch(uint64(i+1)))
					k.appendBatch(uint64(i+1), int64(i), batchOf(numbered(int64(i*15), 10)...))
					k.appendBatch(uint64(i+1), int64(i), batchOf(numbered(int64(i*15+10), 5)...))
				}
				if _, err := k.log.Sync(); err != nil {
					t.Fatal(err)
				}
				before := k.read()
				truncateTo(t, k, seq, before)
			})
		}
	}
}

func truncateTo(t *testing.T, k *logKit, seq uint64, before []stored) {
	t.Helper()
	end, err := k.log.Truncate(seq)
	if err != nil {
		t.Fatal(err)
	}
	var want []stored
	for _, s := range before {
		if s.Seq < seq {
			want = append(want, s)
		}
	}
	if wantSeq := min(max(seq, 1), 13); end.Seq != wantSeq || k.log.End() != end || k.log.Durable() != end {
		t.Fatalf("the log ends at %v (%v, durable %v), want seq %d", end, k.log.End(), k.log.Durable(), wantSeq)
	}
	if diff := cmp.Diff(want, k.read()); diff != "" {
		t.Fatalf("read (-want +got):\n%s", diff)
	}
	k.noFaults()
	// It is durable, and what is appended next follows.
	other := k.appendBatch(9, 99, batchOf(keyed("k", "after")))
	if other.First != end {
		t.Errorf("appended at %v, want %v", other.First, end)
	}
	k.commit()
	k.crash(vfs.KeepNone)
	k.open()
	want = append(want, stored{Seq: end.Seq, Offset: end.Offset, Time: 99, Epoch: 9, Key: "k", Value: "after"})
	if diff := cmp.Diff(want, k.read()); diff != "" {
		t.Errorf("read after a crash (-want +got):\n%s", diff)
	}
	if len(k.report.Damaged) > 0 || k.report.Lost != nil {
		t.Errorf("report is %+v", k.report)
	}
	k.noFaults()
}

func TestTruncateKeepsWhatIsCommitted(t *testing.T) {
	t.Parallel()
	k := newKit(t, withMarks(500))
	k.fill(6, 10)
	k.append(9, numbered(60, 10)...)
	if end, err := k.log.Truncate(6); !errors.Is(err, commitlog.ErrCommitted) || end.Seq != 8 {
		t.Fatalf("truncated to %v, %v, want ErrCommitted", end, err)
	}
	if end, err := k.log.Truncate(7); err != nil || end != (commitlog.Position{Seq: 7, Offset: 60}) {
		t.Fatalf("truncated to %v, %v", end, err)
	}
	wantNumbers(t, k.read(), 0, 60)
	if end, err := k.log.TruncateUnclean(4); err != nil || end != (commitlog.Position{Seq: 4, Offset: 30}) {
		t.Fatalf("truncated to %v, %v", end, err)
	}
	if got := k.log.Committed(); got != k.log.End() {
		t.Errorf("committed is %v beyond the end %v", got, k.log.End())
	}
	k.fill(1, 10)
	k.reopen()
	wantNumbers(t, k.read(), 0, 40)
}

// A log that begins somewhere else and is still empty has nothing to truncate.
func TestTruncateEmptyLog(t *testing.T) {
	t.Parallel()
	base := commitlog.Position{Seq: 10, Offset: 50}
	k := newKit(t, func(k *logKit) { k.opts.Base = base })
	for _, seq := range []uint64{0, 5, 10, 15} {
		if end, err := k.log.Truncate(seq); err != nil || end != base {
			t.Errorf("truncated to %v, %v, want %v", end, err, base)
		}
	}
	k.fill(2, 10)
	if end, err := k.log.TruncateUnclean(3); err != nil || end != base {
		t.Errorf("truncated to %v, %v, want %v", end, err, base)
	}
}

// A mark above the end of a log would be taken for a loss, so nothing is cut before a lower one is durable, however often
// that fails.
func TestTruncateWaitsForTheMark(t *testing.T) {
	t.Parallel()
	for _, kind := range []vfs.OpKind{vfs.OpWriteAt, vfs.OpSyncData} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(500))
			k.fill(6, 10)
			if err := k.opts.Marks.Flush(); err != nil {
				t.Fatal(err)
			}
			remove := k.mem.OnOp(func(op vfs.Op) error {
				if op.Kind == kind && (op.Name == "data/marks" || op.Name == "data/marks.tmp") {
					return errNoFile
				}
				return nil
			})
			for range 2 {
				if _, err := k.log.TruncateUnclean(3); !errors.Is(err, errNoFile) {
					t.Errorf("error is %v, want %v", err, errNoFile)
				}
			}
			remove()
			clone := k.mem.CrashClone(vfs.KeepAll)
			if end, err := k.log.TruncateUnclean(3); err != nil || end.Seq != 3 {
				t.Fatalf("truncated to %v, %v", end, err)
			}
			k.crash(vfs.KeepNone)
			k.open()
			wantNumbers(t, k.read(), 0, 20)
			if k.report.Lost != nil || len(k.report.Damaged) > 0 {
				t.Errorf("report is %+v", k.report)
			}
			k.mem, k.fs = clone, clone
			k.open()
			wantNumbers(t, k.read(), 0, 60)
		})
	}
}

// What was cut does not come back when the power fails, even if no mark says where the log ended.
func TestTruncationIsDurable(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.append(1, numbered(0, 1)...)
	k.append(2, numbered(1, 1)...)
	if _, err := k.log.Sync(); err != nil {
		t.Fatal(err)
	}
	end, err := k.log.Truncate(commitlog.Origin.Seq + 1)
	if err != nil {
		t.Fatal(err)
	}
	k.crash(vfs.KeepNone)
	k.open()
	if k.log.End() != end {
		t.Errorf("the log ends at %v after the crash, want %v", k.log.End(), end)
	}
}

// A log whose older batches were deleted, and that is cut at the oldest that is left, does not name the batch before: it does
// not know its leader epoch, and a name of epoch 0 would look like another history (seed 1087892 of the simulation of clusters).
func TestCutAtTheOldestBatch(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.marked = 600, true })
	k.fill(8, 1)
	if _, err := k.log.SetStart(k.log.End().Offset - 1); err != nil {
		t.Fatal(err)
	}
	first := k.log.First()
	if first.Seq == 1 {
		t.Fatal("nothing was deleted")
	}
	end, err := k.log.TruncateUnclean(first.Seq)
	if err != nil || end != first {
		t.Fatalf("the log ends at %v, %v, want %v", end, err, first)
	}
	if name := k.log.Last(); name != (commitlog.BatchName{}) {
		t.Errorf("it names %+v", name)
	}
}

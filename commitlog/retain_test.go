package commitlog_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// The log has 10 batches of 10 records, appended at 1, 2, … 10, all but the last one committed, in segments of two.
func TestRetain(t *testing.T) {
	t.Parallel()
	size := int64(len(batchOf(numbered(0, 10)...)))
	for _, test := range []struct {
		name     string
		limits   commitlog.Retention
		now      int64
		start    int64
		segments int
	}{
		{"no limit", commitlog.Retention{}, 100, 0, 5},
		{"messages, in the middle of a batch", commitlog.Retention{Messages: 55}, 100, 35, 4},
		{"messages, at the start of a segment", commitlog.Retention{Messages: 50}, 100, 40, 3},
		{"one message", commitlog.Retention{Messages: 1}, 100, 89, 1},
		{"more messages than there are", commitlog.Retention{Messages: 1000}, 100, 0, 5},
		{"age, of a batch that is exactly as old", commitlog.Retention{Age: 5}, 9, 30, 4},
		{"age, all too old", commitlog.Retention{Age: 5}, 100, 90, 1},
		{"age, none too old", commitlog.Retention{Age: 100}, 100, 0, 5},
		{"bytes, exactly three batches", commitlog.Retention{Bytes: 3 * size}, 100, 60, 2},
		{"bytes, a byte less", commitlog.Retention{Bytes: 3*size - 1}, 100, 70, 2},
		{"bytes, more than there are", commitlog.Retention{Bytes: 100 * size}, 100, 0, 5},
		{"bytes, less than a batch", commitlog.Retention{Bytes: 1}, 100, 90, 1},
		{"the strictest counts", commitlog.Retention{Messages: 55, Bytes: 8 * size, Age: 99}, 100, 35, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(75+2*size))
			k.fill(9, 10)
			k.append(10, numbered(90, 10)...)
			start, err := k.log.Retain(test.limits, test.now)
			if err != nil || start != test.start || k.log.Start() != test.start {
				t.Fatalf("start is %d, %v (%d), want %d", start, err, k.log.Start(), test.start)
			}
			if got := len(k.names(".seg")); got != test.segments {
				t.Errorf("%d segments are left, want %d", got, test.segments)
			}
			if got := len(k.names(".idx")); got != test.segments {
				t.Errorf("%d indexes are left, want %d", got, test.segments)
			}
			wantNumbers(t, k.read(), test.start/10*10, 100)
			if _, err := readOn(k.log.ReadFrom(test.start-1), k.log, 1<<20); test.start > 0 && !isRangeError(err, test.start) {
				t.Errorf("reading below the start: %v, want a RangeError", err)
			}
			if again, err := k.log.Retain(commitlog.Retention{Messages: 1000}, 100); err != nil || again != test.start {
				t.Errorf("start is %d, %v: it went back from %d", again, err, test.start)
			}
			k.reopen()
			if got := k.log.Start(); got != test.start {
				t.Errorf("start is %d after opening again, want %d", got, test.start)
			}
		})
	}
}

func isRangeError(err error, start int64) bool {
	var gone *commitlog.RangeError
	return errors.As(err, &gone) && gone.LogStart == start
}

func TestReaderOfRemovedSegment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		read   int // batches that the reader has read before
		start  int64
		wanted int64 // first record that is read; -1: a RangeError
	}{
		{"in the middle of what is removed", 3, 60, -1},
		{"at the end of what is removed", 4, 40, 40},
		{"in what stays", 5, 40, 50},
		{"in a segment that stays in part", 5, 55, 50},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			size := int64(len(batchOf(numbered(0, 10)...)))
			k := newKit(t, segmentsOf(75+2*size))
			k.fill(10, 10)
			r, buf := k.log.ReadFrom(0), make([]byte, size)
			for range test.read {
				if run, err := r.Read(buf, k.log.End()); err != nil || run.Records != 10 {
					t.Fatalf("read %+v, %v", run, err)
				}
			}
			if _, err := k.log.SetStart(test.start); err != nil {
				t.Fatal(err)
			}
			all, err := readOn(r, k.log, int(size))
			if test.wanted < 0 {
				if !isRangeError(err, test.start) || len(all) > 0 {
					t.Fatalf("read %d records, %v, want a RangeError", len(all), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantNumbers(t, all, test.wanted, 100)
		})
	}
}

func TestPurgeOfEverythingFreesTheDisk(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		prepare func(*logKit)
	}{
		{"of a log in use", func(*logKit) {}},
		{"of a log that was opened again", (*logKit).reopen},
		{"of a log whose last segment is sealed", func(k *logKit) {
			remove := k.mem.OnOp(func(op vfs.Op) error {
				if op.Kind == vfs.OpCreate {
					return errNoFile
				}
				return nil
			})
			if _, err := k.log.Append(1, 1<<62, batchOf(numbered(0, 1)...)); !errors.Is(err, errNoFile) {
				k.Fatalf("error is %v, want %v", err, errNoFile)
			}
			remove()
			k.reopen()
			if s := k.summaries(); !s[len(s)-1].Sealed {
				k.Fatal("the last segment is not sealed")
			}
			k.log.Commit(k.log.End())
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(2000))
			k.fill(50, 10)
			test.prepare(k)
			k.log.Commit(k.log.End())
			if start, err := k.log.Purge(1<<40, 100); err != nil || start != 500 {
				t.Fatalf("start is %d, %v, want 500", start, err)
			}
			if got := k.log.SizeBytes(); got != 75 {
				t.Errorf("the log takes %d bytes, want the 75 of a segment header", got)
			}
			k.crash(vfs.KeepNone)
			k.open()
			if k.log.Start() != 500 || k.log.End().Offset != 500 {
				t.Errorf("the log is from %d to %v after a crash, want it empty at 500", k.log.Start(), k.log.End())
			}
			k.fill(1, 10)
			wantNumbers(t, k.read(), 500, 510)
			k.noFaults()
		})
	}
}

var errNoFile = errors.New("no file today")

func TestPurgeOfAPartIsDurable(t *testing.T) {
	t.Parallel()
	k := newKit(t, withMarks(2000))
	k.fill(50, 10)
	if start, err := k.log.Purge(333, 100); err != nil || start != 333 {
		t.Fatalf("start is %d, %v, want 333", start, err)
	}
	k.crash(vfs.KeepNone)
	k.open()
	if k.log.Start() != 333 {
		t.Errorf("start is %d after a crash, want 333", k.log.Start())
	}
}

func TestStartStaysBelowTheCommitPosition(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(500))
	k.fill(2, 10)
	k.append(5, numbered(20, 10)...)
	for _, test := range []struct{ offset, want int64 }{{-5, 0}, {7, 7}, {3, 7}, {25, 20}, {1 << 50, 20}} {
		if got, err := k.log.SetStart(test.offset); err != nil || got != test.want {
			t.Errorf("SetStart(%d) = %d, %v, want %d", test.offset, got, err, test.want)
		}
	}
}

// When the last batch was appended is known as long as it is there, and after that from the mark, or else, at least, when the log
// went on without it.
func TestLastEpochOfWhatWasDeleted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kit   func(*logKit)
		known int64
	}{
		"by the mark": {withMarks(1 << 20), 10}, "without a mark": {func(k *logKit) { k.opts.SegmentBytes = 1 << 20 }, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, test.kit)
			if epoch, appended := k.log.LastEpoch(); epoch != 0 || appended != 0 {
				t.Errorf("of a log that never had a batch: epoch %d at %d", epoch, appended)
			}
			k.append(10, numbered(0, 1)...)
			k.commit()
			if k.marked {
				if err := k.opts.Marks.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := k.log.Purge(1, 20); err != nil {
				t.Fatal(err)
			}
			if epoch, appended := k.log.LastEpoch(); epoch != 1 || appended != 10 {
				t.Errorf("of one that was deleted just now: epoch %d at %d", epoch, appended)
			}
			for range 2 {
				k.reopen()
				if epoch, appended := k.log.LastEpoch(); epoch != 0 || appended != test.known {
					t.Errorf("of one that was deleted before: epoch %d at %d", epoch, appended)
				}
			}
		})
	}
}

// Where a segment cannot be deleted, none behind it is, and the next time it is the first that goes: there is no hole.
func TestFailedRetentionLeavesNoHole(t *testing.T) {
	t.Parallel()
	size := int64(len(batchOf(numbered(0, 10)...)))
	for failing := 1; ; failing++ {
		k := newKit(t, withMarks(75+2*size))
		k.fill(9, 10)
		k.append(10, numbered(90, 10)...)
		n := 0
		stop := k.mem.OnOp(func(op vfs.Op) error {
			if op.Kind == vfs.OpSyncDir || op.Kind == vfs.OpRemove {
				if n++; n == failing {
					return syscall.EIO
				}
			}
			return nil
		})
		_, err := k.log.Retain(commitlog.Retention{Messages: 30}, 100)
		stop()
		if err == nil && failing > 3 {
			return // it has fewer steps
		}
		if _, err := k.log.Retain(commitlog.Retention{Messages: 20}, 100); err != nil {
			t.Fatalf("step %d failed before: %v", failing, err)
		}
		if got := len(k.names(".seg")); got != 2 {
			t.Errorf("step %d failed before: %d segments are left", failing, got)
		}
		k.reopen()
		wantNumbers(t, k.read(), k.log.Start()/10*10, 100)
	}
}

package commitlog_test

import (
	"errors"
	"io/fs"
	"path"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// openReads is how many bytes opening a log may read beside the batches above its mark: the header of the last segment, the
// footer before it, a few entries of an index and one batch header.
const openReads = 4 << 10

func TestOpeningReadsTheTailOnly(t *testing.T) {
	t.Parallel()
	const segments = 1000
	for _, test := range []struct {
		name   string
		marked bool
		limit  int64 // bytes that opening may read
	}{
		{"with a mark", true, openReads},
		{"without a mark, all of the last segment", false, openReads + 40_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.marked = 40_000, test.marked })
			for len(k.names(".seg")) < segments {
				k.append(1, numbered(k.log.End().Offset, 2000)...)
			}
			k.append(1, numbered(k.log.End().Offset, 1)...)
			end := k.log.End()
			k.close()
			k.mem.ResetReads()
			k.open()
			read := k.mem.TotalReads()
			t.Logf("opening %d segments, %d bytes, reads %d bytes in %d calls", segments, k.log.SizeBytes(), read.Bytes, read.Calls)
			if read.Bytes > test.limit {
				t.Errorf("opening reads %d bytes, want at most %d", read.Bytes, test.limit)
			}
			if k.log.End() != end {
				t.Errorf("the log ends at %v, want %v", k.log.End(), end)
			}
			k.mem.ResetReads()
			if run, err := k.log.ReadFrom(end.Offset/2).Read(make([]byte, 64<<10), end); err != nil || run.Records == 0 {
				t.Fatalf("read %+v, %v", run, err)
			}
			if read := k.mem.TotalReads(); read.Bytes > 128<<10 {
				t.Errorf("finding an offset reads %d bytes", read.Bytes)
			}
		})
	}
}

func TestOpeningManySegmentsOnDisk(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("writes 1000 files")
	}
	k := newKit(t, func(k *logKit) {
		onDisk(k)
		k.opts.SegmentBytes, k.marked = 1, true
	})
	for range 1000 {
		k.append(1, numbered(k.log.End().Offset, 1)...)
	}
	k.close()
	begun := time.Now()
	k.open()
	took := time.Since(begun)
	t.Logf("opening a log of 1000 segments takes %v", took)
	if took > time.Second {
		t.Errorf("opening a log of 1000 segments takes %v", took)
	}
	if k.log.End().Offset != 1000 {
		t.Errorf("the log ends at %v", k.log.End())
	}
	k.close()
}

// Only what is ours is touched.
func TestOpeningLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(500))
	k.fill(5, 10)
	k.close()
	others := []string{"notes.txt", "notes.idx", "1-2-3.seg", "00000000000000000001.seg", "x.seg"}
	ours := []string{"00000000000000000001-00000000000000000000-000001.seg.tmp", "00000000000000000002-00000000000000000077-000000.idx"}
	for _, name := range append(ours, others...) {
		setFile(t, k.fs, path.Join(k.dir, name), []byte("content"))
	}
	k.open()
	for _, name := range others {
		if string(k.bytes(name)) != "content" {
			t.Errorf("%s is not as it was", name)
		}
	}
	if got := len(k.report.Unknown); got != len(others) {
		t.Errorf("%d files are reported as unknown: %v", got, k.report.Unknown)
	}
	if got := len(k.report.Removed); got != len(ours) {
		t.Errorf("%d files are reported as removed: %v", got, k.report.Removed)
	}
	wantNumbers(t, k.read(), 0, 50)
}

func TestOpeningRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*logKit)
	}{
		{"another partition", func(k *logKit) { k.opts.Partition[0]++ }},
		{"another log", func(k *logKit) { k.opts.LogID++ }},
		{"a file with the name of another place", func(k *logKit) {
			from, to := path.Join(k.dir, k.names(".seg")[0]), path.Join(k.dir, "00000000000000000009-00000000000000000044-000000.seg")
			if err := k.fs.Rename(from, to); err != nil {
				k.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, nil)
			k.fill(5, 10)
			k.close()
			test.change(k)
			names := k.names(".seg")
			if err := k.tryOpen(); err == nil {
				t.Fatal("opened")
			}
			if diff := cmp.Diff(names, k.names(".seg")); diff != "" {
				t.Errorf("files (-before +after):\n%s", diff)
			}
		})
	}
}

// A rewritten segment and the one that it replaces are both there after a crash between the two.
func TestOpeningFindsBothGenerations(t *testing.T) {
	t.Parallel()
	k := newKit(t, eachOwn)
	k.put("a=1", "b=1", "a=2")
	remove := k.mem.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpRemove {
			return errNoFile
		}
		return nil
	})
	if _, err := k.log.Compact(t.Context(), commitlog.Compaction{MemoryBytes: 1000}, 100); !errors.Is(err, errNoFile) {
		t.Fatalf("error is %v, want %v", err, errNoFile)
	}
	remove()
	files := len(k.names(""))
	k.reopen()
	if diff := cmp.Diff([]string{"b=1", "a=2", "=last"}, keysAndValues(k.read())); diff != "" {
		t.Error(diff)
	}
	if got := len(k.names("")); got != files-2 || len(k.report.Removed) != 1 {
		t.Errorf("%d files are left of %d, removed %v", got, files, k.report.Removed)
	}
	k.noFaults()
}

// A replica may be moved away, come back, and be moved away again before the trash is emptied.
func TestTrashKeepsBoth(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	for range 3 {
		k.fill(2, 1)
		if err := k.log.Close(); err != nil {
			t.Fatal(err)
		}
		if err := commitlog.Trash(k.fs, k.dir, "trash", time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		k.open()
		if k.log.End() != commitlog.Origin {
			t.Fatalf("the new log ends at %v", k.log.End())
		}
	}
	removed, err := commitlog.EmptyTrash(k.fs, "trash", time.Unix(1, 0))
	if err != nil || len(removed) != 3 {
		t.Fatalf("%v, %v, want three folders", removed, err)
	}
}

// What was moved into the trash stays there when the power fails.
func TestTrashIsDurable(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.fill(2, 1)
	if err := k.log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := commitlog.Trash(k.fs, k.dir, "trash", time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	disk := k.mem.Crash(vfs.KeepNone)
	if _, err := disk.Stat(k.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the log is back: %v", err)
	}
	if in, err := disk.ReadDir("trash"); err != nil || len(in) != 1 {
		t.Errorf("the trash holds %v, %v, want the log", in, err)
	}
	if removed, err := commitlog.EmptyTrash(disk, "trash", time.Unix(1, 0)); err != nil || len(removed) != 1 {
		t.Errorf("emptying the trash removes %v, %v: when it was deleted is not known", removed, err)
	}
}

// S1, R8: what was committed is known as committed after the log was closed and opened, and is not cut but by an unclean
// election.
func TestCommitSurvives(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(k *logKit) { k.marked = true })
	k.fill(4, 1)
	k.log.Commit(k.log.End())
	was := k.log.Committed()
	k.close()
	k.open()
	if got := k.log.Committed(); got != was || was != k.log.End() {
		t.Errorf("committed is %v, was %v", got, was)
	}
	if _, err := k.log.Truncate(2); !errors.Is(err, commitlog.ErrCommitted) {
		t.Errorf("what is committed is cut: %v", err)
	}
	if _, err := k.log.TruncateUnclean(2); err != nil {
		t.Error(err)
	}
	k.close()
	k.open()
	if got := k.log.Committed(); got.Seq != 2 {
		t.Errorf("committed is %v of a log that was cut at 2", got)
	}
}

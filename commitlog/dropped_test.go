package commitlog_test

import (
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// failOnce has the first operation of a kind fail, on a file whose name ends so.
func (k *logKit) failOnce(kind vfs.OpKind, suffix string) (stop func()) {
	failed := false
	return k.mem.OnOp(func(op vfs.Op) error {
		if op.Kind != kind || failed || !strings.HasSuffix(op.Name, suffix) {
			return nil
		}
		failed = true
		return syscall.EIO
	})
}

// A log that is closed deletes nothing any more: its folder may be another's.
func TestClosedLogDeletesNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t, eachOwn)
	k.fill(5, 1)
	stop := k.failOnce(vfs.OpRemove, ".seg")
	if _, err := k.log.SetStart(2); err == nil {
		t.Fatal("a segment is deleted that cannot be")
	}
	stop()
	k.close()
	before := k.names(".seg")
	_, _ = k.log.SetStart(2)
	if after := k.names(".seg"); len(after) != len(before) {
		t.Errorf("deleted by a closed log: of %v there are %v", before, after)
	}
}

// What a log could not delete is not kept open when it is closed: a log that is made in its place has files of its own.
func TestClosedLogForgetsWhatItDropped(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(k *logKit) { k.opts.SegmentBytes = 1 })
	k.fill(5, 1)
	k.read() // opens them all
	stop := k.failOnce(vfs.OpSyncDir, "")
	if _, err := k.log.SetStart(2); err == nil {
		t.Fatal("segments are deleted though the name of the last may not be durable")
	}
	stop()
	k.close()
	if err := k.fs.Rename(k.dir, path.Join(path.Dir(k.dir), "trash")); err != nil {
		t.Fatal(err)
	}
	k.open()
	k.append(1, batch.Record{Value: []byte("new")})
	k.commit()
	k.crash(vfs.KeepNone)
	k.open()
	if got := k.values(); len(got) != 1 || got[0] != "new" {
		t.Errorf("got %q", got)
	}
}

// Where the old generation of a compacted segment cannot be deleted, the new one does not go before it, nor the key of both.
func TestFailedCompactionLeavesNoHole(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(k *logKit) { eachOwn(k); k.opts.Key = masterKey(1) })
	k.put("x=1", "a=1", "y=1", "a=2", "z=1")
	if err := k.opts.Marks.Flush(); err != nil {
		t.Fatal(err)
	}
	stop := k.failOnce(vfs.OpRemove, ".seg")
	if _, err := k.log.Compact(t.Context(), commitlog.Compaction{MemoryBytes: 1 << 20}, 100); err == nil {
		t.Fatal("a segment is deleted that cannot be")
	}
	stop()
	if _, err := k.log.SetStart(3); err != nil {
		t.Fatal(err)
	}
	k.mem = k.mem.Kill()
	k.fs = k.mem
	k.open()
	if _, err := readOn(k.log.ReadFrom(k.log.Start()), k.log, 64<<10); err != nil || k.log.First().Offset != 3 {
		t.Errorf("the log begins at %v, %v", k.log.First(), err)
	}
}

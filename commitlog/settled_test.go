package commitlog_test

import (
	"errors"
	"path"
	"slices"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// opening opens the log and says how often it was synced for that, and its folder.
func (k *logKit) opening() (files, folders int) {
	k.Helper()
	k.mem.OnOp(func(op vfs.Op) error {
		switch {
		case op.Kind == vfs.OpSyncData && path.Ext(op.Name) == ".seg":
			files++
		case op.Kind == vfs.OpSyncDir && path.Base(op.Name) == path.Base(k.dir):
			folders++
		}
		return nil
	})
	k.open()
	k.mem.OnOp(func(vfs.Op) error { return nil })
	return files, folders
}

// A log that ends at its mark is on the disk already if the mark says so, or if it was closed in order. All others are made so before
// anything is built on them (DESIGN.md 6).
func TestSettledLogIsNotSyncedAgain(t *testing.T) {
	t.Parallel()
	write := func(k *logKit, name string) {
		k.Helper()
		f, err := k.fs.Create(path.Join(k.dir, name))
		if err != nil {
			k.Fatal(err)
		}
		if err := f.Close(); err != nil {
			k.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		settled        bool
		before         func(*logKit)
		files, folders int
	}{
		"settled":                      {settled: true},
		"the mark says so":             {},
		"a start was broken off":       {before: func(k *logKit) { k.breakOff() }, files: 1, folders: 1},
		"an unfinished file goes":      {settled: true, before: func(k *logKit) { write(k, "x.tmp") }, folders: 1},
		"a file without its batches":   {settled: true, before: func(k *logKit) { write(k, "00000000000000000004-00000000000000000003-000000.seg") }, files: 1, folders: 2},
		"the mark is of an older life": {settled: true, before: func(k *logKit) { k.growBehindItsMark() }, files: 2, folders: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(1<<20))
			k.fill(3, 1)
			k.close()
			if c.before != nil {
				c.before(k)
			}
			k.opts.Settled = c.settled
			files, folders := k.opening()
			if files != c.files || folders != c.folders {
				t.Errorf("its file was synced %d times and its folder %d, want %d and %d", files, folders, c.files, c.folders)
			}
			if k.log.End() != k.log.Durable() || k.log.End().Seq < 4 {
				t.Errorf("it ends at %v and is durable up to %v", k.log.End(), k.log.Durable())
			}
			k.opts.Settled = false
			k.reopen()
			k.close()
		})
	}
}

// breakOff begins a start that comes to its end before it opens the log.
func (k *logKit) breakOff() {
	k.Helper()
	marks, err := commitlog.OpenMarks(k.fs, path.Join(path.Dir(k.dir), "marks"))
	if err != nil {
		k.Fatal(err)
	}
	if err := marks.Close(); err != nil {
		k.Fatal(err)
	}
}

// A log that is opened again in one life is synced, and a start that is broken off then finds no mark that says it is settled: what the
// opening was about to remove may come back.
func TestMarkSettlesOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t, withMarks(1<<20))
	k.fill(3, 1)
	if err := errors.Join(k.log.Close(), k.opts.Marks.Flush()); err != nil {
		t.Fatal(err)
	}
	syncs := 0
	remove := k.mem.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncDir || op.Kind == vfs.OpSyncData && path.Ext(op.Name) == ".seg" {
			syncs++
		}
		return nil
	})
	if _, _, err := commitlog.Open(k.dir, k.opts); err != nil || syncs != 2 {
		t.Fatalf("opened again with %d syncs, want 2: %v", syncs, err)
	}
	remove()
	k.mem = k.mem.Kill()
	k.fs = k.mem
	if files, folders := k.opening(); files != 1 || folders != 1 {
		t.Errorf("after the kill its file was synced %d times and its folder %d, want 1 and 1", files, folders)
	}
}

// A removal that could not be made durable is not forgotten: no mark says that the log is settled any more.
func TestFailedRemovalIsNotSettled(t *testing.T) {
	t.Parallel()
	k := newKit(t, withMarks(256))
	k.fill(9, 1)
	first, failed := k.names(".seg")[0], false
	remove := k.mem.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncDir && !failed && !slices.Contains(k.names(".seg"), first) {
			failed = true
			return errors.New("no")
		}
		return nil
	})
	if _, err := k.log.SetStart(5); err == nil {
		t.Fatal("the folder was not synced")
	}
	remove()
	k.fill(1, 1)
	if err := k.opts.Marks.Flush(); err != nil {
		t.Fatal(err)
	}
	k.mem = k.mem.Kill()
	k.fs = k.mem
	if _, folders := k.opening(); folders != 1 {
		t.Errorf("after the kill its folder was synced %d times, want once", folders)
	}
}

// growBehindItsMark appends in another life whose marks are lost.
func (k *logKit) growBehindItsMark() {
	k.Helper()
	k.open()
	k.append(9, numbered(3, 1)...)
	if err := errors.Join(k.log.Close(), k.opts.Files.Close()); err != nil {
		k.Fatal(err)
	}
}

// What was removed stays away once Close has returned, also when the folder could not be synced at the time. If it cannot be
// synced then either, Close says so, and the next start does not take the folder for settled.
func TestCloseSettlesRemovals(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]int{"the folder's sync fails once": 1, "it fails again": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(256))
			k.fill(9, 1)
			first := k.names(".seg")[0]
			k.mem.OnOp(func(op vfs.Op) error {
				if op.Kind == vfs.OpSyncDir && !slices.Contains(k.names(".seg"), first) && fails > 0 {
					fails--
					return errors.New("no")
				}
				return nil
			})
			if _, err := k.log.SetStart(5); err == nil {
				t.Fatal("the folder was not synced")
			}
			want := fails > 0
			if err := k.log.Close(); (err != nil) != want {
				t.Errorf("closed: %v", err)
			}
			if err := errors.Join(k.opts.Files.Close(), k.opts.Marks.Close()); err != nil {
				t.Fatal(err)
			}
			if !want {
				k.crash(vfs.KeepNone)
			}
			if slices.Contains(k.names(".seg"), first) {
				t.Error("what was removed is back")
			}
			k.opts.Settled = true
			if _, folders := k.opening(); want != (folders > 0) {
				t.Errorf("opened with %d syncs of the folder", folders)
			}
			k.close()
		})
	}
}

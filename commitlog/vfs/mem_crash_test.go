package vfs_test

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// TestDeadInstance ends an instance and expects every call on it to say so, while the next one is free of its locks.
func TestDeadInstance(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*vfs.Mem) *vfs.Mem{
		"crash": func(m *vfs.Mem) *vfs.Mem { return m.Crash(vfs.KeepAll) },
		"kill":  (*vfs.Mem).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, 1, map[string]string{"a": "x"})
			f := must(h.disk.OpenReadWrite("a"))(t)
			lock := must(h.disk.Lock("LOCK"))(t)
			next := end(h.disk)
			for i, err := range callAll(h.disk, f, lock) {
				if !errors.Is(err, vfs.ErrCrashed) {
					t.Errorf("call %d: got %v, want %v", i, err, vfs.ErrCrashed)
				}
			}
			must(next.Lock("LOCK"))(t)
			if got, want := render(t, next, "/"), "LOCK= a=x"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// callAll calls every method once and returns the errors.
func callAll(m *vfs.Mem, f vfs.File, lock io.Closer) []error {
	return []error{
		second(m.Open("a")), second(m.OpenReadWrite("a")), second(m.Create("b")), m.Remove("a"), m.RemoveAll("a"),
		m.Rename("a", "b"), m.MkdirAll("d"), second(m.ReadDir("/")), second(m.Stat("a")), m.SyncDir("/"),
		second(m.Lock("b")), second(m.Space("a")), m.FlipBit("a", 0, 0), m.ZeroRange("a", 0, 1),
		second(f.ReadAt(make([]byte, 1), 0)), second(f.WriteAt([]byte("y"), 0)), second(f.Size()), f.Truncate(0),
		f.SyncData(), f.Preallocate(0, 1), f.DropCache(), f.Close(), lock.Close(),
	}
}

// TestCrashCloneLeavesTheOriginal goes on with an instance and with a clone of it, one not seeing the other.
func TestCrashCloneLeavesTheOriginal(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": "xxx", "d/b": "x"})
	f := h.put("a", "yy", 0)
	lock := must(h.disk.Lock("LOCK"))(t)
	h.syncAll("/")
	clone := &history{t: t, disk: h.disk.CrashClone(vfs.KeepNone)}
	must(clone.disk.Lock("LOCK"))(t)
	clone.put("a", "zz", 1)
	clone.remove("d/b")
	clone.write("c", "new")
	put(t, f, "Y", 2)
	h.write("d/e", "new")
	h.sync(f)
	for _, disk := range []struct {
		fs   vfs.FS
		want string
	}{
		{h.disk, "LOCK= a=yyY d/ d/b=x d/e=new"},
		{h.disk.CrashClone(vfs.KeepNone), "LOCK= a=yyY d/ d/b=x"},
		{clone.disk, "LOCK= a=xzz c=new d/"},
		{clone.disk.CrashClone(vfs.KeepNone), "LOCK= a=xxx d/ d/b=x"},
	} {
		if got := render(t, disk.fs, "/"); got != disk.want {
			t.Errorf("got %q, want %q", got, disk.want)
		}
	}
	wantOK(t, lock.Close())
}

// TestKillKeepsWhatIsNotSynced ends the process: what was written is there, and as little durable as before.
func TestKillKeepsWhatIsNotSynced(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": "xxx"})
	h.put("a", "yy", 0)
	h.write("b", "new")
	h.disk = h.disk.Kill()
	if got, want := render(t, h.disk, "/"), "a=yyx b=new"; got != want {
		t.Errorf("after the kill: got %q, want %q", got, want)
	}
	if got, want := render(t, h.disk.CrashClone(vfs.KeepNone), "/"), "a=xxx"; got != want {
		t.Errorf("after a power cut as well: got %q, want %q", got, want)
	}
	h.sync(h.put("a", "z", 2))
	h.syncDir("/")
	if got, want := render(t, h.disk.Crash(vfs.KeepNone), "/"), "a=yyz b="; got != want {
		t.Errorf("after syncs and a power cut: got %q, want %q", got, want)
	}
}

// TestCrashAtEveryOperation takes a crashed copy before each operation of a history, from a hook. A file that is
// replaced by the book must at all times hold one of its two contents whole.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(30) {
		h := newHistory(t, seed, map[string]string{"a": run("x", 2000)})
		points := 0
		h.disk.OnOp(func(vfs.Op) error {
			points++
			clone := h.disk.CrashClone(vfs.KeepRandom)
			f := must(clone.Open("a"))(t)
			seen[readAll(t, f)] = true
			return nil
		})
		f := h.write("tmp", run("y", 2000))
		h.sync(f)
		h.rename("tmp", "a")
		h.syncDir("/")
		wantOK(t, f.Close())
		if want := 6; points != want { // create, write, sync, rename, sync of the folder, close
			t.Fatalf("got %d points, want %d", points, want)
		}
	}
	if len(seen) != 2 || !seen[run("x", 2000)] || !seen[run("y", 2000)] {
		t.Errorf("got %d different contents, want the old and the new ones", len(seen))
	}
}

// TestConcurrentUse writes, clones, damages and crashes side by side. The race detector looks on.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"shared": run("x", 10_000)})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := 0; ; j++ {
				if err := work(h.disk, fmt.Sprintf("%d-%d", i, j)); err != nil {
					if !errors.Is(err, vfs.ErrCrashed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 30 {
			remove := h.disk.OnOp(func(vfs.Op) error { return nil })
			clone := h.disk.CrashClone(vfs.KeepRandom)
			if err := work(clone, "own"); err != nil {
				t.Error(err)
			}
			if err := h.disk.FlipBit("shared", 9999, 1); err != nil {
				t.Error(err)
			}
			h.disk.TotalReads()
			remove()
		}
		h.disk.Crash(vfs.KeepRandom)
	})
	wg.Wait()
}

// work uses one file of its own and a shared one.
func work(fsys vfs.FS, name string) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	shared, err := fsys.OpenReadWrite("shared")
	if err != nil {
		return err
	}
	_, readErr := shared.ReadAt(make([]byte, 5000), 1000)
	_, writeErr := shared.WriteAt([]byte(name), 5000)
	_, ownErr := f.WriteAt([]byte(name), 0)
	return errors.Join(readErr, writeErr, ownErr, shared.SyncData(), f.SyncData(), fsys.SyncDir("/"),
		fsys.Rename(name, name+"x"), fsys.Remove(name+"x"), f.Close(), shared.Close())
}

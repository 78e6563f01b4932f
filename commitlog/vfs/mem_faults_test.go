package vfs_test

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// TestHookSeesEveryOperation compares the operations of each method with what hooks are told.
func TestHookSeesEveryOperation(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": "x"})
	f := must(h.disk.OpenReadWrite("a"))(t)
	lock := must(h.disk.Lock("LOCK"))(t)
	var got []vfs.Op
	h.disk.OnOp(func(op vfs.Op) error {
		got = append(got, op)
		return syscall.EIO
	})
	for i, err := range callAll(h.disk, f, lock) {
		if i == 12 || i == 13 { // FlipBit and ZeroRange do not come from the code under test
			wantOK(t, err)
			continue
		}
		wantError(t, err, syscall.EIO)
	}
	want := []vfs.Op{
		{Kind: vfs.OpOpen, Name: "a"},
		{Kind: vfs.OpOpenReadWrite, Name: "a"},
		{Kind: vfs.OpCreate, Name: "b"},
		{Kind: vfs.OpRemove, Name: "a"},
		{Kind: vfs.OpRemoveAll, Name: "a"},
		{Kind: vfs.OpRename, Name: "a", NewName: "b"},
		{Kind: vfs.OpMkdirAll, Name: "d"},
		{Kind: vfs.OpReadDir, Name: "/"},
		{Kind: vfs.OpStat, Name: "a"},
		{Kind: vfs.OpSyncDir, Name: "/"},
		{Kind: vfs.OpLock, Name: "b"},
		{Kind: vfs.OpSpace, Name: "a"},
		{Kind: vfs.OpReadAt, Name: "a", Bytes: 1},
		{Kind: vfs.OpWriteAt, Name: "a", Bytes: 1},
		{Kind: vfs.OpSize, Name: "a"},
		{Kind: vfs.OpTruncate, Name: "a"},
		{Kind: vfs.OpSyncData, Name: "a"},
		{Kind: vfs.OpPreallocate, Name: "a", Bytes: 1},
		{Kind: vfs.OpDropCache, Name: "a"},
		{Kind: vfs.OpClose, Name: "a"},
		{Kind: vfs.OpUnlock, Name: "LOCK"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("other operations (-want +got):\n%s", diff)
	}
}

// TestFailedOperationHasNoEffect fails each operation and compares the disk with what it was.
func TestFailedOperationHasNoEffect(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": "xxx", "d/b": "y"})
	f := must(h.disk.OpenReadWrite("a"))(t)
	put(t, f, "z", 0)
	lock := must(h.disk.Lock("LOCK"))(t)
	remove := h.disk.OnOp(func(vfs.Op) error { return syscall.EIO })
	_, writeErr := f.WriteAt([]byte("nothing"), 0)
	for _, err := range []error{
		writeErr, f.Truncate(0), f.Preallocate(0, 10_000), f.SyncData(), h.disk.Remove("a"), h.disk.RemoveAll("d"),
		h.disk.Rename("a", "b"), h.disk.MkdirAll("e"), h.disk.SyncDir("/"),
	} {
		wantError(t, err, syscall.EIO)
	}
	wantError(t, f.Close(), syscall.EIO)
	wantError(t, lock.Close(), syscall.EIO)
	remove()
	if got, want := render(t, h.disk, "/"), "LOCK= a=zxx d/ d/b=y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := render(t, h.disk.CrashClone(vfs.KeepNone), "/"), "a=xxx d/ d/b=y"; got != want {
		t.Errorf("durable: got %q, want %q", got, want)
	}
	wantError(t, f.Close(), fs.ErrClosed) // a failed Close lets go nevertheless
	must(h.disk.Lock("LOCK"))(t)
}

// TestHooksCompose has several hooks, one of which crashes the disk at the third write.
func TestHooksCompose(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": ""})
	f := must(h.disk.OpenReadWrite("a"))(t)
	writes, after := 0, 0
	var next *vfs.Mem
	h.disk.OnOp(func(op vfs.Op) error {
		if op.Kind != vfs.OpWriteAt {
			return nil
		}
		if writes++; writes == 3 {
			next = h.disk.Crash(vfs.KeepAll)
		}
		if op.Offset == 1 {
			return syscall.EIO
		}
		return nil
	})
	h.disk.OnOp(func(vfs.Op) error { after++; return nil })
	put(t, f, "x", 0)
	_, err := f.WriteAt([]byte("y"), 1)
	wantError(t, err, syscall.EIO)
	_, err = f.WriteAt([]byte("z"), 2)
	wantError(t, err, vfs.ErrCrashed)
	_, err = f.WriteAt([]byte("z"), 2)
	wantError(t, err, vfs.ErrCrashed)
	if writes != 3 || after != 2 {
		t.Errorf("got %d writes seen by the first hook and %d by the second, want 3 and 2", writes, after)
	}
	if got, want := render(t, next, "/"), "a=x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFailNextSync follows what was written before a failed sync: in the cache, not on the disk.
func TestFailNextSync(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": run("x", 10_000), "b": "x"})
	a, b := h.put("a", run("y", 5000), 0), h.put("b", "y", 0)
	put(t, a, "new", 10_000)
	h.disk.FailNextSync("/a")
	h.sync(b)
	wantError(t, a.SyncData(), syscall.EIO)
	wantContents(t, h.disk, "a", run("y", 5000)+run("x", 5000)+"new")
	h.sync(a) // it pretends
	put(t, a, "z", 9000)
	wantContents(t, h.disk, "a", run("y", 5000)+run("x", 4000)+"z"+run("x", 999)+"new")
	wantOK(t, a.DropCache())
	// The third page was written again and shows what it did; the other two show the disk.
	want := run("x", 9000) + "z" + run("x", 999) + "new"
	wantContents(t, h.disk, "a", want)
	h.sync(a)
	wantContents(t, h.disk, "a", want)
	wantContents(t, h.disk.Crash(vfs.KeepNone), "a", want)
}

// TestFailNextSyncOfAny fails as many syncs as were asked for, of the files that they were asked for.
func TestFailNextSyncOfAny(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": "x", "d/b": "x"})
	a, b := h.put("a", "y", 0), h.put("d/b", "y", 0)
	h.disk.FailNextSync("")
	h.disk.FailNextSync("d/b")
	wantError(t, b.SyncData(), syscall.EIO)
	wantError(t, a.SyncData(), syscall.EIO)
	wantOK(t, a.SyncData())
	wantOK(t, b.SyncData())
	h.disk.FailNextSync("a")
	h.disk.FailNextSync("a")
	wantOK(t, b.SyncData())
	wantError(t, a.SyncData(), syscall.EIO)
	wantError(t, a.SyncData(), syscall.EIO)
	wantOK(t, a.SyncData())
}

// TestDropCacheKeepsDirtyPages drops a cache in which nothing went wrong.
func TestDropCacheKeepsDirtyPages(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": run("x", 10_000)})
	f := h.put("a", run("y", 5000), 0)
	wantOK(t, f.Truncate(6000))
	wantOK(t, f.DropCache())
	wantContents(t, h.disk, "a", run("y", 5000)+run("x", 1000))
	h.failSync(f)
	wantOK(t, f.Truncate(9000))
	wantOK(t, f.DropCache())
	wantContents(t, h.disk, "a", run("x", 6000)+zeros(3000))
}

// TestStaleCacheOutlivesTheProcess restarts the process after a failed sync: it still reads what is not on the disk.
func TestStaleCacheOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": "xxx"})
	h.failSync(h.put("a", "yy", 0))
	h.disk = h.disk.Kill()
	wantContents(t, h.disk, "a", "yyx")
	f := must(h.disk.Open("a"))(t)
	wantOK(t, f.DropCache())
	wantContents(t, h.disk, "a", "xxx")
}

// TestCapacity fills a disk of four blocks.
func TestCapacity(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{})
	h.disk.SetCapacity(4*4096 + 100)
	wantFree := func(blocks int64) {
		t.Helper()
		want := vfs.Space{TotalBytes: 4 * 4096, FreeBytes: blocks * 4096}
		if got := must(h.disk.Space("/"))(t); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	a, b := h.write("a", run("x", 5000)), h.write("b", "")
	wantFree(2)
	wantOK(t, b.Preallocate(0, 4096))
	wantFree(1)
	wantError(t, a.Preallocate(5000, 8192), syscall.ENOSPC)
	wantSize(t, a, 5000)
	wantFree(1)
	n, err := a.WriteAt([]byte(run("y", 10_000)), 5000)
	wantError(t, err, syscall.ENOSPC)
	if n != 3*4096-5000 { // the rest of the second block and the last free one
		t.Errorf("got %d bytes written, want %d", n, 3*4096-5000)
	}
	wantSize(t, a, 3*4096)
	wantContents(t, h.disk, "a", run("x", 5000)+run("y", 3*4096-5000))
	wantFree(0)
	n, err = a.WriteAt([]byte("z"), 3*4096)
	wantError(t, err, syscall.ENOSPC)
	if n != 0 {
		t.Errorf("got %d bytes written to a full disk", n)
	}
	put(t, b, run("z", 4096), 0) // what was preallocated is there
	put(t, a, "z", 0)            // and so is what was written
	wantOK(t, a.Truncate(1<<30)) // a hole takes nothing
	wantFree(0)
	wantOK(t, a.Truncate(4096))
	wantFree(2)
	wantOK(t, h.disk.Remove("a"))
	wantFree(2) // it is open
	wantOK(t, a.Close())
	wantFree(3)
	wantOK(t, h.disk.Rename("b", "c"))
	h.write("d", "x")
	wantOK(t, h.disk.Rename("d", "c"))
	wantFree(2) // b is replaced, but open
	wantOK(t, b.Close())
	wantFree(3)
	h.disk.SetCapacity(0)
	if got := must(h.disk.Space("/"))(t); got.FreeBytes < 1<<40 {
		t.Errorf("got %+v without limit", got)
	}
}

// TestCapacityAfterCrash counts again what takes space: durable preallocations do.
func TestCapacityAfterCrash(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": "x", "b": ""})
	h.disk.SetCapacity(10 * 4096)
	free := func(want int64) {
		t.Helper()
		if got := must(h.disk.Space("/"))(t); got.FreeBytes != want*4096 {
			t.Errorf("got %d bytes free, want %d", got.FreeBytes, want*4096)
		}
	}
	h.sync(h.preallocate("b", 0, 3*4096))
	h.preallocate("a", 0, 2*4096)
	free(5)
	wantOK(t, must(h.disk.Open("b"))(t).DropCache())
	free(5)
	f := h.put("a", "x", 5*4096)
	h.failSync(f)
	wantOK(t, f.DropCache())
	h.put("a", "x", 5*4096) // what was lost kept its space
	free(4)
	h.remove("b")
	h.disk = h.disk.Crash(vfs.KeepNone)
	free(6)
	h.remove("b")
	free(9)
	h.put("a", "x", 4096)
	wantOK(t, h.disk.Remove("a"))
	free(8) // it is open
	h.disk = h.disk.Kill()
	free(10)
}

// TestDamageAtRest changes bytes that are durable and bytes that are not.
func TestDamageAtRest(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": run("a", 10_000), "d/": ""})
	wantOK(t, h.disk.FlipBit("a", 5000, 1))
	wantOK(t, h.disk.ZeroRange("a", 4000, 200))
	want := run("a", 4000) + zeros(200) + run("a", 800) + "c" + run("a", 4999)
	wantContents(t, h.disk, "a", want)
	wantContents(t, h.disk.CrashClone(vfs.KeepNone), "a", want)
	f := h.put("a", "x", 5001) // the write to the damaged sector brings the damage along
	wantOK(t, f.DropCache())
	want = want[:5001] + "x" + want[5002:]
	wantContents(t, h.disk, "a", want)
	wantContents(t, h.disk.CrashClone(vfs.KeepAll), "a", want)
	wantOK(t, h.disk.FlipBit("a", 5000, 1))
	wantContents(t, h.disk.CrashClone(vfs.KeepAll), "a", want[:5000]+"a"+want[5001:])
	wantOK(t, f.Truncate(20_000))
	wantOK(t, h.disk.FlipBit("a", 15_000, 0)) // in a hole that is not durable
	wantContents(t, h.disk, "a", want[:5000]+"a"+want[5001:]+zeros(5000)+"\x01"+zeros(4999))
	for _, err := range []error{
		h.disk.FlipBit("a", 20_000, 0), h.disk.FlipBit("a", -1, 0), h.disk.FlipBit("a", 0, 8),
		h.disk.ZeroRange("a", 19_999, 2), h.disk.ZeroRange("a", 0, -1), h.disk.ZeroRange("d", 0, 0),
	} {
		wantError(t, err, fs.ErrInvalid)
	}
	wantError(t, h.disk.FlipBit("none", 0, 0), fs.ErrNotExist)
}

// TestReadsAreCounted counts calls and bytes by file and in total.
func TestReadsAreCounted(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": run("x", 100), "d/b": run("x", 100)})
	read := func(f vfs.File, offset int64, length, want int) {
		t.Helper()
		if n, err := f.ReadAt(make([]byte, length), offset); n != want {
			t.Fatalf("got %d bytes, error %v, want %d", n, err, want)
		}
	}
	first, second := must(h.disk.Open("a"))(t), must(h.disk.Open("/d/../a"))(t)
	read(first, 0, 60, 60)
	read(second, 90, 60, 10)
	read(must(h.disk.Open("d/b"))(t), 0, 7, 7)
	got := []vfs.ReadCount{h.disk.Reads("a"), h.disk.Reads("/d/b"), h.disk.Reads("none"), h.disk.TotalReads()}
	want := []vfs.ReadCount{{Calls: 2, Bytes: 70}, {Calls: 1, Bytes: 7}, {}, {Calls: 3, Bytes: 77}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("other counts (-want +got):\n%s", diff)
	}
	h.disk.ResetReads()
	read(first, 0, 5, 5)
	got = []vfs.ReadCount{h.disk.Reads("a"), h.disk.Reads("d/b"), h.disk.TotalReads()}
	want = []vfs.ReadCount{{Calls: 1, Bytes: 5}, {}, {Calls: 1, Bytes: 5}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("other counts after the reset (-want +got):\n%s", diff)
	}
}

// TestLimitsOfMem goes to what only a Mem refuses.
func TestLimitsOfMem(t *testing.T) {
	t.Parallel()
	h := newHistory(t, 1, map[string]string{"a": "x", "d/b": "y"})
	for name, err := range map[string]error{
		"removing the root":             h.disk.Remove("/"),
		"removing the root and all":     h.disk.RemoveAll("."),
		"renaming the root":             h.disk.Rename("/", "e"),
		"removing all below a file":     h.disk.RemoveAll("a/b"),
		"locking a folder":              second(h.disk.Lock("d")),
		"a write far beyond the end":    second(h.put("a", "", 0).WriteAt([]byte("x"), 1<<40)),
		"a truncation far beyond":       h.put("a", "", 0).Truncate(1 << 40),
		"a preallocation far beyond it": h.put("a", "", 0).Preallocate(1<<40, 1),
	} {
		if err == nil {
			t.Errorf("%s succeeded", name)
		}
	}
	if got, want := render(t, h.disk, "/"), "a=x d/ d/b=y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	info := must(h.disk.Stat("/"))(t)
	if info.Name() != "/" || !info.IsDir() || !info.ModTime().IsZero() || info.Sys() != nil {
		t.Errorf("got %+v, want the root without times", info)
	}
	if got, want := vfs.OpKind(200).String(), "OpKind(200)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func second(_ any, err error) error { return err }

// TestErrorsNameTheFile keeps to the form of package os.
func TestErrorsNameTheFile(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	_, openErr := disk.Open("a/b")
	_, lockErr := disk.Lock("")
	for _, c := range []struct {
		err  error
		want string
	}{
		{openErr, "Open a/b: file does not exist"},
		{disk.Rename("a", "b"), "Rename a b: file does not exist"},
		{lockErr, "Lock : file does not exist"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("got %v, want %s", c.err, c.want)
		}
	}
	var at *fs.PathError
	if !errors.As(openErr, &at) || at.Path != "a/b" {
		t.Errorf("got %T, want an error that has the path", openErr)
	}
}

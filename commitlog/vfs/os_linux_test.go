package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// TestPreallocateTakesSpace compares the blocks of a file that was preallocated with one that was made as long.
func TestPreallocateTakesSpace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const length = 1 << 20
	skipWithoutFallocate(t, dir)
	blocks := func(name string, grow func(vfs.File) error) int64 {
		name = filepath.Join(dir, name)
		f := must(vfs.OS().Create(name))(t)
		wantOK(t, grow(f))
		wantOK(t, f.Close())
		st, ok := must(vfs.OS().Stat(name))(t).Sys().(*syscall.Stat_t)
		if !ok {
			t.Fatal("the system does not tell blocks")
		}
		return st.Blocks * 512
	}
	if got := blocks("reserved", func(f vfs.File) error { return f.Preallocate(0, length) }); got < length {
		t.Errorf("preallocating %d bytes took %d", length, got)
	}
	if got := blocks("hole", func(f vfs.File) error { return f.Truncate(length) }); got >= length {
		t.Errorf("a hole of %d bytes took %d", length, got)
	}
}

func skipWithoutFallocate(t *testing.T, dir string) {
	t.Helper()
	f := must(os.Create(filepath.Join(dir, "probe")))(t)
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, 4096); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the file system has no fallocate")
	}
	wantOK(t, f.Close())
}

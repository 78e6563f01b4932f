package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// volume is a file system under test and an empty, durable folder in it.
type volume struct {
	vfs.FS
	dir string
	t   *testing.T
}

func (v volume) path(name ...string) string {
	return filepath.Join(append([]string{v.dir}, name...)...)
}

// TestConformance holds both file systems to the contract of FS and File.
func TestConformance(t *testing.T) {
	t.Parallel()
	volumes := map[string]func(t *testing.T) volume{
		"os":  func(t *testing.T) volume { t.Helper(); return volume{vfs.OS(), t.TempDir(), t} },
		"mem": func(t *testing.T) volume { t.Helper(); return volume{vfs.NewMem(1), "/", t} },
	}
	cases := map[string]func(v volume){
		"a new file is empty and listed":              testCreate,
		"create refuses what is there":                testCreateExisting,
		"open needs a file":                           testOpenMissing,
		"open for reading does not write":             testReadOnly,
		"reads and writes at positions":               testReadWriteAt,
		"a hole reads as zeros":                       testHole,
		"truncation cuts and grows with zeros":        testTruncate,
		"preallocation extends and keeps what is":     testPreallocate,
		"an impossible preallocation changes nothing": testPreallocateFails,
		"wrong arguments change nothing":              testInvalidArguments,
		"syncs and dropped caches keep contents":      testSyncKeepsContents,
		"a closed file refuses":                       testClosed,
		"removal leaves open files alone":             testRemoveOpen,
		"a folder with files is not removed":          testRemoveFolder,
		"all is removed":                              testRemoveAll,
		"rename replaces a file":                      testRenameReplaces,
		"rename of a folder moves what is in it":      testRenameFolder,
		"rename refuses folders in the way":           testRenameRefuses,
		"folders are made with those above":           testMkdirAll,
		"folders are listed by name":                  testReadDir,
		"sync of a folder needs a folder":             testSyncDir,
		"a lock has one holder":                       testLock,
		"the volume has a size":                       testSpace,
	}
	for kind, open := range volumes {
		for name, test := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(open(t))
			})
		}
	}
}

func testCreate(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	wantSize(t, f, 0)
	info := must(v.Stat(v.path("a")))(t)
	if info.Name() != "a" || info.Size() != 0 || info.IsDir() || !info.Mode().IsRegular() {
		t.Errorf("got %q of %d bytes, mode %v, want an empty regular file a", info.Name(), info.Size(), info.Mode())
	}
	wantNames(t, v, v.dir, "a")
	wantOK(t, f.Close())
}

func testCreateExisting(v volume) {
	t := v.t
	write(t, v, v.path("file"), "x")
	wantOK(t, v.MkdirAll(v.path("folder")))
	for _, name := range []string{"file", "folder"} {
		_, err := v.Create(v.path(name))
		wantError(t, err, fs.ErrExist)
	}
	wantContents(t, v, v.path("file"), "x")
	_, err := v.Create(v.path("none", "a"))
	wantError(t, err, fs.ErrNotExist)
}

func testOpenMissing(v volume) {
	t := v.t
	wantOK(t, v.MkdirAll(v.path("folder")))
	write(t, v, v.path("file"), "x")
	for _, open := range []func(string) (vfs.File, error){v.Open, v.OpenReadWrite} {
		for _, name := range []string{v.path("a"), v.path("none", "a"), ""} {
			_, err := open(name)
			wantError(t, err, fs.ErrNotExist)
		}
		for _, name := range []string{v.path("folder"), v.path("file", "a")} {
			if _, err := open(name); err == nil {
				t.Errorf("opening %s succeeded, want an error", name)
			}
		}
	}
	_, err := v.Stat(v.path("a"))
	wantError(t, err, fs.ErrNotExist)
	_, err = v.ReadDir(v.path("a"))
	wantError(t, err, fs.ErrNotExist)
	wantError(t, v.Remove(v.path("a")), fs.ErrNotExist)
	wantError(t, v.Rename(v.path("a"), v.path("b")), fs.ErrNotExist)
}

func testReadOnly(v volume) {
	t := v.t
	write(t, v, v.path("a"), "abc")
	f := must(v.Open(v.path("a")))(t)
	if n, err := f.WriteAt([]byte("x"), 0); err == nil || n != 0 {
		t.Errorf("got %d bytes written, error %v, want none and an error", n, err)
	}
	if err := f.Truncate(0); err == nil {
		t.Error("truncation of a file opened for reading succeeded")
	}
	if err := f.Preallocate(0, 10); err == nil {
		t.Error("preallocation in a file opened for reading succeeded")
	}
	wantOK(t, f.DropCache())
	wantOK(t, f.Close())
	wantContents(t, v, v.path("a"), "abc")
}

func testReadWriteAt(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	want := pattern(3*4096 + 100)
	for _, part := range [][2]int{{0, 10}, {8000, len(want)}, {10, 5000}, {4000, 8200}} { // overlapping, out of order
		n, err := f.WriteAt(want[part[0]:part[1]], int64(part[0]))
		if n != part[1]-part[0] || err != nil {
			t.Fatalf("got %d bytes written, error %v, want %d", n, err, part[1]-part[0])
		}
	}
	got := make([]byte, len(want))
	if n, err := f.ReadAt(got, 0); n != len(want) || err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, error %v, as written: %v", n, err, bytes.Equal(got, want))
	}
	if n, err := f.ReadAt(got[:50], 4090); n != 50 || err != nil || !bytes.Equal(got[:50], want[4090:4140]) {
		t.Errorf("within: got %d bytes, error %v", n, err)
	}
	if n, err := f.ReadAt(got[:50], int64(len(want)-20)); n != 20 || !errors.Is(err, io.EOF) {
		t.Errorf("across the end: got %d bytes, error %v, want 20 and EOF", n, err)
	}
	for _, offset := range []int64{int64(len(want)), math.MaxInt64 - 100} {
		if n, err := f.ReadAt(got[:50], offset); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("at %d: got %d bytes, error %v, want 0 and EOF", offset, n, err)
		}
	}
	if n, err := f.WriteAt(nil, 1<<20); n != 0 || err != nil {
		t.Errorf("writing nothing: got %d bytes, error %v", n, err)
	}
	wantSize(t, f, int64(len(want)))
	wantOK(t, f.Close())
	wantContents(t, v, v.path("a"), string(want))
}

func testHole(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	put(t, f, "x", 10_000)
	wantSize(t, f, 10_001)
	wantOK(t, f.Close())
	wantContents(t, v, v.path("a"), zeros(10_000)+"x")
}

func testTruncate(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	text := string(pattern(9000))
	put(t, f, text, 0)
	for _, step := range []struct {
		size int64
		want string
	}{
		{9000, text},
		{5000, text[:5000]},
		{9000, text[:5000] + zeros(4000)},
		{4096, text[:4096]},
		{20_000, text[:4096] + zeros(20_000-4096)},
		{0, ""},
		{3, zeros(3)},
	} {
		wantOK(t, f.Truncate(step.size))
		wantSize(t, f, step.size)
		wantContents(t, v, v.path("a"), step.want)
	}
	wantOK(t, f.Close())
}

func testPreallocate(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	text := string(pattern(5000))
	put(t, f, text, 0)
	wantOK(t, f.Preallocate(100, 200))
	wantSize(t, f, 5000)
	wantOK(t, f.Preallocate(4000, 6000))
	wantSize(t, f, 10_000)
	wantContents(t, v, v.path("a"), text+zeros(5000))
	put(t, f, "x", 9999)
	wantContents(t, v, v.path("a"), text+zeros(4999)+"x")
	wantOK(t, f.Close())
}

func testPreallocateFails(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	put(t, f, "abc", 0)
	if err := f.Preallocate(1, math.MaxInt64-4096); err == nil {
		t.Fatal("preallocating all that can be counted succeeded")
	}
	wantSize(t, f, 3)
	wantOK(t, f.Close())
	wantContents(t, v, v.path("a"), "abc")
}

func testInvalidArguments(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	put(t, f, "abc", 0)
	_, readErr := f.ReadAt(make([]byte, 1), -1)
	_, writeErr := f.WriteAt([]byte("x"), -1)
	for name, err := range map[string]error{
		"read before the file":         readErr,
		"write before the file":        writeErr,
		"negative size":                f.Truncate(-1),
		"preallocate before the file":  f.Preallocate(-1, 10),
		"preallocate nothing":          f.Preallocate(10, 0),
		"preallocate less":             f.Preallocate(10, -1),
		"preallocate beyond all count": f.Preallocate(math.MaxInt64, math.MaxInt64),
	} {
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
	wantOK(t, f.Close())
	wantContents(t, v, v.path("a"), "abc")
}

func testSyncKeepsContents(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	text := string(pattern(5000))
	put(t, f, text, 0)
	wantOK(t, f.DropCache()) // of what is not written back yet nothing may be lost
	wantContents(t, v, v.path("a"), text)
	wantOK(t, f.SyncData())
	put(t, f, "x", 0)
	wantOK(t, f.SyncData())
	wantOK(t, v.SyncDir(v.dir))
	wantOK(t, f.DropCache())
	wantContents(t, v, v.path("a"), "x"+text[1:])
	wantOK(t, f.Close())
}

func testClosed(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	wantOK(t, f.Close())
	_, readErr := f.ReadAt(make([]byte, 1), 0)
	_, writeErr := f.WriteAt(make([]byte, 1), 0)
	_, sizeErr := f.Size()
	for name, err := range map[string]error{
		"read": readErr, "write": writeErr, "size": sizeErr, "truncate": f.Truncate(0), "sync": f.SyncData(),
		"preallocate": f.Preallocate(0, 1), "drop cache": f.DropCache(), "close": f.Close(),
	} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: got %v, want %v", name, err, fs.ErrClosed)
		}
	}
}

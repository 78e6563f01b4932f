package vfs_test

import (
	"io/fs"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

func testRemoveOpen(v volume) {
	t := v.t
	f := must(v.Create(v.path("a")))(t)
	put(t, f, "old", 0)
	wantOK(t, v.Remove(v.path("a")))
	wantNames(t, v, v.dir)
	write(t, v, v.path("a"), "new")
	wantRead(t, f, "old")
	put(t, f, "OLD", 0)
	wantOK(t, f.SyncData())
	wantOK(t, f.Close())
	wantContents(t, v, v.path("a"), "new")
}

func testRemoveFolder(v volume) {
	t := v.t
	wantOK(t, v.MkdirAll(v.path("d")))
	write(t, v, v.path("d", "a"), "x")
	if err := v.Remove(v.path("d")); err == nil {
		t.Error("a folder with a file in it was removed")
	}
	wantNames(t, v, v.path("d"), "a")
	wantOK(t, v.Remove(v.path("d", "a")))
	wantOK(t, v.Remove(v.path("d")))
	wantNames(t, v, v.dir)
}

func testRemoveAll(v volume) {
	t := v.t
	wantOK(t, v.MkdirAll(v.path("d", "e")))
	write(t, v, v.path("d", "a"), "x")
	write(t, v, v.path("d", "e", "b"), "x")
	write(t, v, v.path("c"), "x")
	wantOK(t, v.RemoveAll(v.path("d")))
	wantOK(t, v.RemoveAll(v.path("d")))
	wantOK(t, v.RemoveAll(v.path("none", "d")))
	wantNames(t, v, v.dir, "c")
	wantOK(t, v.RemoveAll(v.path("c")))
	wantNames(t, v, v.dir)
}

func testRenameReplaces(v volume) {
	t := v.t
	write(t, v, v.path("a"), "old")
	write(t, v, v.path("b"), "new")
	old := must(v.Open(v.path("a")))(t)
	wantOK(t, v.Rename(v.path("b"), v.path("a")))
	wantNames(t, v, v.dir, "a")
	wantContents(t, v, v.path("a"), "new")
	wantRead(t, old, "old")
	wantOK(t, old.Close())
	wantOK(t, v.Rename(v.path("a"), v.path("a")))
	wantContents(t, v, v.path("a"), "new")
}

func testRenameFolder(v volume) {
	t := v.t
	wantOK(t, v.MkdirAll(v.path("d", "e")))
	wantOK(t, v.MkdirAll(v.path("trash")))
	write(t, v, v.path("d", "e", "a"), "x")
	f := must(v.OpenReadWrite(v.path("d", "e", "a")))(t)
	wantOK(t, v.Rename(v.path("d"), v.path("trash", "f")))
	wantNames(t, v, v.dir, "trash/")
	put(t, f, "y", 1)
	wantOK(t, f.Close())
	wantContents(t, v, v.path("trash", "f", "e", "a"), "xy")
}

func testRenameRefuses(v volume) {
	t := v.t
	wantOK(t, v.MkdirAll(v.path("d", "inner")))
	wantOK(t, v.MkdirAll(v.path("empty")))
	write(t, v, v.path("a"), "x")
	wantError(t, v.Rename(v.path("a"), v.path("empty")), fs.ErrExist)
	wantError(t, v.Rename(v.path("d"), v.path("empty")), fs.ErrExist)
	wantError(t, v.Rename(v.path("a"), v.path("none", "a")), fs.ErrNotExist)
	for _, to := range []string{v.path("a"), v.path("d", "inner", "d"), v.path("a", "d")} {
		if err := v.Rename(v.path("d"), to); err == nil {
			t.Errorf("renaming a folder to %s succeeded", to)
		}
	}
	wantNames(t, v, v.dir, "a", "d/", "empty/")
	wantContents(t, v, v.path("a"), "x")
}

func testMkdirAll(v volume) {
	t := v.t
	wantOK(t, v.MkdirAll(v.path("d", "e", "f")))
	wantOK(t, v.MkdirAll(v.path("d", "e")))
	wantOK(t, v.MkdirAll(v.dir))
	wantNames(t, v, v.path("d", "e"), "f/")
	info := must(v.Stat(v.path("d", "e")))(t)
	if !info.IsDir() || info.Name() != "e" {
		t.Errorf("got %q, folder: %v, want the folder e", info.Name(), info.IsDir())
	}
	write(t, v, v.path("a"), "x")
	for _, name := range []string{v.path("a"), v.path("a", "d"), ""} {
		if err := v.MkdirAll(name); err == nil {
			t.Errorf("the folder %q was made, where a file is or without a name", name)
		}
	}
}

func testReadDir(v volume) {
	t := v.t
	for _, name := range []string{"b", "a", "C", "a.x", "10", "9"} {
		write(t, v, v.path(name), name)
	}
	wantOK(t, v.MkdirAll(v.path("aa", "below")))
	wantNames(t, v, v.dir, "10", "9", "C", "a", "a.x", "aa/", "b")
	entries := must(v.ReadDir(v.dir))(t)
	if info := must(entries[4].Info())(t); info.Size() != 3 || info.IsDir() {
		t.Errorf("got %d bytes, folder: %v, want the file a.x of 3 bytes", info.Size(), info.IsDir())
	}
	if _, err := v.ReadDir(v.path("a")); err == nil {
		t.Error("a file was listed as a folder")
	}
}

func testSyncDir(v volume) {
	t := v.t
	write(t, v, v.path("a"), "x")
	wantOK(t, v.SyncDir(v.dir))
	wantError(t, v.SyncDir(v.path("none")), fs.ErrNotExist)
	if err := v.SyncDir(v.path("a")); err == nil {
		t.Error("a file was synced as a folder")
	}
}

func testLock(v volume) {
	t := v.t
	first := must(v.Lock(v.path("LOCK")))(t)
	_, err := v.Lock(v.path("LOCK"))
	wantError(t, err, vfs.ErrLocked)
	other := must(v.Lock(v.path("OTHER")))(t)
	wantOK(t, first.Close())
	wantError(t, first.Close(), fs.ErrClosed)
	again := must(v.Lock(v.path("LOCK")))(t)
	_, err = v.Lock(v.path("LOCK"))
	wantError(t, err, vfs.ErrLocked)
	wantOK(t, again.Close())
	wantOK(t, other.Close())
	wantNames(t, v, v.dir, "LOCK", "OTHER")
	_, err = v.Lock(v.path("none", "LOCK"))
	wantError(t, err, fs.ErrNotExist)
}

func testSpace(v volume) {
	t := v.t
	write(t, v, v.path("a"), "x")
	for _, name := range []string{v.dir, v.path("a")} {
		space := must(v.Space(name))(t)
		if space.FreeBytes <= 0 || space.TotalBytes < space.FreeBytes {
			t.Errorf("%s: got %+v, want some of it free", name, space)
		}
	}
	_, err := v.Space(v.path("none"))
	wantError(t, err, fs.ErrNotExist)
}

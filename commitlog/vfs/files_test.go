package vfs_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// must returns the value of a call that may not fail.
func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		wantOK(t, err)
		return value
	}
}

func wantOK(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

func wantSize(t *testing.T, f vfs.File, want int64) {
	t.Helper()
	if got := must(f.Size())(t); got != want {
		t.Errorf("got size %d, want %d", got, want)
	}
}

// wantRead compares all that an open file holds.
func wantRead(t *testing.T, f vfs.File, want string) {
	t.Helper()
	if got := readAll(t, f); got != want {
		t.Errorf("the contents differ (-want +got):\n%s", cmp.Diff([]byte(want), []byte(got)))
	}
}

func wantContents(t *testing.T, fsys vfs.FS, name, want string) {
	t.Helper()
	f := must(fsys.Open(name))(t)
	wantRead(t, f, want)
	wantOK(t, f.Close())
}

// wantNames compares a listing; folders end with a slash.
func wantNames(t *testing.T, fsys vfs.FS, folder string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), names(t, fsys, folder)); diff != "" {
		t.Errorf("%s lists other names (-want +got):\n%s", folder, diff)
	}
}

func names(t *testing.T, fsys vfs.FS, folder string) []string {
	t.Helper()
	all := []string{}
	for _, e := range must(fsys.ReadDir(folder))(t) {
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		all = append(all, name)
	}
	return all
}

func readAll(t *testing.T, f vfs.File) string {
	t.Helper()
	p := make([]byte, must(f.Size())(t))
	if n, err := f.ReadAt(p, 0); n != len(p) {
		t.Fatalf("got %d of %d bytes, error %v", n, len(p), err)
	}
	return string(p)
}

func put(t *testing.T, f vfs.File, text string, offset int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(text), offset); n != len(text) || err != nil {
		t.Fatalf("got %d of %d bytes written, error %v", n, len(text), err)
	}
}

// write makes a file; nothing of it is durable.
func write(t *testing.T, fsys vfs.FS, name, text string) {
	t.Helper()
	f := must(fsys.Create(name))(t)
	put(t, f, text, 0)
	wantOK(t, f.Close())
}

// pattern is bytes without zeros that tell their position.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(1 + (i+i/251)%251)
	}
	return p
}

func zeros(n int) string { return string(make([]byte, n)) }

package vfs_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// history changes a Mem. Files stay open.
type history struct {
	t    *testing.T
	disk *vfs.Mem
}

// newHistory makes the files and folders and syncs them all.
func newHistory(t *testing.T, seed uint64, durable map[string]string) *history {
	t.Helper()
	h := &history{t: t, disk: vfs.NewMem(seed)}
	for _, name := range slices.Sorted(maps.Keys(durable)) { // outcomes depend on the order
		if strings.HasSuffix(name, "/") {
			h.mkdir(name)
			continue
		}
		h.mkdir(path.Dir(name))
		h.sync(h.write(name, durable[name]))
	}
	h.syncAll("/")
	return h
}

func (h *history) syncAll(folder string) {
	h.t.Helper()
	h.syncDir(folder)
	for _, name := range names(h.t, h.disk, folder) {
		if strings.HasSuffix(name, "/") {
			h.syncAll(path.Join(folder, name))
		}
	}
}

func (h *history) write(name, text string) vfs.File {
	h.t.Helper()
	f := must(h.disk.Create(name))(h.t)
	put(h.t, f, text, 0)
	return f
}

func (h *history) put(name, text string, offset int64) vfs.File {
	h.t.Helper()
	f := must(h.disk.OpenReadWrite(name))(h.t)
	put(h.t, f, text, offset)
	return f
}

func (h *history) truncate(name string, size int64) vfs.File {
	h.t.Helper()
	f := must(h.disk.OpenReadWrite(name))(h.t)
	wantOK(h.t, f.Truncate(size))
	return f
}

func (h *history) preallocate(name string, offset, length int64) vfs.File {
	h.t.Helper()
	f := must(h.disk.OpenReadWrite(name))(h.t)
	wantOK(h.t, f.Preallocate(offset, length))
	return f
}

func (h *history) sync(f vfs.File) {
	h.t.Helper()
	wantOK(h.t, f.SyncData())
}

func (h *history) failSync(f vfs.File) {
	h.t.Helper()
	h.disk.FailNextSync("")
	wantError(h.t, f.SyncData(), syscall.EIO)
}

func (h *history) syncDir(name string)     { h.t.Helper(); wantOK(h.t, h.disk.SyncDir(name)) }
func (h *history) mkdir(name string)       { h.t.Helper(); wantOK(h.t, h.disk.MkdirAll(name)) }
func (h *history) rename(from, to string)  { h.t.Helper(); wantOK(h.t, h.disk.Rename(from, to)) }
func (h *history) remove(name string)      { h.t.Helper(); wantOK(h.t, h.disk.Remove(name)) }
func (h *history) removeAll(name string)   { h.t.Helper(); wantOK(h.t, h.disk.RemoveAll(name)) }
func (h *history) lock(name string)        { h.t.Helper(); must(h.disk.Lock(name))(h.t) }
func run(letter string, length int) string { return strings.Repeat(letter, length) }

// render writes all that is in a folder in one line: folders with a slash, files with their contents. A zero is 0, and
// runs of more than four equal bytes are counted.
func render(t *testing.T, fsys vfs.FS, folder string) string {
	t.Helper()
	var parts []string
	for _, name := range names(t, fsys, folder) {
		full := path.Join(folder, name)
		if strings.HasSuffix(name, "/") {
			parts = append(parts, strings.TrimPrefix(full, "/")+"/")
			if below := render(t, fsys, full); below != "" {
				parts = append(parts, below)
			}
			continue
		}
		f := must(fsys.Open(full))(t)
		parts = append(parts, strings.TrimPrefix(full, "/")+"="+renderRuns(readAll(t, f)))
		wantOK(t, f.Close())
	}
	return strings.Join(parts, " ")
}

func renderRuns(text string) string {
	var runs []string
	var short string
	for text = strings.ReplaceAll(text, "\x00", "0"); text != ""; {
		n := 1
		for n < len(text) && text[n] == text[0] {
			n++
		}
		if n > 4 {
			if short != "" {
				runs, short = append(runs, short), ""
			}
			runs = append(runs, fmt.Sprintf("%s*%d", text[:1], n))
		} else {
			short += text[:n]
		}
		text = text[n:]
	}
	if short != "" {
		runs = append(runs, short)
	}
	return strings.Join(runs, " ")
}

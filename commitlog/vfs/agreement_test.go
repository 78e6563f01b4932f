package vfs_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// TestMemAgreesWithOS makes the same random calls on both file systems and expects the same results, errors included.
func TestMemAgreesWithOS(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		system := newCaller(volume{vfs.OS(), t.TempDir(), t}, seed)
		mem := newCaller(volume{vfs.NewMem(seed), "/", t}, seed)
		for step := range 150 {
			want, got := system.call(), mem.call()
			if got != want {
				t.Fatalf("seed %d, step %d: got %q, from the system %q", seed, step, got, want)
			}
		}
		want := strings.ReplaceAll(render(t, system, system.dir), strings.TrimPrefix(system.dir, "/")+"/", "")
		if diff := cmp.Diff(want, render(t, mem, mem.dir)); diff != "" {
			t.Fatalf("seed %d: other files (-os +mem):\n%s", seed, diff)
		}
		system.close(t)
		mem.close(t)
	}
}

// caller makes random calls, the same for the same seed as long as results are the same.
type caller struct {
	volume
	rng  *rand.Rand
	open []vfs.File
}

func newCaller(v volume, seed uint64) *caller {
	return &caller{volume: v, rng: rand.New(rand.NewPCG(seed, 3))}
}

func (c *caller) close(t *testing.T) {
	t.Helper()
	for _, f := range c.open {
		wantOK(t, f.Close())
	}
}

// call makes one call and tells what came of it.
func (c *caller) call() string {
	name, other := c.randomName(), c.randomName()
	switch kind := c.rng.IntN(20); kind {
	case 0:
		return c.keep("create "+name, c.Create, name)
	case 1:
		return c.keep("open "+name, c.OpenReadWrite, name)
	case 2:
		return fmt.Sprint("remove ", name, class(c.Remove(c.path(name))))
	case 3:
		return fmt.Sprint("rename ", name, " to ", other, class(c.Rename(c.path(name), c.path(other))))
	case 4:
		return fmt.Sprint("mkdir ", name, class(c.MkdirAll(c.path(name))))
	case 5:
		if c.rng.IntN(4) > 0 {
			return "nothing"
		}
		return fmt.Sprint("remove all ", name, class(c.RemoveAll(c.path(name))))
	case 6:
		entries, err := c.ReadDir(c.path(name))
		return fmt.Sprint("list ", name, entries, class(err))
	case 7:
		info, err := c.Stat(c.path(name))
		if err != nil || info.IsDir() {
			return fmt.Sprint("stat ", name, class(err))
		}
		return fmt.Sprint("stat ", name, info.Name(), info.Size())
	case 8:
		return fmt.Sprint("sync folder ", name, class(c.SyncDir(c.path(name))))
	default:
		if len(c.open) == 0 {
			return "nothing"
		}
		return c.use(c.open[c.rng.IntN(len(c.open))], kind)
	}
}

// use makes a call on an open file.
func (c *caller) use(f vfs.File, kind int) string {
	offset, length := c.rng.Int64N(20_000), c.rng.Int64N(6000)
	switch kind {
	case 9:
		return fmt.Sprint("truncate ", offset, class(f.Truncate(offset)))
	case 10:
		return fmt.Sprint("preallocate ", offset, length, class(f.Preallocate(offset, length)))
	case 11:
		return fmt.Sprint("sync ", class(errors.Join(f.SyncData(), f.DropCache())))
	case 12, 13:
		size, err := f.Size()
		return fmt.Sprint("size ", size, class(err))
	case 14, 15, 16:
		p := make([]byte, length)
		n, err := f.ReadAt(p, offset)
		return fmt.Sprint("read ", offset, n, " sum ", crc32.ChecksumIEEE(p), class(err))
	default:
		n, err := f.WriteAt(pattern(int(length)), offset)
		return fmt.Sprint("write ", offset, n, class(err))
	}
}

func (c *caller) keep(what string, open func(string) (vfs.File, error), name string) string {
	f, err := open(c.path(name))
	if err == nil {
		c.open = append(c.open, f)
	}
	return what + class(err)
}

// randomName is one of few, so that calls meet.
func (c *caller) randomName() string {
	name := string(rune('a' + c.rng.IntN(3)))
	for c.rng.IntN(2) == 0 {
		name += "/" + string(rune('a'+c.rng.IntN(3)))
	}
	return name
}

// class is what a caller can tell of an error.
func class(err error) string {
	switch {
	case err == nil:
		return " ok"
	case errors.Is(err, io.EOF):
		return " end of file"
	case errors.Is(err, fs.ErrNotExist):
		return " missing"
	case errors.Is(err, fs.ErrExist):
		return " in the way"
	default:
		return " failed"
	}
}

package vfs_test

import (
	"runtime"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// TestCostDoesNotGrowWithTheFile bounds what the steady work of a log allocates, on a file that is long already. It
// runs alone: it counts what the process allocates.
func TestCostDoesNotGrowWithTheFile(t *testing.T) {
	const (
		length  = 16 << 20
		appends = 1000
	)
	for name, c := range map[string]struct {
		step      func(f vfs.File, at int64) error
		stepBytes uint64
	}{
		"synced appends":   {step: syncedAppend, stepBytes: 3 * 4096},
		"unsynced appends": {step: appendHundred, stepBytes: 1024},
		"overwrites":       {step: func(f vfs.File, _ int64) error { return appendHundred(f, 0) }, stepBytes: 1024},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t, 1, map[string]string{"a": ""})
			f := h.put("a", string(pattern(length)), 0)
			h.sync(f)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for i := range int64(appends) {
				if err := c.step(f, length+100*i); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			// The table of pages may double once.
			if got, limit := after.TotalAlloc-before.TotalAlloc, appends*c.stepBytes+length/256; got > limit {
				t.Errorf("got %d bytes allocated for %d steps, want at most %d", got, appends, limit)
			}
		})
	}
}

func appendHundred(f vfs.File, at int64) error {
	_, err := f.WriteAt(make([]byte, 100), at)
	return err
}

func syncedAppend(f vfs.File, at int64) error {
	if err := appendHundred(f, at); err != nil {
		return err
	}
	return f.SyncData()
}

// BenchmarkHistory is a short life of a log: appends with syncs, a crash, a read of all that is left.
func BenchmarkHistory(b *testing.B) {
	for seed := range uint64(b.N) {
		disk := vfs.NewMem(seed)
		f, err := disk.Create("a")
		if err != nil {
			b.Fatal(err)
		}
		for i := range int64(1000) {
			if _, err := f.WriteAt(make([]byte, 1000), i*1000); err != nil {
				b.Fatal(err)
			}
			if i%10 == 0 {
				if err := f.SyncData(); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := disk.SyncDir("/"); err != nil {
			b.Fatal(err)
		}
		disk = disk.Crash(vfs.KeepRandom)
		if f, err = disk.Open("a"); err != nil {
			b.Fatal(err)
		}
		if n, err := f.ReadAt(make([]byte, 900_000), 0); n < 900_000 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkCrashClone is a crash point of a disk with 50 files of 1 MiB and one write under way.
func BenchmarkCrashClone(b *testing.B) {
	disk := vfs.NewMem(1)
	for i := range 50 {
		f, err := disk.Create(string(rune('A' + i)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 1<<20), 0); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
		if err := disk.SyncDir("/"); err != nil {
			b.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 1000), 0); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		disk.CrashClone(vfs.KeepRandom)
	}
}

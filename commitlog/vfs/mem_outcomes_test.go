package vfs_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// outcomeCase is a history and all that may be left of it after a power cut, no more and no less. Durable is made and
// synced before; history may leave changes behind. Outcomes are written as render does.
type outcomeCase struct {
	durable map[string]string // contents by name; a name that ends with a slash is an empty folder
	history func(h *history)
	want    []string
}

// TestOutcomesOfNames crashes with unsynced changes of names.
func TestOutcomesOfNames(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, map[string]outcomeCase{
		"a file without a durable name may vanish": {
			history: func(h *history) { h.sync(h.write("a", "x")) },
			want:    []string{"", "a=x"},
		},
		"a file with contents and name synced stays": {
			history: func(h *history) { h.sync(h.write("a", "x")); h.syncDir("/") },
			want:    []string{"a=x"},
		},
		"the order of syncs does not matter": {
			history: func(h *history) { f := h.write("a", "x"); h.syncDir("/"); h.sync(f) },
			want:    []string{"a=x"},
		},
		"a folder vanishes with what is in it": {
			history: func(h *history) { h.mkdir("d"); h.sync(h.write("d/a", "x")); h.syncDir("d") },
			want:    []string{"", "d/ d/a=x"},
		},
		"each folder made needs the one above": {
			history: func(h *history) { h.mkdir("d/e"); h.syncDir("/") },
			want:    []string{"d/", "d/ d/e/"},
		},
		"a rename may not have happened": {
			durable: map[string]string{"a": "x"},
			history: func(h *history) { h.rename("a", "b") },
			want:    []string{"a=x", "b=x"},
		},
		"a rename is durable after sync of the folder": {
			durable: map[string]string{"a": "x"},
			history: func(h *history) { h.rename("a", "b"); h.syncDir("/") },
			want:    []string{"b=x"},
		},
		"a rename replaces at once": {
			durable: map[string]string{"a": "new", "b": "old"},
			history: func(h *history) { h.rename("a", "b") },
			want:    []string{"a=new b=old", "b=new"},
		},
		"a rename of a folder moves what is in it": {
			durable: map[string]string{"d/a": "x", "d/e/b": "y"},
			history: func(h *history) { h.rename("d", "f") },
			want:    []string{"d/ d/a=x d/e/ d/e/b=y", "f/ f/a=x f/e/ f/e/b=y"},
		},
		"between folders the new folder alone is not enough": {
			durable: map[string]string{"d/a": "x", "e/": ""},
			history: func(h *history) { h.rename("d/a", "e/a"); h.syncDir("e") },
			want:    []string{"d/ d/a=x e/", "d/ e/ e/a=x"},
		},
		"between folders the old folder alone is not enough": {
			durable: map[string]string{"d/a": "x", "e/": ""},
			history: func(h *history) { h.rename("d/a", "e/a"); h.syncDir("d") },
			want:    []string{"d/ d/a=x e/", "d/ e/ e/a=x"},
		},
		"between folders the new folder is enough for a file without a durable old name": {
			durable: map[string]string{"d/": "", "e/": ""},
			history: func(h *history) { h.sync(h.write("d/a", "x")); h.rename("d/a", "e/a"); h.syncDir("e") },
			want:    []string{"d/ e/ e/a=x"},
		},
		"between folders the new folder is enough for a file from a folder without a durable name": {
			durable: map[string]string{"e/": ""},
			history: func(h *history) {
				h.mkdir("d")
				h.sync(h.write("d/a", "x"))
				h.syncDir("d")
				h.rename("d/a", "e/a")
				h.syncDir("e")
			},
			want: []string{"d/ e/ e/a=x", "e/ e/a=x"},
		},
		"between folders both are": {
			durable: map[string]string{"d/a": "x", "e/": ""},
			history: func(h *history) { h.rename("d/a", "e/a"); h.syncDir("e"); h.syncDir("d") },
			want:    []string{"d/ e/ e/a=x"},
		},
		"a rename into a new folder needs that folder": {
			durable: map[string]string{"d/a": "x"},
			history: func(h *history) { h.mkdir("trash"); h.rename("d/a", "trash/a") },
			want:    []string{"d/ d/a=x", "d/ d/a=x trash/", "d/ trash/ trash/a=x"},
		},
		"a folder is not removed without what left it": {
			durable: map[string]string{"d/a": "x"},
			history: func(h *history) { h.rename("d/a", "a"); h.remove("d") },
			want:    []string{"a=x", "a=x d/", "d/ d/a=x"},
		},
		"folders moved into each other's places stay reachable": {
			durable: map[string]string{"d/": "", "e/": ""},
			history: func(h *history) { h.rename("d", "e/d"); h.rename("e/d", "d"); h.rename("e", "d/e") },
			want:    []string{"d/ d/e/", "d/ e/", "e/ e/d/"},
		},
		"names change places in order": {
			durable: map[string]string{"a": "1", "b": "2"},
			history: func(h *history) { h.rename("a", "t"); h.rename("b", "a"); h.rename("t", "b") },
			want:    []string{"a=1 b=2", "a=2 b=1", "a=2 t=1", "b=2 t=1"},
		},
		"a removal may not have happened": {
			durable: map[string]string{"a": "x"},
			history: func(h *history) { h.remove("a") },
			want:    []string{"", "a=x"},
		},
		"a removal is durable after sync of the folder": {
			durable: map[string]string{"a": "x"},
			history: func(h *history) { h.remove("a"); h.syncDir("/") },
			want:    []string{""},
		},
		"changes of one name survive in order": {
			durable: map[string]string{"a": "old"},
			history: func(h *history) { h.remove("a"); h.sync(h.write("a", "new")) },
			want:    []string{"", "a=new", "a=old"},
		},
		"changes of several names survive in any order": {
			durable: map[string]string{"a": "x"},
			history: func(h *history) { h.remove("a"); h.sync(h.write("b", "y")) },
			want:    []string{"", "a=x", "a=x b=y", "b=y"},
		},
		"a folder may be removed in part": {
			durable: map[string]string{"d/a": "x", "d/b": "y"},
			history: func(h *history) { h.removeAll("d") },
			want:    []string{"", "d/", "d/ d/a=x", "d/ d/a=x d/b=y", "d/ d/b=y"},
		},
		"a folder removed is gone after sync of the one above": {
			durable: map[string]string{"d/a": "x", "d/b": "y"},
			history: func(h *history) { h.removeAll("d"); h.syncDir("/") },
			want:    []string{""},
		},
		"a file is replaced by the book": {
			durable: map[string]string{"a": "old"},
			history: func(h *history) { h.sync(h.write("tmp", "new")); h.rename("tmp", "a"); h.syncDir("/") },
			want:    []string{"a=new"},
		},
		"a file is replaced and the folder not synced": {
			durable: map[string]string{"a": "old"},
			history: func(h *history) { h.sync(h.write("tmp", "new")); h.rename("tmp", "a") },
			want:    []string{"a=new", "a=old", "a=old tmp=new"},
		},
		"a file is replaced and its contents not synced": {
			durable: map[string]string{"a": "old"},
			history: func(h *history) { h.write("tmp", "new"); h.rename("tmp", "a"); h.syncDir("/") },
			want:    []string{"a=", "a=000", "a=new"},
		},
		"the file of a lock is a file like others": {
			history: func(h *history) { h.lock("LOCK") },
			want:    []string{"", "LOCK="},
		},
	})
}

// TestOutcomesOfContents crashes with unsynced changes of contents. The names are durable.
func TestOutcomesOfContents(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, map[string]outcomeCase{
		"a write within a sector is kept or lost": {
			durable: map[string]string{"a": "xxx"},
			history: func(h *history) { h.put("a", "yy", 0) },
			want:    []string{"a=xxx", "a=yyx"},
		},
		"a synced write stays": {
			durable: map[string]string{"a": "xxx"},
			history: func(h *history) { h.sync(h.put("a", "yy", 0)) },
			want:    []string{"a=yyx"},
		},
		"a write of two sectors is torn": {
			durable: map[string]string{"a": run("x", 1024)},
			history: func(h *history) { h.put("a", run("y", 1024), 0) },
			want:    []string{"a=x*1024", "a=x*512 y*512", "a=y*1024", "a=y*512 x*512"},
		},
		"a write across a border is torn there": {
			durable: map[string]string{"a": run("x", 1024)},
			history: func(h *history) { h.put("a", "yy", 511) },
			want:    []string{"a=x*1024", "a=x*511 y x*512", "a=x*511 yy x*511", "a=x*512 y x*511"},
		},
		"a sector brings earlier writes along": {
			durable: map[string]string{"a": "xx"},
			history: func(h *history) { h.put("a", "y", 0); h.put("a", "z", 1) },
			want:    []string{"a=xx", "a=yx", "a=yz"},
		},
		"sectors survive in any order": {
			durable: map[string]string{"a": run("x", 1024)},
			history: func(h *history) { h.put("a", "y", 0); h.put("a", "y", 1023) },
			want:    []string{"a=x*1023 y", "a=x*1024", "a=y x*1022 y", "a=y x*1023"},
		},
		"files survive apart from each other": {
			durable: map[string]string{"a": "x", "b": "x"},
			history: func(h *history) { h.put("a", "y", 0); h.put("b", "y", 0) },
			want:    []string{"a=x b=x", "a=x b=y", "a=y b=x", "a=y b=y"},
		},
		"size and contents survive apart": {
			durable: map[string]string{"a": "x"},
			history: func(h *history) { h.put("a", "y", 1) },
			want:    []string{"a=x", "a=x0", "a=xy"},
		},
		"size and contents are synced together": {
			durable: map[string]string{"a": "x"},
			history: func(h *history) { h.sync(h.put("a", "y", 1)) },
			want:    []string{"a=xy"},
		},
		"an append that lost a sector has zeros there": {
			durable: map[string]string{"a": ""},
			history: func(h *history) { h.put("a", run("y", 1024), 0) },
			want:    []string{"a=", "a=0*1024", "a=0*512 y*512", "a=y*1024", "a=y*512 0*512"},
		},
		"sizes survive in order": {
			durable: map[string]string{"a": ""},
			history: func(h *history) { h.truncate("a", 2); h.truncate("a", 1); h.truncate("a", 3) },
			want:    []string{"a=", "a=0", "a=00", "a=000"},
		},
		"a truncation may not have happened": {
			durable: map[string]string{"a": "xxxx"},
			history: func(h *history) { h.truncate("a", 1) },
			want:    []string{"a=x", "a=xxxx"},
		},
		"a truncation is durable after sync": {
			durable: map[string]string{"a": "xxxx"},
			history: func(h *history) { h.sync(h.truncate("a", 1)) },
			want:    []string{"a=x"},
		},
		"what was cut off does not come back": {
			durable: map[string]string{"a": run("x", 1024)},
			history: func(h *history) { h.truncate("a", 100); h.truncate("a", 1024) },
			want:    []string{"a=x*100", "a=x*100 0*924", "a=x*1024"},
		},
		"what is written after a truncation needs it": {
			durable: map[string]string{"a": run("x", 1024)},
			history: func(h *history) { h.truncate("a", 0); h.put("a", run("y", 1024), 0) },
			want: []string{
				"a=", "a=0*1024", "a=0*512 y*512", "a=x*1024", "a=y*1024", "a=y*512 0*512",
			},
		},
		"a truncation through a sector brings it along": {
			durable: map[string]string{"a": "xxxx"},
			history: func(h *history) { h.put("a", "yyyy", 0); h.truncate("a", 2); h.truncate("a", 4) },
			want:    []string{"a=xxxx", "a=yy", "a=yy00", "a=yyyy"},
		},
		"a preallocation is kept or lost": {
			durable: map[string]string{"a": ""},
			history: func(h *history) { h.preallocate("a", 0, 4096) },
			want:    []string{"a=", "a=0*4096"},
		},
		"in preallocated space a write does not change the size": {
			durable: map[string]string{"a": ""},
			history: func(h *history) { h.sync(h.preallocate("a", 0, 512)); h.put("a", "yy", 0) },
			want:    []string{"a=0*512", "a=yy 0*510"},
		},
		"a failed sync loses what was written": {
			durable: map[string]string{"a": "xxx"},
			history: func(h *history) { h.failSync(h.put("a", "yy", 0)) },
			want:    []string{"a=xxx"},
		},
		"a sync after a failed one pretends": {
			durable: map[string]string{"a": "xxx"},
			history: func(h *history) { f := h.put("a", "yy", 0); h.failSync(f); h.sync(f) },
			want:    []string{"a=xxx"},
		},
		"a failed sync does not lose the size": {
			durable: map[string]string{"a": "x"},
			history: func(h *history) { h.failSync(h.put("a", "yy", 0)) },
			want:    []string{"a=x", "a=x0"},
		},
		"a sector written again brings along what a failed sync left": {
			durable: map[string]string{"a": run("x", 1024)},
			history: func(h *history) { h.failSync(h.put("a", run("y", 1024), 0)); h.put("a", "z", 1) },
			want:    []string{"a=x*1024", "a=yz y*510 x*512"},
		},
		"a page written again is synced as a whole": {
			durable: map[string]string{"a": run("x", 8192)},
			history: func(h *history) {
				h.failSync(h.put("a", run("y", 8192), 0))
				h.sync(h.put("a", "z", 0))
			},
			want: []string{"a=z y*4095 x*4096"},
		},
		"a failed sync after a truncation, and another write": {
			durable: map[string]string{"a": "xxxx"},
			history: func(h *history) {
				h.truncate("a", 1)
				h.failSync(h.put("a", "yy", 1))
				h.put("a", "z", 0)
			},
			want: []string{"a=x", "a=x00", "a=xxxx", "a=z", "a=zyy", "a=zyy0"},
		},
		"a failed sync after a truncation": {
			durable: map[string]string{"a": "xxxx"},
			history: func(h *history) {
				h.truncate("a", 1)
				f := h.put("a", "yy", 1)
				h.failSync(f)
				h.sync(f)
			},
			want: []string{"a=x00"},
		},
	})
}

// TestKeepNoneAndAll asks for the two ends of what may survive.
func TestKeepNoneAndAll(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		h := newHistory(t, seed, map[string]string{"a": run("x", 1024), "b": "x"})
		h.put("a", run("y", 2048), 512)
		h.truncate("a", 600)
		h.put("a", "z", 599)
		h.rename("a", "c")
		h.remove("b")
		h.mkdir("d")
		h.write("d/e", "new")
		h.failSync(h.write("d/f", "lost"))
		for keep, want := range map[vfs.Keep]string{
			vfs.KeepNone: "a=x*1024 b=x",
			vfs.KeepAll:  "c=x*512 y*87 z d/ d/e=new d/f=0000",
		} {
			if got := render(t, h.disk.CrashClone(keep), "/"); got != want {
				t.Errorf("seed %d, keep %d: got %q, want %q", seed, keep, got, want)
			}
		}
	}
}

// checkOutcomes runs each history with many seeds and compares the set of what is left.
func checkOutcomes(t *testing.T, cases map[string]outcomeCase) {
	t.Helper()
	const seeds = 40
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[string]bool{}
			for seed := range uint64(seeds) {
				h := newHistory(t, seed, c.durable)
				c.history(h)
				for range 5 {
					clone := h.disk.CrashClone(vfs.KeepRandom)
					left := render(t, clone, "/")
					got[left] = true
					if again := render(t, clone.Crash(vfs.KeepNone), "/"); again != left {
						t.Fatalf("what survived is not durable: got %q, want %q", again, left)
					}
				}
				got[render(t, h.disk.Crash(vfs.KeepRandom), "/")] = true
			}
			if diff := cmp.Diff(c.want, slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("other outcomes than expected (-want +got):\n%s", diff)
			}
		})
	}
}

package vfs_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// TestContentsAfterCrash makes random changes to one file and holds what survives to the rule of the package comment:
// the size is one that the file had since the last sync, each sector holds what it held at some time since then.
func TestContentsAfterCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 0))
		disk := vfs.NewMem(seed)
		f := must(disk.Create("a"))(t)
		wantOK(t, disk.SyncDir("/"))
		states := []string{""} // what the file held since the last sync
		for step := range 25 {
			if rng.IntN(6) == 0 {
				wantOK(t, f.SyncData())
				states = nil
			} else {
				changeAtRandom(t, rng, f, byte('a'+step))
			}
			states = append(states, readAll(t, f))
			for range 2 {
				clone := disk.CrashClone(vfs.KeepRandom)
				if err := checkSurvived(t, clone, states); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
			}
			all := must(disk.CrashClone(vfs.KeepAll).Open("a"))(t)
			wantRead(t, all, states[len(states)-1])
			none := must(disk.CrashClone(vfs.KeepNone).Open("a"))(t)
			wantRead(t, none, states[0])
			if rng.IntN(12) == 0 {
				disk = disk.Crash(vfs.KeepRandom)
				f = must(disk.OpenReadWrite("a"))(t)
				states = []string{readAll(t, f)}
			}
		}
	}
}

// changeAtRandom writes letters, cuts, grows or preallocates within the first three pages.
func changeAtRandom(t *testing.T, rng *rand.Rand, f vfs.File, letter byte) {
	t.Helper()
	offset, length := rng.Int64N(10_000), 1+rng.Int64N(3000)
	switch rng.IntN(8) {
	case 0:
		wantOK(t, f.Truncate(offset))
	case 1:
		wantOK(t, f.Preallocate(offset, length))
	case 2: // an append
		offset = must(f.Size())(t)
		fallthrough
	default:
		put(t, f, string(bytes.Repeat([]byte{letter}, int(length))), offset)
	}
}

func checkSurvived(t *testing.T, disk *vfs.Mem, states []string) error {
	t.Helper()
	f := must(disk.Open("a"))(t)
	got := readAll(t, f)
	if !slices.ContainsFunc(states, func(s string) bool { return len(s) == len(got) }) {
		return fmt.Errorf("got a size of %d bytes, which the file did not have", len(got))
	}
	for pos := 0; pos < len(got); pos += 512 {
		sector := got[pos:min(len(got), pos+512)]
		if !slices.ContainsFunc(states, func(s string) bool { return sectorOf(s, pos, len(sector)) == sector }) {
			return fmt.Errorf("got the sector %s at %d, which the file did not hold", renderRuns(sector), pos)
		}
	}
	return nil
}

// sectorOf is the part of the contents; what is beyond the end reads as zeros.
func sectorOf(contents string, pos, length int) string {
	part := contents[min(pos, len(contents)):min(pos+length, len(contents))]
	return part + zeros(length-len(part))
}

// TestSyncedIsNeverLost runs random histories over many files and folders. Whatever was written, synced and had all its
// names synced must be there after any crash, once, under a name that it had, with at least the synced contents.
func TestSyncedIsNeverLost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), history: history{t: t, disk: vfs.NewMem(seed)}}
		w.begin()
		for step := range 60 {
			w.step()
			if err := w.check(w.disk.CrashClone(vfs.KeepRandom)); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			if w.rng.IntN(20) == 0 {
				w.disk = w.disk.Crash(vfs.Keep(w.rng.IntN(3)))
				w.begin()
			}
		}
	}
}

// world is a model of a disk: what its files must still hold.
type world struct {
	history
	t     *testing.T
	rng   *rand.Rand
	made  int
	files map[string]*modelFile // by its first line, which is its own
}

type modelFile struct {
	names   map[string]bool // last elements that it had since its name was durable
	durable bool            // its name was made durable, and it was not removed since
	text    string
	synced  string
}

// begin takes up what is on the disk, all of it durable.
func (w *world) begin() {
	w.files = map[string]*modelFile{}
	for name, text := range w.found(w.disk) {
		id, _, _ := strings.Cut(text, "\n")
		w.files[id] = &modelFile{names: map[string]bool{path.Base(name): true}, durable: true, text: text, synced: text}
	}
}

// found has all files of a disk with a whole first line, by name.
func (w *world) found(disk *vfs.Mem) map[string]string {
	all := map[string]string{}
	for _, name := range allNames(w.t, disk, "/") {
		if strings.HasSuffix(name, "/") {
			continue
		}
		f := must(disk.Open(name))(w.t)
		if text := readAll(w.t, f); strings.Contains(text, "\n") {
			all[name] = text
		}
	}
	return all
}

// allNames lists a folder and the ones below. Folders end with a slash.
func allNames(t *testing.T, disk *vfs.Mem, folder string) []string {
	t.Helper()
	var all []string
	for _, name := range names(t, disk, folder) {
		full := path.Join(folder, name)
		if strings.HasSuffix(name, "/") {
			all = append(all, allNames(t, disk, full)...)
			full += "/"
		}
		all = append(all, full)
	}
	return all
}

// check compares what a crash left with the model.
func (w *world) check(disk *vfs.Mem) error {
	times := map[string]int{}
	for name, text := range w.found(disk) {
		id, _, _ := strings.Cut(text, "\n")
		f := w.files[id]
		if f == nil {
			continue // the first line was torn
		}
		times[id]++
		switch {
		case times[id] > 1:
			return fmt.Errorf("%q is there twice, now as %s", id, name)
		case f.durable && !f.names[path.Base(name)]:
			return fmt.Errorf("%q has the name %s, which it did not have since it was synced", id, name)
		case !strings.HasPrefix(text, f.synced):
			return fmt.Errorf("%q lost synced contents: got %q, want %q", id, text, f.synced)
		}
	}
	for id, f := range w.files {
		if f.durable && f.synced != "" && times[id] == 0 {
			return fmt.Errorf("%q with %q is lost", id, f.synced)
		}
	}
	return nil
}

// step makes one change.
func (w *world) step() {
	all := allNames(w.t, w.disk, "/")
	folders := append(slices.DeleteFunc(slices.Clone(all), func(n string) bool { return !strings.HasSuffix(n, "/") }), "/")
	files := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return strings.HasSuffix(n, "/") })
	folder := folders[w.rng.IntN(len(folders))]
	fresh := path.Join(folder, fmt.Sprintf("n%d", w.made))
	w.made++
	kind := w.rng.IntN(10)
	switch {
	case kind == 0:
		w.mkdir(fresh)
	case kind == 1 && folder != "/":
		w.moveFolder(folder, path.Join(folders[w.rng.IntN(len(folders))], path.Base(fresh)))
	case kind == 2 && folder != "/" && w.rng.IntN(2) == 0:
		w.removeFolder(strings.TrimSuffix(folder, "/"))
	case kind <= 4:
		w.syncFolder(folder)
	case len(files) == 0 || kind == 5:
		w.create(fresh)
	case kind == 6:
		w.renameFile(files[w.rng.IntN(len(files))], files[w.rng.IntN(len(files))])
	case kind == 7:
		w.renameFile(files[w.rng.IntN(len(files))], fresh)
	default:
		w.append(files[w.rng.IntN(len(files))], w.rng.IntN(2) == 0)
	}
}

// at finds the model of a file.
func (w *world) at(name string) *modelFile {
	f := must(w.disk.Open(name))(w.t)
	id, _, _ := strings.Cut(readAll(w.t, f), "\n")
	return w.files[id]
}

func (w *world) create(name string) {
	text := fmt.Sprintf("file %d\n", w.made)
	w.sync(w.write(name, text))
	id := strings.TrimSuffix(text, "\n")
	w.files[id] = &modelFile{names: map[string]bool{path.Base(name): true}, text: text, synced: text}
}

func (w *world) append(name string, sync bool) {
	m := w.at(name)
	if m == nil {
		return // a file torn in its first line
	}
	more := strings.Repeat("more", 1+w.rng.IntN(300))
	f := w.put(name, more, int64(len(m.text)))
	m.text += more
	if sync {
		w.sync(f)
		m.synced = m.text
	}
}

func (w *world) renameFile(from, to string) {
	if from == to {
		return
	}
	if _, err := w.disk.Stat(to); err == nil {
		if replaced := w.at(to); replaced != nil {
			replaced.durable = false
		}
	}
	if m := w.at(from); m != nil {
		m.names[path.Base(to)] = true
	}
	w.rename(from, to)
}

func (w *world) moveFolder(from, to string) {
	if !strings.HasPrefix(to+"/", from) {
		w.rename(strings.TrimSuffix(from, "/"), to)
	}
}

func (w *world) removeFolder(name string) {
	for _, below := range allNames(w.t, w.disk, name) {
		if strings.HasSuffix(below, "/") {
			continue
		}
		if m := w.at(below); m != nil {
			m.durable = false
		}
	}
	w.removeAll(name)
}

// syncFolder makes the names in a folder durable, with those of the folders above.
func (w *world) syncFolder(folder string) {
	folder = path.Clean(folder)
	for above := folder; ; above = path.Dir(above) {
		w.syncDir(above)
		if above == "/" {
			break
		}
	}
	for _, name := range names(w.t, w.disk, folder) {
		if strings.HasSuffix(name, "/") {
			continue
		}
		if m := w.at(path.Join(folder, name)); m != nil {
			m.durable = true // here, or still under the old name if it came from another folder
		}
	}
}

// TestSeedsDecide repeats a history: the same seed gives the same outcomes, clones or not, another one gives others.
func TestSeedsDecide(t *testing.T) {
	t.Parallel()
	play := func(seed uint64, clones bool) (outcomes []string) {
		h := newHistory(t, seed, map[string]string{"a": run("x", 2048), "b": "x"})
		for i := range 10 {
			h.put("a", run("y", 1024), int64(i)*100)
			h.rename("b", "c")
			h.rename("c", "b")
			h.write(fmt.Sprint(i), "new")
			if clones {
				outcomes = append(outcomes, render(t, h.disk.CrashClone(vfs.KeepRandom), "/"))
			}
		}
		h.disk = h.disk.Crash(vfs.KeepRandom)
		h.put("a", run("z", 1024), 0)
		return append(outcomes, render(t, h.disk, "/"), render(t, h.disk.Crash(vfs.KeepRandom), "/"))
	}
	first := play(7, true)
	if again := play(7, true); !slices.Equal(first, again) {
		t.Errorf("the same seed gave other outcomes:\n%q\n%q", first, again)
	}
	if without := play(7, false); !slices.Equal(first[len(first)-2:], without) {
		t.Errorf("clones changed the outcome of crashes:\n%q\n%q", first[len(first)-2:], without)
	}
	different := map[string]bool{}
	for seed := range uint64(20) {
		different[strings.Join(play(seed, false), "|")] = true
	}
	if len(different) < 15 {
		t.Errorf("20 seeds gave %d outcomes only: %q", len(different), slices.Collect(maps.Keys(different)))
	}
}

package node

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// expected is what a test has put into a folder.
type expected struct {
	contents contents
	entries  []raft.Log
}

// makeFolder writes a raft folder the way raft does: a log that has been cut at both ends, large entries that need
// several pages, a term and a vote.
func makeFolder(t *testing.T, folder string) {
	t.Helper()
	stop := newFailStop()
	d, err := openDisk(folder, "a", quiet(), stop)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.stable.SetUint64([]byte(raftCurrentTerm), 3))
	must(d.stable.SetUint64([]byte(raftVoteTerm), 3))
	must(d.stable.Set([]byte(raftVoteCandidate), []byte("a@1")))
	for index := uint64(1); index <= 160; index++ {
		data := bytes.Repeat([]byte{byte(index)}, int(index%40)*9)
		if index%50 == 0 {
			data = bytes.Repeat([]byte{byte(index)}, 9000)
		}
		must(d.log.StoreLog(&raft.Log{Index: index, Term: 1 + index/100, Data: data}))
	}
	must(d.log.DeleteRange(151, 160))
	membership := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "a@1", Address: "x|a@1"}}})
	must(d.log.StoreLog(&raft.Log{Index: 151, Term: 3, Type: raft.LogConfiguration, Data: membership}))
	for _, index := range []uint64{20, 60} {
		sink, err := d.snapshots.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 0, nil)
		must(err)
		_, err = sink.Write(bytes.Repeat([]byte{byte(index)}, 60))
		must(err)
		must(sink.Close())
	}
	must(d.log.DeleteRange(1, 40))
	if cause := stop.cause(); cause != nil {
		t.Fatal(cause)
	}
	must(d.store.Close())
}

// readFolder opens a folder and reads everything, or returns the error of the opening.
func readFolder(t *testing.T, folder string) (*expected, *disk, error) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	found, err := readContents(folder, storeFile, bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, nil, err
	}
	d, err := openDisk(folder, "a", quiet(), newFailStop())
	if err != nil {
		return nil, nil, err
	}
	read := &expected{contents: *found}
	for index := found.first; index <= found.last; index++ {
		var entry raft.Log
		if err := d.log.GetLog(index, &entry); err != nil {
			t.Fatalf("entry %d is gone after the opening: %v", index, err)
		}
		read.entries = append(read.entries, entry)
	}
	return read, d, nil
}

func same(a, b *expected) bool {
	return slices.EqualFunc(a.entries, b.entries, func(x, y raft.Log) bool {
		return x.Index == y.Index && x.Term == y.Term && x.Type == y.Type && bytes.Equal(x.Data, y.Data)
	}) && a.contents.identity == b.contents.identity && a.contents.term == b.contents.term &&
		bytes.Equal(a.contents.vote, b.contents.vote)
}

// mustBeDamage checks that an error names what an operator needs: the file, and the remedy.
func mustBeDamage(t *testing.T, folder string, err error) {
	t.Helper()
	var place *DamageError
	if !errors.Is(err, ErrDamaged) || !errors.As(err, &place) {
		t.Errorf("not said to be damage: %v", err)
		return
	}
	for _, part := range []string{"trestle cluster recover", "rejoins under a new raft id", folder} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func copyFolder(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// Whatever is flipped in raft.db, the check in front of bbolt finds it, or it was of no meaning (C8). The whole file is
// tried in memory: every byte of what carries structure, and many others.
func TestEveryFlipIsFound(t *testing.T) {
	folder := t.TempDir()
	makeFolder(t, folder)
	raw, err := os.ReadFile(filepath.Join(folder, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	want, err := readContents(folder, storeFile, bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	pageSize, found, harmless := os.Getpagesize(), 0, 0
	for at := 0; at < len(raw); at++ {
		page, inPage := raw[at/pageSize*pageSize:][:pageSize], at%pageSize
		registers := bytes.Contains(page, identityKey)
		if inPage > 64 && at%97 != 0 && !registers {
			continue
		}
		raw[at] ^= 1 << (at % 8)
		got, err := readContents(folder, storeFile, bytes.NewReader(raw), int64(len(raw)))
		raw[at] ^= 1 << (at % 8)
		switch {
		case err != nil:
			found++
			mustBeDamage(t, folder, err)
		case at < 2*pageSize && inPage < boltMetaAt+boltMetaBytes && (inPage < 10 || inPage >= boltMetaAt):
			t.Fatalf("byte %d of a meta page flipped: the other one was taken", at)
		case got.identity != want.identity || got.term != want.term || !bytes.Equal(got.vote, want.vote) ||
			got.first != want.first || got.last != want.last || len(got.terms) != len(want.terms):
			t.Fatalf("byte %d flipped: read %+v instead of %+v", at, got, want)
		default:
			harmless++
		}
	}
	t.Logf("%d bytes: %d flips were found, %d were in unused space", len(raw), found, harmless)
	if found < 1000 || harmless == 0 {
		t.Error("the test has not tried what it should")
	}
}

// Files that are cut off, flipped, zeroed or filled with rubbish: opening is an error or reads exactly what was
// written, and what was opened can be written on (C8). Nothing panics.
func TestDamagedStore(t *testing.T) {
	origin := t.TempDir()
	makeFolder(t, origin)
	want, d, err := readFolder(t, origin)
	if err != nil {
		t.Fatal(err)
	}
	d.store.Close()
	random := rand.New(rand.NewPCG(1, 2))
	opened, refused := 0, 0
	for round := range 200 {
		folder := copyFolder(t, origin)
		path := filepath.Join(folder, storeFile)
		what := harm(t, random, path)
		got, d, err := readFolder(t, folder)
		if err != nil {
			refused++
			mustBeDamage(t, folder, err)
			continue
		}
		opened++
		if !same(got, want) {
			t.Fatalf("round %d, %s: other content was read", round, what)
		}
		for range 5 {
			if err := d.log.StoreLog(&raft.Log{Index: d.log.last + 1, Term: 3, Data: make([]byte, 5000)}); err != nil {
				t.Fatal(err)
			}
		}
		d.store.Close()
		again, d, err := readFolder(t, folder)
		if err != nil {
			t.Fatalf("round %d, %s: not readable after it was written on: %v", round, what, err)
		}
		d.store.Close()
		again.entries = again.entries[:len(want.entries)]
		if !same(again, want) {
			t.Fatalf("round %d, %s: writing on has changed what was there", round, what)
		}
	}
	t.Logf("%d refused, %d of no meaning", refused, opened)
	if refused < 40 || opened == 0 {
		t.Error("the test has not tried what it should")
	}
}

// harm damages a file in one of several ways and says how.
func harm(t *testing.T, random *rand.Rand, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at, length := random.IntN(len(raw)), 1+random.IntN(600)
	end := min(len(raw), at+length)
	var what string
	switch random.IntN(5) {
	case 0:
		raw, what = raw[:at], fmt.Sprintf("cut at %d", at)
	case 1:
		clear(raw[at:end])
		what = fmt.Sprintf("%d to %d zeroed", at, end)
	case 2:
		for i := at; i < end; i++ {
			raw[i] = byte(random.Uint32())
		}
		what = fmt.Sprintf("%d to %d random", at, end)
	case 3:
		page := os.Getpagesize()
		from, to := random.IntN(len(raw)/page)*page, random.IntN(len(raw)/page)*page
		copy(raw[to:to+page], raw[from:from+page])
		what = fmt.Sprintf("page at %d written over the one at %d", from, to)
	default:
		raw[at] ^= 1 << random.IntN(8)
		what = fmt.Sprintf("bit at %d", at)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return what
}

// A newest snapshot that is damaged in any byte is an error; an older one is not needed (C8).
func TestDamagedSnapshot(t *testing.T) {
	origin := t.TempDir()
	makeFolder(t, origin)
	files, err := filepath.Glob(filepath.Join(origin, snapshotFolder, "*"+snapshotSuffix))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for i, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for at := range raw {
			for _, damaged := range [][]byte{raw[:at], flipped(raw, at)} {
				if err := os.WriteFile(file, damaged, 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := openSnapshots(origin, quiet(), newFailStop())
				if newest := i == 1; newest && err == nil {
					t.Fatalf("%s opens, damaged at %d", file, at)
				} else if newest {
					mustBeDamage(t, origin, err)
				} else if err != nil {
					t.Fatalf("an older snapshot is refused: %v", err)
				}
			}
		}
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func flipped(raw []byte, at int) []byte {
	raw = bytes.Clone(raw)
	raw[at] ^= 0x10
	return raw
}

// Parts of the folder that are missing: never is anything else taken in their place.
func TestMissingParts(t *testing.T) {
	origin := t.TempDir()
	makeFolder(t, origin)
	for name, remove := range map[string]string{
		"store":     storeFile,
		"snapshots": snapshotFolder,
	} {
		t.Run(name, func(t *testing.T) {
			folder := copyFolder(t, origin)
			if err := os.RemoveAll(filepath.Join(folder, remove)); err != nil {
				t.Fatal(err)
			}
			_, err := openDisk(folder, "a", quiet(), newFailStop())
			mustBeDamage(t, folder, err)
		})
	}
}

// An entry that was damaged on its way from the leader is refused and not stored.
func TestEntryDamagedOnItsWay(t *testing.T) {
	d, err := openDisk(t.TempDir(), "a", quiet(), newFailStop())
	if err != nil {
		t.Fatal(err)
	}
	defer d.store.Close()
	entry := &raft.Log{Index: 1, Term: 1, Data: []byte("x")}
	entry.Extensions = entryChecksum(entry)
	entry.Data = []byte("y")
	if err := d.log.StoreLog(entry); err == nil {
		t.Error("stored")
	}
	if last, _ := d.log.LastIndex(); last != 0 {
		t.Errorf("the log ends at %d", last)
	}
}

// Damage that comes while the node runs ends it with an error that names the file, instead of a panic (C8).
func TestDamageWhileRunning(t *testing.T) {
	n := openNode(t, Options{Bootstrap: true})
	n.waitLeading(t)
	n.propose(t, "x")
	if err := os.Truncate(n.disk.store.path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Propose(t.Context(), []byte("y")); err == nil {
		t.Error("a command was committed without a file")
	}
	select {
	case err := <-n.Fatal():
		if !strings.Contains(err.Error(), n.disk.store.path) {
			t.Errorf("reported: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("nothing was reported")
	}
	if _, err := n.Propose(t.Context(), []byte("z")); !errors.Is(err, ErrStopped) {
		t.Errorf("afterwards: %v", err)
	}
	if id, _ := n.Leader(); id != "" || n.Leading() {
		t.Error("it still says that it leads")
	}
}

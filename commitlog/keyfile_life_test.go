package commitlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// changesOfSegments remove segments, or rewrite them.
func changesOfSegments(t *testing.T) map[string]func(*commitlog.Log) error {
	return map[string]func(*commitlog.Log) error{
		"retention": func(log *commitlog.Log) error {
			_, err := log.Retain(commitlog.Retention{Messages: 5}, 1)
			return err
		},
		"purge": func(log *commitlog.Log) error {
			_, err := log.Purge(log.End().Offset, 1)
			return err
		},
		"truncation": func(log *commitlog.Log) error {
			_, err := log.TruncateUnclean(7)
			return err
		},
		"truncation to nothing": func(log *commitlog.Log) error {
			_, err := log.TruncateUnclean(1)
			return err
		},
		"compaction": func(log *commitlog.Log) error {
			done, err := log.Compact(t.Context(), commitlog.Compaction{MemoryBytes: 1 << 20}, 1)
			if err == nil && done.Segments == 0 {
				err = errors.New("nothing was compacted")
			}
			return err
		},
	}
}

func TestKeyFilesGoWithTheirSegments(t *testing.T) {
	t.Parallel()
	for name, act := range changesOfSegments(t) {
		for _, withKey := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, with key %t", name, withKey), func(t *testing.T) {
				t.Parallel()
				disk := vfs.NewMem(1)
				log := openSecret(t, secretFolder, secretOptions(disk))
				severalSegments(t, log)
				closeSecret(t, log)
				before := keyFiles(t, disk, secretFolder)
				checkKeyFiles(t, disk, "before")
				opts := secretOptions(disk)
				if !withKey {
					opts.Key = nil
				}
				log = openSecret(t, secretFolder, opts)
				log.Commit(log.End())
				if err := act(log); err != nil {
					t.Fatal(err)
				}
				after := keyFiles(t, disk, secretFolder)
				if name != "purge" || withKey { // purging begins a segment, without a key here
					checkKeyFiles(t, disk, "after")
				}
				if same := slices.Equal(before, after); same != (name == "compaction") {
					t.Errorf("key files before %q, after %q", before, after)
				}
				closeSecret(t, log)
				crashed := disk.Crash(vfs.KeepNone)
				if left := keyFiles(t, crashed, secretFolder); !slices.Equal(after, left) {
					t.Errorf("key files %q, after a crash %q", after, left)
				}
				log = openSecret(t, secretFolder, secretOptions(crashed))
				defer closeSecret(t, log)
				log.Commit(log.End())
				if _, err := readSecret(log, log.Start()); err != nil {
					t.Error(err)
				}
				appendSecret(t, log, secretRecord("k", 100))
			})
		}
	}
}

// TestStrayKeyFiles: what a crash left of a removal goes at the next start; the key of a segment that is missing inside the
// log stays, for the segment may come back; what is no key file of ours is not touched.
func TestStrayKeyFiles(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	log := openSecret(t, secretFolder, secretOptions(disk))
	want := severalSegments(t, log)
	if _, err := log.Retain(commitlog.Retention{Messages: 12}, 1); err != nil {
		t.Fatal(err)
	}
	closeSecret(t, log)
	names := keyFiles(t, disk, secretFolder)
	segments := namesIn(t, disk, secretFolder, ".seg")
	at := func(seq, offset int) string {
		return filepath.Join(secretFolder, fmt.Sprintf("%020d-%020d.key", seq, offset))
	}
	below, end, above := at(1, 0), at(len(want)+1, len(want)), at(100, 99)
	for _, name := range []string{below, end, above} {
		writeMem(t, disk, name, []byte("torn"))
	}
	other := []string{filepath.Join(secretFolder, "mine.key"), filepath.Join(secretFolder, "1-0.key"), at(0, 0)}
	for _, name := range other {
		copyMem(t, disk, names[0], name)
	}
	segment := readMem(t, disk, segments[1])
	if err := disk.Remove(segments[1]); err != nil {
		t.Fatal(err)
	}
	log, report, err := commitlog.Open(secretFolder, secretOptions(disk))
	if err != nil {
		t.Fatal(err)
	}
	closeSecret(t, log)
	for _, name := range []string{below, end, above} {
		if !slices.Contains(report.Removed, name) {
			t.Errorf("%s is not reported as removed", name)
		}
	}
	slices.Sort(report.Unknown)
	unknown := append(slices.Clone(other), names[1])
	slices.Sort(unknown)
	if diff := cmp.Diff(unknown, report.Unknown); diff != "" {
		t.Errorf("unknown files (-want +got):\n%s", diff)
	}
	left := append(slices.Clone(names), other...)
	slices.Sort(left)
	if diff := cmp.Diff(left, keyFiles(t, disk, secretFolder)); diff != "" {
		t.Errorf("files that are left (-want +got):\n%s", diff)
	}
	writeMem(t, disk, segments[1], segment)
	log = openSecret(t, secretFolder, secretOptions(disk))
	defer closeSecret(t, log)
	log.Commit(log.End())
	checkSecret(t, log, want[log.Start():]...)
}

// TestFullDiskWithoutRoomForKey: an append that finds no room for the key of a new segment is refused, leaves nothing, and
// succeeds when there is room again.
func TestFullDiskWithoutRoomForKey(t *testing.T) {
	t.Parallel()
	for _, failing := range []struct {
		kind   vfs.OpKind
		suffix string
	}{{vfs.OpCreate, ".key"}, {vfs.OpWriteAt, ".key"}, {vfs.OpSyncData, ".key"}, {vfs.OpCreate, ".idx"}} {
		t.Run(failing.kind.String()+" of "+failing.suffix, func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewMem(1)
			log := openSecret(t, secretFolder, secretOptions(disk))
			defer closeSecret(t, log)
			full := false
			disk.OnOp(func(op vfs.Op) error {
				if full && op.Kind == failing.kind && strings.HasSuffix(op.Name, failing.suffix) {
					return syscall.ENOSPC
				}
				return nil
			})
			var want []batch.Record
			refused := 0
			for i := range 12 {
				full = true
				before, files := log.End(), namesIn(t, disk, secretFolder, "")
				_, err := log.Append(1, 1, secretBatch(secretRecord("k", i)))
				full = false
				if err == nil {
					want = append(want, secretRecord("k", i))
					continue
				}
				refused++
				if !errors.Is(err, commitlog.ErrFull) || errors.Is(err, commitlog.ErrFault) || log.End() != before {
					t.Fatalf("got error %v and the end %v, want ErrFull at %v", err, log.End(), before)
				}
				if diff := cmp.Diff(files, namesIn(t, disk, secretFolder, "")); diff != "" {
					t.Fatalf("files (-before +after):\n%s", diff)
				}
				appendSecret(t, log, secretRecord("k", 50+i))
				want = append(want, secretRecord("k", 50+i))
			}
			log.Commit(log.End())
			if refused < 2 {
				t.Errorf("refused %d times", refused)
			}
			checkSecret(t, log, want...)
			checkKeyFiles(t, disk, "at the end")
		})
	}
}

// TestFullDiskWithoutRoomForAnotherKey: the same where an empty segment lost the key that it had.
func TestFullDiskWithoutRoomForAnotherKey(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	log := openSecret(t, secretFolder, secretOptions(disk))
	appendSecret(t, log, secretRecord("k", 0))
	if _, err := log.TruncateUnclean(1); err != nil {
		t.Fatal(err)
	}
	closeSecret(t, log)
	if err := disk.Remove(onlyKeyFile(t, disk, secretFolder)); err != nil {
		t.Fatal(err)
	}
	log = openSecret(t, secretFolder, secretOptions(disk))
	defer closeSecret(t, log)
	remove := disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData && strings.HasSuffix(op.Name, ".key") {
			return syscall.ENOSPC
		}
		return nil
	})
	if _, err := log.Append(1, 1, secretBatch(secretRecord("k", 1))); !errors.Is(err, commitlog.ErrFull) {
		t.Errorf("got error %v, want ErrFull", err)
	}
	if left := keyFiles(t, disk, secretFolder); len(left) != 0 {
		t.Errorf("key files left: %q", left)
	}
	remove()
	appendSecret(t, log, secretRecord("k", 2))
	checkSecret(t, log, secretRecord("k", 2))
}

// TestKeyNameNotDurable: when the folder cannot be synced, nothing is built on it any more.
func TestKeyNameNotDurable(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	log := openSecret(t, secretFolder, secretOptions(disk))
	disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncDir {
			return syscall.EIO
		}
		return nil
	})
	if _, err := log.Append(1, 1, secretBatch(secretRecord("k", 1))); !errors.Is(err, commitlog.ErrFault) {
		t.Errorf("got error %v, want ErrFault", err)
	}
	if err := log.Close(); !errors.Is(err, commitlog.ErrFault) && err != nil {
		t.Error(err)
	}
}

// TestKeyIsDurableBeforeItIsUsed cuts the power before each operation of a history with segments that come and go: whatever
// batch is there afterwards can be decrypted.
func TestKeyIsDurableBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewMem(seed)
			log := openSecret(t, secretFolder, secretOptions(disk))
			crashes, survivors := 0, 0
			remove := disk.OnOp(func(op vfs.Op) error {
				if op.Kind == vfs.OpReadAt || op.Kind == vfs.OpSize || op.Kind == vfs.OpClose {
					return nil // changes nothing
				}
				for _, keep := range []vfs.Keep{vfs.KeepNone, vfs.KeepRandom, vfs.KeepRandom, vfs.KeepAll} {
					crashes++
					survivors += readAfterCrash(t, disk.CrashClone(keep), op)
				}
				return nil
			})
			for i := range 24 {
				appendSecret(t, log, secretRecord("k", i))
				if i%4 == 2 {
					if _, err := log.Sync(); err != nil {
						t.Fatal(err)
					}
				}
				switch i {
				case 11:
					if _, err := log.Retain(commitlog.Retention{Messages: 7}, 1); err != nil {
						t.Fatal(err)
					}
				case 15:
					if _, err := log.TruncateUnclean(log.End().Seq - 5); err != nil {
						t.Fatal(err)
					}
				}
			}
			remove()
			closeSecret(t, log)
			if crashes < 200 || survivors < crashes {
				t.Errorf("%d crashes, %d records survived", crashes, survivors)
			}
		})
	}
}

// readAfterCrash opens the log, reads all of it, appends to it and reads that.
func readAfterCrash(t *testing.T, disk *vfs.Mem, op vfs.Op) int {
	t.Helper()
	log := openSecret(t, secretFolder, secretOptions(disk))
	defer closeSecret(t, log)
	log.Commit(log.End())
	got, err := readSecret(log, log.Start())
	if err != nil {
		t.Fatalf("after a crash before %v of %s: %v", op.Kind, op.Name, err)
	}
	for i, r := range got {
		var number int
		if _, err := fmt.Sscanf(string(r.Value), "value %d", &number); err != nil || !bytes.Equal(r.Value, secretRecord("k", number).Value) {
			t.Fatalf("after a crash before %v of %s: record %d is %.30q", op.Kind, op.Name, i, r.Value)
		}
	}
	at := appendSecret(t, log, secretRecord("after", 1)).First
	if again, err := readSecret(log, at.Offset); err != nil || len(again) != 1 {
		t.Fatalf("after a crash before %v of %s: %d records appended, %v", op.Kind, op.Name, len(again), err)
	}
	return len(got)
}

// TestDataKeysAreCached: a key file is read once while its key is in use, and no more keys than a bound are kept.
func TestDataKeysAreCached(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	opts := secretOptions(disk)
	opts.SegmentBytes = 1
	log := openSecret(t, secretFolder, opts)
	const segments = 80
	for i := range segments {
		appendSecret(t, log, secretRecord("k", i))
	}
	closeSecret(t, log)
	names := keyFiles(t, disk, secretFolder)
	if len(names) != segments {
		t.Fatalf("%d key files, want %d", len(names), segments)
	}
	opened := map[string]int{}
	disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpOpen {
			opened[op.Name]++
		}
		return nil
	})
	log = openSecret(t, secretFolder, opts)
	defer closeSecret(t, log)
	log.Commit(log.End())
	readOne := func(i int) {
		h, b := storedBatch(t, log, int64(i))
		if _, err := log.Decrypt(nil, &h, b); err != nil {
			t.Fatal(err)
		}
	}
	for i := range segments {
		readOne(i)
		readOne(segments / 2)
	}
	for i, name := range names {
		if want := 1; opened[name] != want {
			t.Errorf("the key of segment %d was read %d times, want %d", i, opened[name], want)
		}
	}
	readOne(0)
	if opened[names[0]] != 2 {
		t.Errorf("a key that %d others came after was read %d times, want 2", segments, opened[names[0]])
	}
}

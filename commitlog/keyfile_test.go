package commitlog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// namesIn lists the files of a folder that end so.
func namesIn(t testing.TB, disk vfs.FS, dir, suffix string) (names []string) {
	t.Helper()
	entries, err := disk.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names
}

func keyFiles(t testing.TB, disk vfs.FS, dir string) []string {
	t.Helper()
	return namesIn(t, disk, dir, ".key")
}

func onlyKeyFile(t testing.TB, disk vfs.FS, dir string) string {
	t.Helper()
	names := keyFiles(t, disk, dir)
	if len(names) != 1 {
		t.Fatalf("key files: %q, want one", names)
	}
	return names[0]
}

// keysOfSegments are the names that key files have if each segment has its own, and nothing else has one.
func keysOfSegments(t testing.TB, disk vfs.FS, dir string) (names []string) {
	t.Helper()
	for _, name := range namesIn(t, disk, dir, ".seg") {
		names = append(names, name[:strings.LastIndexByte(name, '-')]+".key")
	}
	return names
}

func checkKeyFiles(t testing.TB, disk vfs.FS, when string) {
	t.Helper()
	if diff := cmp.Diff(keysOfSegments(t, disk, secretFolder), keyFiles(t, disk, secretFolder)); diff != "" {
		t.Errorf("%s: key files (-of segments +there):\n%s", when, diff)
	}
}

func readMem(t testing.TB, disk vfs.FS, name string) []byte {
	t.Helper()
	file, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := file.Size()
	b := make([]byte, size)
	if err == nil {
		_, err = file.ReadAt(b, 0)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// writeMem replaces the contents of a file, which is made if there is none.
func writeMem(t testing.TB, disk vfs.FS, name string, contents []byte) {
	t.Helper()
	if err := disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	file, err := disk.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(contents, 0)
	if err := errors.Join(err, file.SyncData(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

func copyMem(t testing.TB, disk vfs.FS, from, to string) {
	t.Helper()
	writeMem(t, disk, to, readMem(t, disk, from))
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	want := make([]byte, commitlog.KeySize)
	for i := range want {
		want[i] = byte(255 - 5*i)
	}
	for name, text := range map[string]string{
		"hexadecimal":         hex.EncodeToString(want),
		"upper case":          strings.ToUpper(hex.EncodeToString(want)),
		"base64":              base64.StdEncoding.EncodeToString(want),
		"base64 without =":    base64.RawStdEncoding.EncodeToString(want),
		"base64 for URLs":     base64.URLEncoding.EncodeToString(want),
		"for URLs, without =": base64.RawURLEncoding.EncodeToString(want),
		"white space around":  " \t\n" + hex.EncodeToString(want) + "\r\n",
	} {
		if got, err := commitlog.ParseKey(text); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":             "",
		"white space":         " \n",
		"31 bytes":            hex.EncodeToString(want[1:]),
		"33 bytes":            hex.EncodeToString(append([]byte{7}, want...)),
		"31 bytes in base64":  base64.StdEncoding.EncodeToString(want[1:]),
		"33 bytes in base64":  base64.StdEncoding.EncodeToString(append([]byte{7}, want...)),
		"the bytes":           string(want),
		"not a digit":         strings.Replace(hex.EncodeToString(want), "f", "g", 1),
		"white space between": hex.EncodeToString(want[:16]) + "\n" + hex.EncodeToString(want[16:]),
		"a break in base64":   base64.StdEncoding.EncodeToString(want)[:20] + "\n" + base64.StdEncoding.EncodeToString(want)[20:],
		"two =":               base64.StdEncoding.EncodeToString(want) + "=",
		"bits beyond the end": base64.RawStdEncoding.EncodeToString(want)[:42] + "B",
	} {
		got, err := commitlog.ParseKey(text)
		if err == nil || got != nil {
			t.Errorf("%s: got %x, error %v", name, got, err)
		} else if len(text) > 2 && strings.Contains(err.Error(), text[:3]) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestKeyFromFile(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	want := masterKey(7)
	text := hex.EncodeToString(want)
	writeMem(t, disk, "master", []byte(text+"\n"))
	if got, err := commitlog.KeyFromFile(disk, "master"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v", got, err)
	}
	for name, contents := range map[string]string{
		"too short": text[2:], "too large": text + strings.Repeat(" ", 5000) + "more", "empty": "",
	} {
		writeMem(t, disk, name, []byte(contents))
		got, err := commitlog.KeyFromFile(disk, name)
		if err == nil || got != nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), text[2:6]) {
			t.Errorf("%s: got %x, error %v; want one that names the file and shows nothing of it", name, got, err)
		}
	}
	if _, err := commitlog.KeyFromFile(disk, "missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got error %v", err)
	}
}

func TestMasterKeyOfAnotherLengthIsRefused(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 16, 31, 33, 64} {
		opts := secretOptions(vfs.NewMem(1))
		opts.Key = make([]byte, n)
		if log, _, err := commitlog.Open(secretFolder, opts); err == nil || log != nil || !strings.Contains(err.Error(), fmt.Sprint(n)) {
			t.Errorf("%d bytes: got error %v", n, err)
		}
	}
}

// severalSegments fills a log so that it has a few segments, and returns what is in it.
func severalSegments(t testing.TB, log *commitlog.Log) (records []batch.Record) {
	t.Helper()
	for i := range 14 {
		records = append(records, secretRecord("k", i))
		appendSecret(t, log, records[i])
	}
	return records
}

// TestDamagedKeyFile: whatever byte is not what it was, or missing, the error names the file, nothing wrong is read, what
// other keys open still is, and appends go on.
func TestDamagedKeyFile(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	log := openSecret(t, secretFolder, secretOptions(disk))
	want := severalSegments(t, log)
	closeSecret(t, log)
	names := keyFiles(t, disk, secretFolder)
	name := names[1]
	sound := readMem(t, disk, name)
	check := func(how string) {
		t.Helper()
		log := openSecret(t, secretFolder, secretOptions(disk))
		defer closeSecret(t, log)
		log.Commit(log.End())
		got, err := readSecret(log, 0)
		var corrupt *commitlog.CorruptError
		if !errors.As(err, &corrupt) || corrupt.File != name || errors.Is(err, commitlog.ErrWrongKey) {
			t.Errorf("%s: got error %v, want a CorruptError that names %s", how, err, name)
		}
		if len(got) == 0 || len(got) > 7 || !bytes.Equal(got[len(got)-1].Value, want[len(got)-1].Value) {
			t.Errorf("%s: read %d records before the damage", how, len(got))
		}
		last, err := readSecret(log, int64(len(want)-1))
		if err != nil || len(last) != 1 || !bytes.Equal(last[0].Value, want[len(want)-1].Value) {
			t.Errorf("%s: another segment cannot be read: %d records, %v", how, len(last), err)
		}
		if _, err := log.Append(1, 1, secretBatch(secretRecord("k", 99))); err != nil {
			t.Errorf("%s: append: %v", how, err)
		}
		if _, err := log.Truncate(uint64(len(want)) + 1); !errors.Is(err, commitlog.ErrCommitted) && err != nil {
			t.Fatal(err)
		}
	}
	for i := range sound {
		if err := disk.FlipBit(name, int64(i), i%8); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("bit %d of byte %d", i%8, i))
		if err := disk.FlipBit(name, int64(i), i%8); err != nil {
			t.Fatal(err)
		}
	}
	for n := range len(sound) {
		writeMem(t, disk, name, sound[:n])
		check(fmt.Sprintf("%d bytes", n))
	}
	writeMem(t, disk, name, append(slices.Clone(sound), 0))
	check("a byte too many")
	copyMem(t, disk, names[0], name)
	check("the key of another segment")
	if err := disk.Remove(name); err != nil {
		t.Fatal(err)
	}
	check("no file")
	writeMem(t, disk, name, sound)
	log = openSecret(t, secretFolder, secretOptions(disk))
	defer closeSecret(t, log)
	log.Commit(log.End())
	checkSecret(t, log, want...)
}

func TestKeyFileOfALaterVersion(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	log := openSecret(t, secretFolder, secretOptions(disk))
	appendSecret(t, log, secretRecord("k", 1))
	closeSecret(t, log)
	name := onlyKeyFile(t, disk, secretFolder)
	later := append(readMem(t, disk, name), "more"...)
	later[2], later[3] = byte(len(later)), 2
	crc := batch.Checksum(later[:len(later)-4])
	later = append(later[:len(later)-4], byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24))
	writeMem(t, disk, name, later)
	log = openSecret(t, secretFolder, secretOptions(disk))
	defer closeSecret(t, log)
	log.Commit(log.End())
	if _, err := readSecret(log, 0); !errors.Is(err, commitlog.ErrNewer) || commitlog.IsDamage(err) {
		t.Errorf("got error %v, want ErrNewer", err)
	}
	if _, err := log.Append(1, 1, secretBatch(secretRecord("k", 2))); !errors.Is(err, commitlog.ErrNewer) {
		t.Errorf("append: got error %v, want ErrNewer", err)
	}
}

// TestReopenedLogUsesItsKey: the active segment goes on with the key that it has.
func TestReopenedLogUsesItsKey(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	opts := secretOptions(disk)
	opts.SegmentBytes = 1 << 20
	var want []batch.Record
	var first []byte
	for i := range 4 {
		log := openSecret(t, secretFolder, opts)
		want = append(want, secretRecord("k", i))
		appendSecret(t, log, want[i])
		log.Commit(log.End())
		checkSecret(t, log, want...)
		closeSecret(t, log)
		contents := readMem(t, disk, onlyKeyFile(t, disk, secretFolder))
		if i == 0 {
			first = contents
		}
		if !bytes.Equal(contents, first) {
			t.Fatalf("after start %d the key file is another one", i)
		}
	}
}

// TestActiveSegmentWithoutKey: appends go on in another segment, with a key of its own, and the file that is there is left
// as it is. A segment that holds nothing gets a new key.
func TestActiveSegmentWithoutKey(t *testing.T) {
	t.Parallel()
	torn := func(t *testing.T, disk *vfs.Mem, name string) {
		writeMem(t, disk, name, readMem(t, disk, name)[:40])
	}
	missing := func(t *testing.T, disk *vfs.Mem, name string) {
		if err := disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		empty    bool
		damage   func(*testing.T, *vfs.Mem, string)
		segments int
	}{
		"torn":              {false, torn, 2},
		"missing":           {false, missing, 2},
		"torn and empty":    {true, torn, 1},
		"missing and empty": {true, missing, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewMem(1)
			log := openSecret(t, secretFolder, secretOptions(disk))
			appendSecret(t, log, secretRecord("k", 0))
			if test.empty {
				if _, err := log.TruncateUnclean(1); err != nil {
					t.Fatal(err)
				}
			}
			closeSecret(t, log)
			key := onlyKeyFile(t, disk, secretFolder)
			test.damage(t, disk, key)
			log = openSecret(t, secretFolder, secretOptions(disk))
			defer closeSecret(t, log)
			at := appendSecret(t, log, secretRecord("k", 1)).First
			got, err := readSecret(log, at.Offset)
			if err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, secretRecord("k", 1).Value) {
				t.Errorf("read %d records, %v", len(got), err)
			}
			if n := len(namesIn(t, disk, secretFolder, ".seg")); n != test.segments {
				t.Errorf("%d segments, want %d", n, test.segments)
			}
			if name == "torn" {
				if n := len(readMem(t, disk, key)); n != 40 {
					t.Errorf("the torn key file has %d bytes now", n)
				}
			}
		})
	}
}

package commitlog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

func TestWrongKey(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	log := openSecret(t, secretFolder, secretOptions(disk))
	appendSecret(t, log, secretRecord("k", 1))
	closeSecret(t, log)
	opts := secretOptions(disk)
	opts.Key = masterKey(2)
	log = openSecret(t, secretFolder, opts)
	log.Commit(log.End())
	got, err := readSecret(log, 0)
	if len(got) != 0 || !errors.Is(err, commitlog.ErrWrongKey) || commitlog.IsDamage(err) || errors.Is(err, commitlog.ErrNoKey) {
		t.Errorf("read %d records, error %v, want ErrWrongKey", len(got), err)
	}
	if _, err := log.Append(1, 1, secretBatch(secretRecord("k", 2))); !errors.Is(err, commitlog.ErrWrongKey) {
		t.Errorf("append: got error %v, want ErrWrongKey", err)
	}
	closeSecret(t, log)
	log = openSecret(t, secretFolder, secretOptions(disk))
	defer closeSecret(t, log)
	appendSecret(t, log, secretRecord("k", 3))
	checkSecret(t, log, secretRecord("k", 1), secretRecord("k", 3))
}

// TestSwappedValues: a value is what it was under its own key in its own log, and nowhere else.
func TestSwappedValues(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	log := openSecret(t, secretFolder, secretOptions(disk))
	defer closeSecret(t, log)
	appendSecret(t, log, secretRecord("alice", 1), secretRecord("bob", 2))
	h, stored := storedBatch(t, log, 0)
	records, err := recordsOf(stored)
	if err != nil {
		t.Fatal(err)
	}
	forged := func(records ...batch.Record) error {
		plain, err := log.Decrypt(nil, &h, stored)
		if err != nil || plain == nil {
			t.Fatal(err)
		}
		b, bh := forge(t, &h, records...)
		_, err = log.Decrypt(nil, &bh, b)
		return err
	}
	if err := forged(records...); err != nil {
		t.Fatalf("built anew and not changed: %v", err)
	}
	swapped := slices.Clone(records)
	swapped[0].Value, swapped[1].Value = swapped[1].Value, swapped[0].Value
	isCorrupt(t, "values swapped between keys", forged(swapped...), ".seg")

	for name, change := range map[string]func(*commitlog.Options){
		"another partition": func(o *commitlog.Options) { o.Partition[0] = 9 },
		"another log":       func(o *commitlog.Options) { o.LogID = 9 },
	} {
		opts := secretOptions(disk)
		change(&opts)
		other := openSecret(t, "other/"+name, opts)
		appendSecret(t, other, secretRecord("alice", 1), secretRecord("bob", 2))
		oh, _ := storedBatch(t, other, 0)
		b, bh := forge(t, &oh, records...)
		_, err := other.Decrypt(nil, &bh, b)
		isCorrupt(t, "values of "+name, err, ".key")
		// The same with the key file brought along: it was wrapped for the log that it came from.
		copyMem(t, disk, onlyKeyFile(t, disk, secretFolder), onlyKeyFile(t, disk, "other/"+name))
		if _, err := other.Decrypt(nil, &bh, b); !errors.Is(err, commitlog.ErrWrongKey) {
			t.Errorf("values of %s with their key file: got error %v, want ErrWrongKey", name, err)
		}
		closeSecret(t, other)
	}
}

// forge builds an encrypted batch in the place of h from encrypted records.
func forge(t *testing.T, h *batch.Header, records ...batch.Record) ([]byte, batch.Header) {
	t.Helper()
	built := secretBatch(records...)
	bh, err := batch.Parse(built)
	if err != nil {
		t.Fatal(err)
	}
	forged := *h
	forged.BodyCRC = bh.BodyCRC
	b := batch.Append(nil, &forged, bh.BodyOf(built))
	if forged, err = batch.Parse(b); err != nil {
		t.Fatal(err)
	}
	return b, forged
}

func isCorrupt(t *testing.T, name string, err error, suffix string) {
	t.Helper()
	var corrupt *commitlog.CorruptError
	if !errors.As(err, &corrupt) || !strings.HasSuffix(corrupt.File, suffix) {
		t.Errorf("%s: got error %v, want a CorruptError that names a %s file", name, err, suffix)
	}
}

// TestDamagedValue: whatever byte of a value is not what it was, nothing wrong comes out, and the error says where.
func TestDamagedValue(t *testing.T) {
	t.Parallel()
	log := openSecret(t, secretFolder, secretOptions(vfs.NewMem(1)))
	defer closeSecret(t, log)
	appendSecret(t, log, secretRecord("before", 0))
	appendSecret(t, log, batch.Record{Key: []byte("k"), Value: []byte("value")})
	h, stored := storedBatch(t, log, 1)
	records, err := recordsOf(stored)
	if err != nil {
		t.Fatal(err)
	}
	sound := records[0].Value
	decrypt := func(value []byte) error {
		b, bh := forge(t, &h, batch.Record{Key: []byte("k"), Value: value})
		plain, err := log.Decrypt(nil, &bh, b)
		if err != nil && plain != nil {
			t.Errorf("an error and %d bytes", len(plain))
		}
		return err
	}
	if err := decrypt(sound); err != nil {
		t.Fatal(err)
	}
	for i := range sound {
		value := slices.Clone(sound)
		value[i] ^= 1 << (i % 8)
		err := decrypt(value)
		var corrupt *commitlog.CorruptError
		switch name := fmt.Sprintf("byte %d", i); {
		case i == 0:
			if !errors.Is(err, commitlog.ErrNewer) {
				t.Errorf("%s: got error %v, want ErrNewer", name, err)
			}
		case i <= 8:
			isCorrupt(t, name, err, ".key")
		default:
			isCorrupt(t, name, err, ".seg")
			if errors.As(err, &corrupt); corrupt == nil || corrupt.Position < 200 || !errors.Is(err, batch.ErrCorrupt) {
				t.Errorf("%s: got error %v, want ErrCorrupt at the place of the second batch", name, err)
			}
		}
	}
	for n := range len(sound) {
		isCorrupt(t, fmt.Sprintf("%d bytes", n), decrypt(sound[:n]), ".seg")
	}
	appendSecret(t, log, secretRecord("after", 1)) // the log is none the worse for it
}

package commitlog_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

func TestEncryptedValuesComeBack(t *testing.T) {
	t.Parallel()
	large := make([]byte, 300<<10)
	for i := range large {
		large[i] = byte(i * i >> 3)
	}
	many := make([]batch.Record, 500)
	for i := range many {
		many[i] = batch.Record{Key: fmt.Append(nil, i), Value: large[:i]}
	}
	for name, records := range map[string][]batch.Record{
		"nil value":     {{Key: []byte("k")}},
		"empty value":   {{Key: []byte("k"), Value: []byte{}}},
		"no key":        {{Value: []byte("v")}},
		"empty key":     {{Key: []byte{}, Value: []byte("v")}},
		"large":         {{Key: []byte("k"), Value: large}},
		"many":          many,
		"nil among all": {{Value: []byte("a")}, {}, {Value: []byte{}}, {Key: []byte("k"), Tombstone: true}, {Value: []byte("b")}},
		"everything": {{
			Key: []byte("k"), Value: []byte("v"), Subject: []byte("own"), Reply: []byte("reply"), SchemaID: 7,
			Headers: []batch.HeaderField{{Name: []byte(batch.MessageIDHeader), Value: []byte("1")}, {}, {Name: []byte("a")}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := openSecret(t, secretFolder, secretOptions(vfs.NewMem(1)))
			defer closeSecret(t, log)
			appendSecret(t, log, secretRecord("before", 0))
			sent := secretBatch(records...)
			sentHeader := parsed(t, sent)
			before := slices.Clone(sent)
			at := appendSecret(t, log, records...).First
			if _, err := log.Append(1, 1, sent); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(sent, before) {
				t.Error("Append changed the batch that it was given")
			}
			h, stored := storedBatch(t, log, at.Offset)
			checkStored(t, &h, stored, records)
			plain, err := log.Decrypt(nil, &h, stored)
			if err != nil {
				t.Fatal(err)
			}
			got := parsed(t, plain)
			if !bytes.Equal(got.BodyOf(plain), sentHeader.BodyOf(before)) {
				t.Error("the body is not what was sent")
			}
			want := h
			want.Attributes, want.Size, want.BodyCRC, want.HeaderCRC = sentHeader.Attributes, len(sent), sentHeader.BodyCRC, got.HeaderCRC
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		})
	}
}

// checkStored holds what is stored against what was sent: all but the values is the same, and no value is.
func checkStored(t *testing.T, h *batch.Header, stored []byte, sent []batch.Record) {
	t.Helper()
	if h.Attributes&batch.Encrypted == 0 {
		t.Error("the batch is not marked as encrypted")
	}
	records, err := h.RecordsOf(stored)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sent {
		var got batch.Record
		if _, _, err := records.Next(&got); err != nil {
			t.Fatal(err)
		}
		want := *ownBytes(&sent[i])
		if len(want.Subject) == 0 {
			want.Subject = []byte("orders")
		}
		if want.Value != nil && len(got.Value) != 1+8+12+len(want.Value)+16 || want.Value == nil && got.Value != nil {
			t.Errorf("record %d: a value of %d bytes is stored in %d", i, len(want.Value), len(got.Value))
		}
		// Sixteen bytes, if there are: of 300 KiB of cipher text some four are those of the value once in 14,000 times.
		if len(want.Value) > 3 && bytes.Contains(got.Value, want.Value[:min(16, len(want.Value))]) {
			t.Errorf("record %d: the value is stored as it is", i)
		}
		want.Value, got.Value = nil, nil
		if diff := cmp.Diff(want, *ownBytes(&got)); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestIteratorsDecrypt(t *testing.T) {
	t.Parallel()
	log := openSecret(t, secretFolder, secretOptions(vfs.NewMem(1)))
	defer closeSecret(t, log)
	var want []batch.Record
	for i := range 20 {
		want = append(want, secretRecord("k", i))
		appendSecret(t, log, want[i])
	}
	if _, err := log.Append(2, 2, batch.AppendControl(nil, &batch.Control{Kind: batch.ControlEpoch, Epoch: 2})); err != nil {
		t.Fatal(err)
	}
	log.Commit(log.End())
	checkSecret(t, log, want...)
	i := len(want)
	for r, err := range log.RecordsBackwards(log.End().Offset) {
		if err != nil {
			t.Fatal(err)
		}
		if i--; i < 0 || !bytes.Equal(r.Value, want[i].Value) {
			t.Fatalf("backwards at offset %d: value %.20q, want that of record %d", r.Offset, r.Value, i)
		}
	}
	if i != 0 {
		t.Errorf("backwards: %d records are missing", i)
	}
}

// TestUnknownFieldsStay: what a later version put into a record or beside it is stored and comes back as it was.
func TestUnknownFieldsStay(t *testing.T) {
	t.Parallel()
	record := []byte("\x12\x01v\x7a\x02zz\x0a\x01k\x45abcd\x49abcdefgh\x50\x07\x12\x01w")
	body := append([]byte("\x32\x03new\x0a"), byte(len(record)))
	body = append(append(body, record...), "\x38\x01"...)
	log := openSecret(t, secretFolder, secretOptions(vfs.NewMem(1)))
	defer closeSecret(t, log)
	sent := batch.Append(nil, &batch.Header{RecordCount: 1, Body: batch.BodyRecords, BodyCRC: batch.Checksum(body)}, body)
	if _, err := log.Append(1, 1, sent); err != nil {
		t.Fatal(err)
	}
	h, stored := storedBatch(t, log, 0)
	if !bytes.Contains(stored, []byte("\x7a\x02zz\x0a\x01k\x45abcd\x49abcdefgh\x50\x07")) || bytes.Contains(stored, []byte("\x12\x01v")) {
		t.Errorf("stored: %q", h.BodyOf(stored))
	}
	plain, err := log.Decrypt(nil, &h, stored)
	if err != nil {
		t.Fatal(err)
	}
	if got := plain[batch.HeaderSize:]; !bytes.Equal(got, body) {
		t.Errorf("decrypted: %q, want %q", got, body)
	}
}

func FuzzEncryptedBody(f *testing.F) {
	f.Add(secretBatch(secretRecord("k", 1), batch.Record{}, batch.Record{Value: []byte{}})[batch.HeaderSize:])
	f.Add([]byte("\x0a\x06\x12\x01v\x12\x01w\x32\x00"))
	f.Add([]byte("\x0a\x02\x10\x01"))
	f.Add([]byte("\x8a\x00\x83\x00\x12\x01v"))
	f.Fuzz(func(t *testing.T, body []byte) {
		records, err := batch.ParseRecords(body)
		if err != nil || records.Count == 0 || !records.Dense() {
			return
		}
		log := openSecret(t, secretFolder, secretOptions(vfs.NewMem(1)))
		defer closeSecret(t, log)
		sent := batch.Append(nil, &batch.Header{
			RecordCount: uint32(records.Count), LastOffsetDelta: int32(records.Count) - 1, Body: batch.BodyRecords, BodyCRC: batch.Checksum(body),
		}, body)
		_, appendErr := log.Append(1, 1, sent)
		want, readErr := recordsOf(sent)
		if appendErr != nil {
			if readErr == nil {
				t.Fatalf("can be read and is refused: %v", appendErr)
			}
			return
		}
		h, stored := storedBatch(t, log, 0)
		plain, err := log.Decrypt([]byte("before"), &h, stored)
		if err != nil {
			t.Fatal(err)
		}
		got, err := recordsOf(plain)
		if (err == nil) != (readErr == nil) {
			t.Fatalf("decrypted: %v, as sent: %v", err, readErr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("records (-sent +decrypted):\n%s", diff)
		}
	})
}

func recordsOf(b []byte) (all []batch.Record, err error) {
	h, err := batch.Parse(b)
	if err != nil {
		return nil, err
	}
	records, err := h.RecordsOf(b)
	for err == nil {
		var r batch.Record
		var ok bool
		if _, ok, err = records.Next(&r); !ok {
			break
		}
		all = append(all, *ownBytes(&r))
	}
	return all, err
}

// TestMixedLogs: a master key may come and go. What is plain is read without it, what is encrypted with it.
func TestMixedLogs(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	var want []batch.Record
	for round := range 6 {
		opts := secretOptions(disk)
		if round%2 == 0 {
			opts.Key = nil
		}
		log := openSecret(t, secretFolder, opts)
		for i := range 7 {
			want = append(want, secretRecord("k", 10*round+i))
			appendSecret(t, log, want[len(want)-1])
		}
		closeSecret(t, log)
	}
	log := openSecret(t, secretFolder, secretOptions(disk))
	log.Commit(log.End())
	checkSecret(t, log, want...)
	closeSecret(t, log)

	opts := secretOptions(disk)
	opts.Key = nil
	log = openSecret(t, secretFolder, opts)
	defer closeSecret(t, log)
	log.Commit(log.End())
	for i := range want {
		got, err := readSecret(log, int64(i))
		switch plain := i/7%2 == 0; {
		case plain && (len(got) == 0 || !bytes.Equal(got[0].Value, want[i].Value)):
			t.Errorf("record %d is plain: got %d records and error %v", i, len(got), err)
		case !plain && (len(got) != 0 || !errors.Is(err, commitlog.ErrNoKey)):
			t.Errorf("record %d is encrypted: got %d records and error %v, want ErrNoKey", i, len(got), err)
		}
	}
}

// TestNoPlainValueOnDisk looks for any eight bytes of any value, and for the master key, in every file.
func TestNoPlainValueOnDisk(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	opts := secretOptions(vfs.OS())
	opts.SegmentBytes, opts.Codec, opts.Compress = 32<<10, flateCodec{}, true
	log := openSecret(t, filepath.Join(dir, "log0"), opts)
	runs := map[uint64]bool{binary.LittleEndian.Uint64(opts.Key): true}
	for i := range 100 {
		records := make([]batch.Record, 1+i%5)
		for j := range records {
			value := bytes.Repeat(fmt.Appendf(nil, "%016x", rng.Uint64()), 1+rng.IntN(40))
			records[j] = batch.Record{Key: fmt.Append(nil, j), Value: value}
			for at := 0; at+8 <= len(value); at++ {
				runs[binary.LittleEndian.Uint64(value[at:])] = true
			}
		}
		appendSecret(t, log, records...)
		if i == 60 {
			if _, err := log.Compact(t.Context(), commitlog.Compaction{MemoryBytes: 1 << 20}, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	closeSecret(t, log)
	if err := opts.Files.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		contents, err := os.ReadFile(path)
		for at := 0; at+8 <= len(contents); at++ {
			if runs[binary.LittleEndian.Uint64(contents[at:])] {
				t.Errorf("%s has eight bytes of a value at byte %d", path, at)
			}
		}
		return err
	})
	if err != nil || files < 6 {
		t.Errorf("looked through %d files: %v", files, err)
	}
}

// TestCompactionNeedsNoKey: encrypted values are copied as they are, by a process that could not read them.
func TestCompactionNeedsNoKey(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	log := openSecret(t, secretFolder, secretOptions(disk))
	var want []batch.Record
	for i := range 30 {
		r := secretRecord("k"+fmt.Sprint(i%3), i)
		appendSecret(t, log, r, secretRecord(fmt.Sprint("own", i), i))
	}
	closeSecret(t, log)
	keysBefore := keyFiles(t, disk, secretFolder)
	opts := secretOptions(disk)
	opts.Key = nil
	log = openSecret(t, secretFolder, opts)
	log.Commit(log.End())
	done, err := log.Compact(t.Context(), commitlog.Compaction{MemoryBytes: 1 << 20}, 1<<60)
	if err != nil || done.Records == 0 || done.Segments < 5 {
		t.Fatalf("compacted %+v: %v", done, err)
	}
	closeSecret(t, log)
	if diff := cmp.Diff(keysBefore, keyFiles(t, disk, secretFolder)); diff != "" {
		t.Errorf("key files (-before +after compaction):\n%s", diff)
	}
	log = openSecret(t, secretFolder, secretOptions(disk))
	defer closeSecret(t, log)
	log.Commit(log.End())
	got, err := readSecret(log, 0)
	if err != nil {
		t.Fatal(err)
	}
	newest := map[string][]byte{}
	for _, r := range got {
		newest[string(r.Key)] = r.Value
	}
	for i := range 30 {
		want = append(want, secretRecord(fmt.Sprint("own", i), i))
	}
	want = append(want, secretRecord("k0", 27), secretRecord("k1", 28), secretRecord("k2", 29))
	for _, r := range want {
		if !bytes.Equal(newest[string(r.Key)], r.Value) {
			t.Errorf("key %s has value %.20q, want %.20q", r.Key, newest[string(r.Key)], r.Value)
		}
	}
	if int64(len(got)) != 60-done.Records {
		t.Errorf("%d records are left of 60 less %d", len(got), done.Records)
	}
}

// flateCodec is a codec of the standard library.
type flateCodec struct{}

func (flateCodec) Encode(dst, src []byte) []byte {
	out := bytes.NewBuffer(dst)
	w, err := flate.NewWriter(out, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(src)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}

func (flateCodec) Decode(dst, src []byte, limit int) ([]byte, error) {
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(src)), int64(limit)+1))
	if err == nil && len(plain) > limit {
		err = errors.New("too large")
	}
	return append(dst, plain...), err
}

package commitlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// TestPackedBatchIsUnpackedToEncrypt: a batch that comes packed is stored with encrypted values and not packed.
func TestPackedBatchIsUnpackedToEncrypt(t *testing.T) {
	t.Parallel()
	record := batch.Record{Key: []byte("k"), Value: bytes.Repeat([]byte("compressible "), 100)}
	sent := secretBatch(record)
	h, err := batch.Parse(sent)
	if err != nil {
		t.Fatal(err)
	}
	body := flateCodec{}.Encode(nil, h.BodyOf(sent))
	h.Attributes, h.Body, h.BodyCRC = batch.Zstd, batch.BodyPacked, batch.Checksum(body)
	packed := batch.Append(nil, &h, body)

	opts := secretOptions(vfs.NewMem(1))
	log := openSecret(t, secretFolder, opts)
	if _, err := log.Append(1, 1, packed); !errors.Is(err, commitlog.ErrNoCodec) || log.End() != commitlog.Origin {
		t.Errorf("without a codec: got error %v, want ErrNoCodec", err)
	}
	closeSecret(t, log)
	opts.Codec, opts.Compress = flateCodec{}, true
	log = openSecret(t, secretFolder, opts)
	defer closeSecret(t, log)
	if _, err := log.Append(1, 1, packed); err != nil {
		t.Fatal(err)
	}
	log.Commit(log.End())
	stored, b := storedBatch(t, log, 0)
	checkStored(t, &stored, b, []batch.Record{record})
	if stored.Codec() != 0 {
		t.Error("the batch is packed")
	}
	checkSecret(t, log, record)
}

func TestRefusedWithKey(t *testing.T) {
	t.Parallel()
	opts := secretOptions(vfs.NewMem(1))
	opts.SegmentBytes = 1 << 20
	log := openSecret(t, secretFolder, opts)
	defer closeSecret(t, log)
	appendSecret(t, log, secretRecord("k", 1))
	_, stored := storedBatch(t, log, 0)
	good := secretBatch(secretRecord("k", 2))
	damaged := slices.Clone(good)
	damaged[len(damaged)-1] ^= 1
	badBody := []byte("\x0a\x02\x10\x01") // the value is a number
	malformed := batch.Append(nil, &batch.Header{RecordCount: 1, Body: batch.BodyRecords, BodyCRC: batch.Checksum(badBody)}, badBody)
	end := log.End()
	for name, test := range map[string]struct {
		b    []byte
		want error
	}{
		"encrypted already":   {stored, nil},
		"damaged":             {damaged, batch.ErrCorrupt},
		"not a record":        {malformed, batch.ErrCorrupt},
		"cut short":           {good[:len(good)-1], batch.ErrShort},
		"followed by another": {append(slices.Clone(good), good...), batch.ErrCorrupt},
	} {
		_, err := log.Append(1, 1, secretBatch(secretRecord("k", 3)), test.b)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", name, err, test.want)
		}
		if log.End() != end {
			t.Fatalf("%s: the log ends at %v, want %v", name, log.End(), end)
		}
	}
	appendSecret(t, log, secretRecord("k", 4))
	checkSecret(t, log, secretRecord("k", 1), secretRecord("k", 4))
}

// TestTooLargeWithKey: a batch that is as large as batches may be is larger with its value encrypted.
func TestTooLargeWithKey(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a gigabyte")
	}
	value := make([]byte, batch.MaxSize-batch.HeaderSize-16)
	body := batch.AppendRecord(make([]byte, 0, len(value)+16), &batch.Record{Value: value})
	sent := batch.Append(nil, &batch.Header{RecordCount: 1, Body: batch.BodyRecords, BodyCRC: batch.Checksum(body)}, body)
	log := openSecret(t, secretFolder, secretOptions(vfs.NewMem(1)))
	defer closeSecret(t, log)
	if _, err := log.Append(1, 1, sent); err == nil || !strings.Contains(err.Error(), "the largest is") {
		t.Errorf("got error %v", err)
	}
	if end := log.End(); end != commitlog.Origin {
		t.Errorf("the log ends at %v", end)
	}
}

// TestDecryptBesideAppends reads while segments are begun, filled and dropped.
func TestDecryptBesideAppends(t *testing.T) {
	t.Parallel()
	log := openSecret(t, secretFolder, secretOptions(vfs.NewMem(1)))
	defer closeSecret(t, log)
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for finished := false; !finished; {
				select {
				case <-done:
					finished = true
				default:
				}
				from := log.Start()
				got, err := readSecret(log, from)
				var gone *commitlog.RangeError
				if err != nil && !errors.As(err, &gone) {
					t.Errorf("reading: %v", err)
				}
				for i := range got {
					if want := secretRecord("k", int(from)+i); !bytes.Equal(got[i].Value, want.Value) {
						t.Errorf("offset %d has value %.20q, want %.20q", from+int64(i), got[i].Value, want.Value)
					}
				}
			}
		})
	}
	for i := range 300 {
		appendSecret(t, log, secretRecord("k", i))
		if i%20 == 19 {
			if _, err := log.Retain(commitlog.Retention{Messages: 30}, 1); err != nil {
				t.Error(err)
			}
		}
	}
	close(done)
	readers.Wait()
}

func BenchmarkAppendWithKey(b *testing.B) {
	for _, size := range []int{128, 1024} {
		for name, key := range map[string][]byte{"plain": nil, "encrypted": masterKey(1)} {
			b.Run(fmt.Sprintf("%s/100 values of %d", name, size), func(b *testing.B) {
				opts := secretOptions(vfs.OS())
				opts.Key, opts.SegmentBytes = key, 0
				log := openSecret(b, filepath.Join(b.TempDir(), "log0"), opts)
				defer closeSecret(b, log)
				records := make([]batch.Record, 100)
				for i := range records {
					records[i] = batch.Record{Key: []byte("key"), Value: make([]byte, size)}
				}
				sent := secretBatch(records...)
				b.SetBytes(int64(len(sent)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := log.Append(1, 1, sent); err != nil {
						b.Fatal(err)
					}
					if log.SizeBytes() > 64<<20 { // no more of the disk than that
						if _, err := log.Truncate(1); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

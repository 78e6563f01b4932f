package commitlog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// batchOf is a batch of those records.
func batchOf(records ...batch.Record) []byte {
	var b batch.Builder
	b.Reset([]byte("s"))
	for i := range records {
		b.Append(&records[i])
	}
	return slices.Clone(b.Finish(0))
}

// epochBatch is the control batch with which a leader begins.
func epochBatch(epoch uint64) []byte {
	return batch.AppendControl(nil, &batch.Control{Kind: batch.ControlEpoch, Epoch: epoch})
}

// numbered is n records whose values are the offsets that they will have.
func numbered(offset int64, n int) []batch.Record {
	records := make([]batch.Record, n)
	for i := range records {
		records[i].Value = fmt.Appendf(nil, "%08d", offset+int64(i))
	}
	return records
}

// keyed is a record with a key.
func keyed(key, value string) batch.Record {
	return batch.Record{Key: []byte(key), Value: []byte(value)}
}

// keysAndValues is "key=value" of each record, "key" of a tombstone, "-" of a control batch.
func keysAndValues(all []stored) []string {
	var list []string
	for _, s := range all {
		switch {
		case s.Control:
			list = append(list, "-")
		case s.Tombstone:
			list = append(list, s.Key)
		default:
			list = append(list, s.Key+"="+s.Value)
		}
	}
	return list
}

// wantNumbers fails the test unless all are records of fill with these offsets, without a hole.
func wantNumbers(t testing.TB, all []stored, from, to int64) {
	t.Helper()
	if int64(len(all)) != to-from {
		t.Fatalf("%d records are read, want those from %d up to %d", len(all), from, to)
	}
	for i, s := range all {
		if want := from + int64(i); s.Offset != want || s.Value != fmt.Sprintf("%08d", want) {
			t.Fatalf("record %d is %+v, want offset %d", i, s, want)
		}
	}
}

// zstdCodec is the codec that a broker injects.
type zstdCodec struct{}

func (zstdCodec) Encode(dst, src []byte) []byte {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return encoder.EncodeAll(src, dst)
}

func (zstdCodec) Decode(dst, src []byte, limit int) ([]byte, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(max(limit, 1))))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	return decoder.DecodeAll(src, dst)
}

// headersIn are the headers of a run of batches.
func headersIn(t testing.TB, run []byte) []batch.Header {
	t.Helper()
	var all []batch.Header
	for len(run) > 0 {
		h, err := batch.Parse(run)
		if err != nil {
			t.Fatal(err)
		}
		all, run = append(all, h), run[h.Size:]
	}
	return all
}

// tooLarge is the size that an error asks a buffer to have; 0 if it does not.
func tooLarge(err error) int {
	var large *commitlog.TooLargeError
	if !errors.As(err, &large) {
		return 0
	}
	return large.SizeBytes
}

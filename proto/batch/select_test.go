package batch_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/proto/batch"
)

// model is a batch as a slice: what Select and Cut must leave.
type model struct {
	header  batch.Header
	records []placed
}

func (m *model) selectRecords(keep map[int64]bool) {
	m.records = slices.DeleteFunc(slices.Clone(m.records), func(p placed) bool { return !keep[p.Offset] })
}

func (m *model) cut(from, to int64) {
	m.records = slices.DeleteFunc(slices.Clone(m.records), func(p placed) bool { return p.Offset < from || p.Offset >= to })
	if len(m.records) > 0 {
		first, last := m.records[0].Offset, m.records[len(m.records)-1].Offset
		m.header.BaseOffset, m.header.LastOffsetDelta = first, int32(last-first)
	}
}

// check compares b with the model, as this package and as generated code read it.
func (m *model) check(t *testing.T, b []byte) {
	t.Helper()
	h := parse(t, b)
	want := m.header
	want.RecordCount = uint32(len(m.records))
	want.HeaderCRC, want.BodyCRC, want.Size = h.HeaderCRC, h.BodyCRC, len(b)
	if diff := cmp.Diff(want, h); diff != "" {
		t.Fatalf("header (-want +got):\n%s", diff)
	}
	if diff := diffPlaced(m.records, read(t, b)); diff != "" {
		t.Fatalf("records (-want +got):\n%s", diff)
	}
	var deltas []uint32
	if dense := len(m.records) == int(h.LastOffsetDelta)+1; !dense {
		for _, p := range m.records {
			deltas = append(deltas, uint32(p.Offset-h.BaseOffset))
		}
	}
	generated := decode(t, b)[0].GetRecords()
	if !slices.Equal(generated.OffsetDeltas, deltas) || len(generated.Records) != len(m.records) {
		t.Fatalf("generated code reads %d records with deltas %v, want %d with %v",
			len(generated.Records), generated.OffsetDeltas, len(m.records), deltas)
	}
}

// randomBatch is a batch of up to 400 records, more than a delta of one byte can number, and its model.
func (s source) randomBatch(t *testing.T) ([]byte, model) {
	t.Helper()
	records := make([]batch.Record, 1+s.IntN(1+s.IntN(400)))
	for i := range records {
		records[i] = batch.Record{Key: s.optional(3), Value: s.optional(20), Subject: s.optional(2), SchemaID: uint32(i)}
	}
	var body []byte
	if s.chance() {
		body = append(body, "\x1a\x01s\x22\x02re"...)
	}
	body = append(body, encodeRecords(records...)...)
	h := batch.Header{
		Attributes: batch.Captured, RecordCount: uint32(len(records)), LastOffsetDelta: int32(len(records)) - 1,
		ProducerID: s.Uint64(), ProducerEpoch: s.Uint32(), ProducerSequence: s.Uint32(),
		Body: batch.BodyRecords, BodyCRC: batch.Checksum(body),
	}
	b := batch.Append(nil, &h, body)
	stamp := s.stamp()
	stamp.Put(b)
	return b, model{parse(t, b), read(t, b)}
}

// TestSelectAndCutAgainstModel applies one after the other, also to what came out before.
func TestSelectAndCutAgainstModel(t *testing.T) {
	t.Parallel()
	const prefix = "what stands before"
	holes, whole := 0, 0
	for seed := range 300 {
		s := newSource(seed)
		b, m := s.randomBatch(t)
		m.check(t, b)
		for range 6 {
			h := parse(t, b)
			before := slices.Clone(b)
			var out []byte
			var err error
			if s.chance() {
				keep := map[int64]bool{}
				for _, p := range m.records {
					keep[p.Offset] = s.IntN(8) > 0
				}
				m.selectRecords(keep)
				out, err = batch.Select([]byte(prefix), &h, b, func(offset int64, _ []byte) bool { return keep[offset] })
			} else {
				length := h.NextOffset() - h.BaseOffset
				from := h.BaseOffset - 2 + s.Int64N(length/4+4)
				to := h.NextOffset() + 2 - s.Int64N(length/4+4)
				m.cut(from, to)
				out, err = batch.Cut([]byte(prefix), &h, b, from, to)
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !bytes.Equal(b, before) {
				t.Fatalf("seed %d: the source changed", seed)
			}
			if !bytes.HasPrefix(out, []byte(prefix)) {
				t.Fatalf("seed %d: what stood in dst before changed", seed)
			}
			out = out[len(prefix):]
			if len(m.records) == 0 {
				if len(out) != 0 {
					t.Fatalf("seed %d: nothing is kept, %d bytes appended", seed, len(out))
				}
				break
			}
			m.check(t, out)
			if b = out; len(m.records) == int(m.header.LastOffsetDelta)+1 {
				whole++
			} else {
				holes++
			}
		}
	}
	if holes < 100 || whole < 100 {
		t.Errorf("%d batches with holes and %d without were made; want 100 of each at least", holes, whole)
	}
}

// TestSelectAllIsACopy: a selection that leaves nothing out is the batch, byte for byte.
func TestSelectAllIsACopy(t *testing.T) {
	t.Parallel()
	for seed := range 50 {
		b, m := newSource(seed).randomBatch(t)
		h := parse(t, b)
		selected, err := batch.Select(nil, &h, b, func(int64, []byte) bool { return true })
		if err != nil || !bytes.Equal(selected, b) {
			t.Fatalf("seed %d: Select of all records: %v, the same bytes: %t", seed, err, bytes.Equal(selected, b))
		}
		cut, err := batch.Cut(nil, &h, b, 0, h.NextOffset())
		if err != nil || !bytes.Equal(cut, b) {
			t.Fatalf("seed %d: Cut around all records: %v, the same bytes: %t", seed, err, bytes.Equal(cut, b))
		}
		none, err := batch.Cut([]byte("x"), &h, b, m.header.NextOffset(), m.header.NextOffset()+9)
		if err != nil || string(none) != "x" {
			t.Fatalf("seed %d: Cut behind the batch: %v, %d bytes", seed, err, len(none)-1)
		}
	}
}

// TestSelectShowsTheRecord: keep is given the encoded record and its own offset.
func TestSelectShowsTheRecord(t *testing.T) {
	t.Parallel()
	b := build(nil, batch.Record{Key: []byte("a")}, batch.Record{Key: []byte("b")}, batch.Record{Key: []byte("a")})
	stamp := batch.Stamp{Seq: 1, BaseOffset: 100}
	stamp.Put(b)
	h := parse(t, b)
	var offsets []int64
	selected, err := batch.Select(nil, &h, b, func(offset int64, record []byte) bool {
		offsets = append(offsets, offset)
		var r batch.Record
		if err := r.Parse(record); err != nil {
			t.Errorf("offset %d: %v", offset, err)
		}
		return string(r.Key) == "a"
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{100, 101, 102}, offsets); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
	want := []placed{{100, batch.Record{Key: []byte("a")}}, {102, batch.Record{Key: []byte("a")}}}
	if diff := cmp.Diff(want, read(t, selected)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestControlBatchesAreNotCut: they have no record that could be left out.
func TestControlBatchesAreNotCut(t *testing.T) {
	t.Parallel()
	b := sampleBatches()["control"]
	h := parse(t, b)
	followed := append(bytes.Clone(b), "what follows"...)
	selected, err := batch.Select(nil, &h, followed, func(int64, []byte) bool { return false })
	if err != nil || !bytes.Equal(selected, b) {
		t.Errorf("Select: %v, the same bytes: %t", err, bytes.Equal(selected, b))
	}
	cut, err := batch.Cut(nil, &h, followed, h.BaseOffset, h.BaseOffset+1)
	if err != nil || !bytes.Equal(cut, b) {
		t.Errorf("Cut: %v, the same bytes: %t", err, bytes.Equal(cut, b))
	}
}

// TestSelectRefused: an error leaves dst as it was.
func TestSelectRefused(t *testing.T) {
	t.Parallel()
	three := make([]batch.Record, 3)
	damaged := append([]byte("\x12\x03\x00\x05\x05"), encodeRecords(three...)...)
	for name, b := range map[string][]byte{
		"packed":                    sampleBatches()["packed"],
		"deltas do not grow":        withBody(3, 5, damaged),
		"count is another":          withBody(4, 3, encodeRecords(three...)),
		"body that is not protobuf": withBody(1, 0, []byte("\xff")),
	} {
		h := parse(t, b)
		selected, err := batch.Select([]byte("x"), &h, b, func(int64, []byte) bool { return true })
		if !errors.Is(err, batch.ErrCorrupt) || string(selected) != "x" {
			t.Errorf("%s: Select: got error %v and %d bytes, want ErrCorrupt and none", name, err, len(selected)-1)
		}
		cut, err := batch.Cut([]byte("x"), &h, b, 0, 1<<62)
		if !errors.Is(err, batch.ErrCorrupt) || string(cut) != "x" {
			t.Errorf("%s: Cut: got error %v and %d bytes, want ErrCorrupt and none", name, err, len(cut)-1)
		}
	}
}

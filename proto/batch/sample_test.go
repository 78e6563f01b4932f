package batch_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// source makes random values, the same ones for the same seed.
type source struct {
	*rand.Rand
}

func newSource(seed int) source {
	return source{rand.New(rand.NewPCG(uint64(seed), 0))}
}

func (s source) chance() bool { return s.IntN(2) == 0 }

func (s source) bytes(limit int) []byte {
	b := make([]byte, s.IntN(limit+1))
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return b
}

// optional is bytes, none, or nil.
func (s source) optional(limit int) []byte {
	if s.chance() {
		return nil
	}
	return s.bytes(limit)
}

func (s source) record() batch.Record {
	r := batch.Record{
		Key:       s.optional(9),
		Value:     s.optional(300),
		Subject:   s.optional(9),
		Reply:     s.optional(9),
		Tombstone: s.chance(),
		SchemaID:  s.Uint32() >> s.IntN(32),
	}
	for range s.IntN(4) {
		r.Headers = append(r.Headers, batch.HeaderField{Name: s.bytes(5), Value: s.bytes(9)})
	}
	return r
}

func (s source) records(n int) []batch.Record {
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = s.record()
	}
	return records
}

// stamp is every field of a Stamp, none of them zero.
func (s source) stamp() batch.Stamp {
	return batch.Stamp{
		Seq:          1 + s.Uint64()>>1,
		BaseOffset:   1 + s.Int64N(1<<40),
		LeaderEpoch:  1 + s.Uint64()>>1,
		Time:         1 + s.Int64(),
		PreviousCRC:  1 | s.Uint32(),
		PartitionTag: 1 | s.Uint32(),
	}
}

// build is a batch of the records, not stamped.
func build(subject []byte, records ...batch.Record) []byte {
	var b batch.Builder
	b.Reset(subject)
	for i := range records {
		b.Append(&records[i])
	}
	return slices.Clone(b.Finish(0))
}

// encodeRecords is the body of a batch.
func encodeRecords(records ...batch.Record) []byte {
	var b []byte
	for i := range records {
		b = batch.AppendRecord(b, &records[i])
	}
	return b
}

// withBody is a batch whose body is none that Builder would write.
func withBody(count int, lastOffsetDelta int32, body []byte) []byte {
	return batch.Append(nil, &batch.Header{
		RecordCount:     uint32(count),
		LastOffsetDelta: lastOffsetDelta,
		Body:            batch.BodyRecords,
		BodyCRC:         batch.Checksum(body),
	}, body)
}

// reseal makes both CRCs of b, the size of a batch, right, if b is long enough to have them.
func reseal(b []byte) {
	const magic, headerCRC, bodyCRC, shortest = 6, 11, 16, 106
	if len(b) < shortest || int(b[magic+2]) < shortest || int(b[magic+2]) > len(b) {
		return
	}
	header := b[:b[magic+2]]
	binary.LittleEndian.PutUint32(b[bodyCRC:], batch.Checksum(b[len(header):]))
	crc := batch.UpdateChecksum(batch.Checksum(header[:headerCRC-1]), header[headerCRC+4:])
	binary.LittleEndian.PutUint32(b[headerCRC:], crc)
}

func parse(t testing.TB, b []byte) batch.Header {
	t.Helper()
	h, err := batch.Parse(b)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return h
}

// placed is a record and its offset.
type placed struct {
	Offset int64
	Record batch.Record
}

// read is all records of the batch b.
func read(t testing.TB, b []byte) []placed {
	t.Helper()
	h := parse(t, b)
	records, err := h.RecordsOf(b)
	if err != nil {
		t.Fatalf("RecordsOf: %v", err)
	}
	all, err := readAll(&records)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	for i := range all {
		all[i].Offset += h.BaseOffset
	}
	return all
}

func readAll(records *batch.Records) ([]placed, error) {
	var all []placed
	for {
		var rec batch.Record
		delta, ok, err := records.Next(&rec)
		if err != nil || !ok {
			return all, err
		}
		all = append(all, placed{int64(delta), rec})
	}
}

// diffPlaced compares records by what they mean: presence of key and value counts, that of the rest does not. It is quick
// where they are the same.
func diffPlaced(want, got []placed) string {
	if slices.EqualFunc(want, got, samePlaced) {
		return ""
	}
	return cmp.Diff(want, got)
}

func samePlaced(a, b placed) bool {
	optional := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
	header := func(a, b batch.HeaderField) bool { return bytes.Equal(a.Name, b.Name) && bytes.Equal(a.Value, b.Value) }
	r, s := &a.Record, &b.Record
	return a.Offset == b.Offset && r.Tombstone == s.Tombstone && r.SchemaID == s.SchemaID &&
		optional(r.Key, s.Key) && optional(r.Value, s.Value) &&
		bytes.Equal(r.Subject, s.Subject) && bytes.Equal(r.Reply, s.Reply) && slices.EqualFunc(r.Headers, s.Headers, header)
}

// decode is b, a run of batches, as generated code sees it.
func decode(t testing.TB, b []byte) []*trestlev1.Batch {
	t.Helper()
	var all trestlev1.Batches
	if err := proto.Unmarshal(b, &all); err != nil {
		t.Fatalf("generated code refuses it: %v", err)
	}
	return all.Batches
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// generated is r as a message of generated code. An empty subject or reply is one that is absent.
func generated(r *batch.Record) *trestlev1.Record {
	g := &trestlev1.Record{
		Key:       r.Key,
		Value:     r.Value,
		Subject:   r.Subject,
		Reply:     r.Reply,
		Tombstone: r.Tombstone,
		SchemaId:  r.SchemaID,
	}
	for _, h := range r.Headers {
		g.Headers = append(g.Headers, &trestlev1.Header{Name: h.Name, Value: h.Value})
	}
	return g
}

// mutated is b with the byte at i changed.
func mutated(b []byte, i int, flip byte) []byte {
	m := bytes.Clone(b)
	m[i] ^= flip
	return m
}

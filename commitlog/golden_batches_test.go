package commitlog_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

var goldenPartition = [16]byte{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x41, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

const goldenSubject = "orders.eu"

// goldenBatch is a batch of a golden log: its bytes as they are appended, and what is in them.
type goldenBatch struct {
	name       string
	epoch      uint64
	bytes      []byte
	attributes batch.Attributes
	producer   producer
	records    []batch.Record // with the defaults of the batch filled in
	deltas     []int64        // of the offsets of the records; nil: 0, 1, 2 …
	control    *batch.Control
}

type producer struct {
	ID              uint64
	Epoch, Sequence uint32
}

// everyKind is a batch of every kind there is.
func everyKind(t *testing.T) []goldenBatch {
	t.Helper()
	return []goldenBatch{
		control("a leadership begins", batch.Control{Kind: batch.ControlEpoch, Epoch: 7}),
		gathered("key, value and headers", 0, batch.Record{
			Key: []byte("order-1"), Value: []byte(`{"total": 12.5}`), Subject: []byte(goldenSubject),
			Headers: []batch.HeaderField{field("Content-Type", "application/json"), field("Trace", "0af7651916cd43dd")},
		}),
		gathered("absent is not empty", 0, presence()...),
		gathered("tombstones and schemas", 0,
			batch.Record{Key: []byte("order-1"), Subject: []byte(goldenSubject), Tombstone: true},
			batch.Record{Value: []byte{0, 1, 2}, Subject: []byte(goldenSubject), SchemaID: 300},
			batch.Record{Value: everyByte(), Subject: []byte(goldenSubject), SchemaID: math.MaxUint32}),
		gathered("headers repeat, in order, and need not be text", 0, batch.Record{
			Value: []byte("v"), Subject: []byte(goldenSubject), Headers: []batch.HeaderField{
				field("b", "1"), field("a", "2"), field("b", "3"), field("", "no name"), field("empty", ""), field("\xff\xfe", "\x80"),
			},
		}),
		gathered("own subjects", 0, subjects()...),
		gathered("captured, with replies and message ids", batch.Captured, captured()...),
		gathered("captured before a failover", batch.Captured|batch.Recovered,
			batch.Record{Value: []byte("heard twice, stored once"), Subject: []byte("orders.us")}),
		gathered("encrypted", batch.Encrypted, batch.Record{Value: []byte{0xc3, 0x28, 0xa0}, Subject: []byte(goldenSubject)}),
		fromProducer(),
		control("a gap that was counted", gap(batch.GapNATSDropped, 17, true)),
		control("a gap of at least nothing", gap(batch.GapHeardElsewhere, 0, true)),
		control("a gap that nobody counted", gap(batch.GapNATSDisconnected, 0, false)),
		withHoles(t),
		gathered("a thousand records", 0, thousand()...),
		packed(t),
	}
}

// afterFailover is what a second leader appends.
func afterFailover() []goldenBatch {
	batches := []goldenBatch{
		control("another leadership begins", batch.Control{Kind: batch.ControlEpoch, Epoch: math.MaxUint64}),
		control("records may be lost", batch.Control{
			Kind: batch.ControlUnclean, Unclean: batch.Unclean{LeaderEpoch: math.MaxUint64, LostFromOffset: 1029},
		}),
		gathered("text of several scripts", batch.Captured,
			batch.Record{Key: []byte("ключ"), Value: []byte("Grüße 注文 🚆"), Subject: []byte("orders.日本")},
			batch.Record{Value: []byte{}, Subject: []byte(goldenSubject)}),
		gathered("last", 0, batch.Record{Value: bytes.Repeat([]byte("long "), 60), Subject: []byte(goldenSubject)}),
	}
	for i := range batches {
		batches[i].epoch = math.MaxUint64
	}
	return batches
}

func presence() []batch.Record {
	subject := []byte(goldenSubject)
	return []batch.Record{
		{Subject: subject},
		{Subject: subject, Key: []byte{}},
		{Subject: subject, Value: []byte{}},
		{Subject: subject, Key: []byte{}, Value: []byte{}},
		{Subject: subject, Key: []byte("k"), Value: []byte{}},
		{Subject: subject, Key: []byte{}, Value: []byte("v")},
	}
}

func subjects() []batch.Record {
	return []batch.Record{
		{Subject: []byte(goldenSubject), Value: []byte("that of the batch")},
		{Subject: []byte("orders.us"), Value: []byte("its own")},
		{Subject: []byte("orders.\xff\xfe.\x80"), Value: []byte("not UTF-8")},
	}
}

func captured() []batch.Record {
	return []batch.Record{
		{
			Subject: []byte(goldenSubject), Reply: []byte("_INBOX.a1.b2"), Value: []byte("request"),
			Headers: []batch.HeaderField{field(batch.MessageIDHeader, "id-1")},
		},
		{
			Subject: []byte(goldenSubject), Reply: []byte("_INBOX.\xfe"), Value: []byte("another"),
			Headers: []batch.HeaderField{field(batch.MessageIDHeader, "id-2"), field(batch.MessageIDHeader, "ignored")},
		},
	}
}

func thousand() []batch.Record {
	records := make([]batch.Record, 1000)
	for i := range records {
		records[i] = batch.Record{Subject: []byte(goldenSubject), Value: fmt.Appendf(nil, "%03d", i)}
	}
	return records
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func field(name, value string) batch.HeaderField {
	return batch.HeaderField{Name: []byte(name), Value: []byte(value)}
}

func gap(cause batch.GapCause, atLeast uint64, counted bool) batch.Control {
	return batch.Control{Kind: batch.ControlGap, Gap: batch.Gap{
		Cause: cause, FromTime: goldenStart - 5_000_000_000, ToTime: goldenStart - 1, AtLeast: atLeast, Counted: counted,
	}}
}

func control(name string, c batch.Control) goldenBatch {
	return goldenBatch{name: name, epoch: 7, attributes: batch.IsControl, bytes: batch.AppendControl(nil, &c), control: &c}
}

// gathered is a batch as a broker makes it of single records.
func gathered(name string, attributes batch.Attributes, records ...batch.Record) goldenBatch {
	var builder batch.Builder
	builder.Reset([]byte(goldenSubject))
	for i := range records {
		builder.Append(&records[i])
		if records[i].MessageID() != nil {
			attributes |= batch.HasMessageIDs
		}
	}
	return goldenBatch{name: name, epoch: 7, attributes: attributes, bytes: builder.Finish(attributes), records: records}
}

// fromProducer is a batch whose body a client encoded, defaults behind the records, and numbered.
func fromProducer() goldenBatch {
	var body []byte
	for _, value := range []string{"first", "second"} {
		body = batch.AppendRecord(body, &batch.Record{Value: []byte(value)})
	}
	body = protowire.AppendBytes(protowire.AppendTag(body, 3, protowire.BytesType), []byte("orders.client"))
	body = protowire.AppendBytes(protowire.AppendTag(body, 4, protowire.BytesType), []byte("answers"))
	p := producer{ID: 1<<63 + 5, Epoch: 3, Sequence: math.MaxUint32}
	header := batch.Header{
		RecordCount: 2, LastOffsetDelta: 1, Body: batch.BodyRecords, BodyCRC: batch.Checksum(body),
		ProducerID: p.ID, ProducerEpoch: p.Epoch, ProducerSequence: p.Sequence,
	}
	subject, reply := []byte("orders.client"), []byte("answers")
	return goldenBatch{
		name: "from a producer", epoch: 7, bytes: batch.Append(nil, &header, body), producer: p,
		records: []batch.Record{
			{Value: []byte("first"), Subject: subject, Reply: reply},
			{Value: []byte("second"), Subject: subject, Reply: reply},
		},
	}
}

// withHoles is a batch as compaction leaves it: first and last record are gone, and others between.
func withHoles(t *testing.T) goldenBatch {
	t.Helper()
	whole := gathered("with holes", 0, thousand()[:400]...)
	header, err := batch.Parse(whole.bytes)
	if err != nil {
		t.Fatal(err)
	}
	kept := whole
	kept.records, kept.deltas = nil, []int64{1, 2, 130, 398}
	for _, delta := range kept.deltas {
		kept.records = append(kept.records, whole.records[delta])
	}
	next := 0
	kept.bytes, err = batch.Select(nil, &header, whole.bytes, func(offset int64, _ []byte) bool {
		keep := next < len(kept.deltas) && offset == kept.deltas[next]
		if keep {
			next++
		}
		return keep
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// packedFile holds the body of the packed batch. It is committed because another version of the compressor may find
// other bytes for the same records.
var packedFile = filepath.Join(goldenFolder, "packed-records.zst")

// packed is a batch whose body is compressed.
func packed(t *testing.T) goldenBatch {
	t.Helper()
	b, header := toPack(t)
	body := readFile(t, packedFile)
	if !bytes.Equal(unpack(t, body), header.BodyOf(b.bytes)) {
		t.Fatalf("%s does not hold the records that the test knows", packedFile)
	}
	header.Attributes, header.Body, header.BodyCRC = batch.Zstd, batch.BodyPacked, batch.Checksum(body)
	b.attributes, b.bytes = batch.Zstd, batch.Append(nil, &header, body)
	return b
}

// toPack is that batch before compression.
func toPack(t *testing.T) (goldenBatch, batch.Header) {
	t.Helper()
	plain := gathered("packed", 0, thousand()[:200]...)
	header, err := batch.Parse(plain.bytes)
	if err != nil {
		t.Fatal(err)
	}
	return plain, header
}

func savePacked(t *testing.T) {
	t.Helper()
	plain, header := toPack(t)
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packedFile, encoder.EncodeAll(header.BodyOf(plain.bytes), nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, body []byte) []byte {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	plain, err := decoder.DecodeAll(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// offsets is how many offsets the batch takes.
func (b *goldenBatch) offsets() int64 {
	if b.deltas != nil {
		return 400
	}
	return int64(len(b.records))
}

// want is what a reader finds in the batch when it was appended at that place and time.
func (b *goldenBatch) want(at commitlog.Position, appended int64) []value {
	one := value{
		Seq: at.Seq, Offset: at.Offset, Time: appended, Epoch: b.epoch, Attributes: b.attributes,
		Producer: b.producer, Control: b.control,
	}
	if b.control != nil {
		return []value{one}
	}
	values := make([]value, 0, len(b.records))
	for i := range b.records {
		one.Offset, one.Record = at.Offset+int64(i), &b.records[i]
		if b.deltas != nil {
			one.Offset = at.Offset + b.deltas[i]
		}
		values = append(values, one)
	}
	return values
}

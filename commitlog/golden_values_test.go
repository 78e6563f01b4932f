package commitlog_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// value is a record or a control batch as a reader finds it: one of Record and Control is set.
type value struct {
	Seq        uint64
	Offset     int64
	Time       int64 // unix nanoseconds
	Epoch      uint64
	Attributes batch.Attributes
	Producer   producer
	Record     *batch.Record // no headers: nil, never empty
	Control    *batch.Control
}

// valuesOfLog reads the log from its start to its end.
func valuesOfLog(t *testing.T, log *commitlog.Log, from commitlog.Position) []value {
	t.Helper()
	if log.Start() != from.Offset {
		t.Errorf("the log starts at offset %d, want %d", log.Start(), from.Offset)
	}
	var values []value
	reader := log.ReadFromPosition(from)
	for buf := make([]byte, 64<<10); ; {
		run, err := reader.Read(buf, log.End())
		if err != nil {
			t.Fatal(err)
		}
		if len(run.Bytes) == 0 {
			return values
		}
		for b := run.Bytes; len(b) > 0; {
			h, err := batch.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, valuesOfBatch(t, &h, h.BodyOf(b))...)
			b = b[h.Size:]
		}
	}
}

func valuesOfBatch(t *testing.T, h *batch.Header, body []byte) []value {
	t.Helper()
	one := value{
		Seq: h.Seq, Offset: h.BaseOffset, Time: h.Time, Epoch: h.LeaderEpoch, Attributes: h.Attributes,
		Producer: producer{ID: h.ProducerID, Epoch: h.ProducerEpoch, Sequence: h.ProducerSequence},
	}
	if h.Control() {
		control, err := batch.ParseControl(body)
		if err != nil {
			t.Fatal(err)
		}
		one.Control = &control
		return []value{one}
	}
	if h.Codec() == batch.Zstd {
		body = unpack(t, body)
	}
	records, err := batch.ParseRecords(body)
	if err != nil {
		t.Fatal(err)
	}
	var values []value
	for {
		var record batch.Record
		delta, ok, err := records.Next(&record)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return values
		}
		one.Offset, one.Record = h.BaseOffset+int64(delta), ownBytes(&record)
		values = append(values, one)
	}
}

// ownBytes is the record with bytes of its own: those of a batch are overwritten by the next read.
func ownBytes(r *batch.Record) *batch.Record {
	own := *r
	own.Key, own.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	own.Subject, own.Reply = bytes.Clone(r.Subject), bytes.Clone(r.Reply)
	own.Headers = nil
	for _, h := range r.Headers {
		own.Headers = append(own.Headers, field(string(h.Name), string(h.Value)))
	}
	return &own
}

// valuesOfMessage is what generated code finds.
func valuesOfMessage(t *testing.T, message *trestlev1.Batches) []value {
	t.Helper()
	var values []value
	for _, b := range message.GetBatches() {
		one := value{
			Seq: b.GetSeq(), Offset: b.GetBaseOffset(), Time: b.GetTime(), Epoch: b.GetLeaderEpoch(),
			Attributes: batch.Attributes(b.GetAttributes()),
			Producer:   producer{ID: b.GetProducerId(), Epoch: b.GetProducerEpoch(), Sequence: b.GetProducerSequence()},
		}
		records := b.GetRecords()
		switch body := b.GetBody().(type) {
		case *trestlev1.Batch_Control:
			one.Control = controlOf(body.Control)
			values = append(values, one)
			continue
		case *trestlev1.Batch_Packed:
			records = new(trestlev1.Records)
			if err := proto.Unmarshal(unpack(t, body.Packed), records); err != nil {
				t.Fatal(err)
			}
		}
		for i, r := range records.GetRecords() {
			one.Offset = b.GetBaseOffset() + int64(i)
			if deltas := records.GetOffsetDeltas(); deltas != nil {
				one.Offset = b.GetBaseOffset() + int64(deltas[i])
			}
			one.Record = recordOf(r, records)
			values = append(values, one)
		}
	}
	return values
}

func recordOf(r *trestlev1.Record, in *trestlev1.Records) *batch.Record {
	record := batch.Record{
		Key: r.Key, Value: r.Value, Subject: r.GetSubject(), Reply: r.GetReply(),
		Tombstone: r.GetTombstone(), SchemaID: r.GetSchemaId(),
	}
	if len(record.Subject) == 0 {
		record.Subject = in.GetSubject()
	}
	if len(record.Reply) == 0 {
		record.Reply = in.GetReply()
	}
	for _, h := range r.GetHeaders() {
		record.Headers = append(record.Headers, field(string(h.GetName()), string(h.GetValue())))
	}
	return &record
}

func controlOf(c *trestlev1.Control) *batch.Control {
	switch kind := c.GetKind().(type) {
	case *trestlev1.Control_Epoch:
		return &batch.Control{Kind: batch.ControlEpoch, Epoch: kind.Epoch.GetLeaderEpoch()}
	case *trestlev1.Control_Gap:
		return &batch.Control{Kind: batch.ControlGap, Gap: batch.Gap{
			Cause: batch.GapCause(kind.Gap.GetCause()), FromTime: kind.Gap.GetFromTime(), ToTime: kind.Gap.GetToTime(),
			AtLeast: kind.Gap.GetAtLeast(), Counted: kind.Gap.AtLeast != nil,
		}}
	case *trestlev1.Control_Unclean:
		return &batch.Control{Kind: batch.ControlUnclean, Unclean: batch.Unclean{
			LeaderEpoch: kind.Unclean.GetLeaderEpoch(), LostFromOffset: kind.Unclean.GetLostFromOffset(),
		}}
	}
	return &batch.Control{}
}

func decodeSegment(t *testing.T, segment []byte) *trestlev1.Batches {
	t.Helper()
	message := new(trestlev1.Batches)
	if err := proto.Unmarshal(segment, message); err != nil {
		t.Fatal(err)
	}
	return message
}

// soundPart is the file up to the first element that is zero or not whole.
func soundPart(file []byte) []byte {
	at := 0
	for at < len(file) {
		size, ok := wholeElement(file[at:])
		if !ok {
			break
		}
		at += size
	}
	return file[:at]
}

// wholeElement says how large the element at the start of b is, and whether it is sound.
func wholeElement(b []byte) (int, bool) {
	n, ok := batch.PaddedLength(b[1:])
	size := 5 + n
	if !ok || size > len(b) {
		return 0, false
	}
	if b[0] == batch.Tag {
		_, err := batch.Parse(b)
		return size, err == nil
	}
	return size, b[0] != 0
}

func elementSize(t *testing.T, b []byte) int {
	t.Helper()
	size, ok := wholeElement(b)
	if !ok {
		t.Fatal("no element begins here")
	}
	return size
}

// textName is the name of what protoc made of a golden segment.
func textName(segment string) string {
	return strings.TrimSuffix(segment, filepath.Ext(segment)) + ".txt"
}

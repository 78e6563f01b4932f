package batch_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func addSamples(f *testing.F) {
	f.Helper()
	for _, b := range sampleBatches() {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	for _, c := range controls() {
		f.Add(batch.AppendControl(nil, &c))
	}
	b := build([]byte("s"), newSource(7).records(5)...)
	h := parse(f, b)
	for _, keep := range []int64{0, 2, 4} {
		selected, err := batch.Select(nil, &h, b, func(offset int64, _ []byte) bool { return offset >= keep })
		if err != nil {
			f.Fatal(err)
		}
		f.Add(selected)
	}
}

// FuzzParseHeader reads headers as they are and with their CRC made right, which lets more of them through.
func FuzzParseHeader(f *testing.F) {
	addSamples(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		checkHeader(t, b)
		b = bytes.Clone(b)
		reseal(b)
		checkHeader(t, b)
	})
}

func checkHeader(t *testing.T, b []byte) {
	t.Helper()
	h, err := batch.ParseHeader(b)
	if err != nil {
		if !errors.Is(err, batch.ErrCorrupt) && !errors.Is(err, batch.ErrShort) && !errors.Is(err, batch.ErrVersion) {
			t.Fatalf("error of no kind: %v", err)
		}
		return
	}
	size, err := batch.Size(b)
	if err != nil || size != h.Size {
		t.Fatalf("Size = %d, %v; header says %d", size, err, h.Size)
	}
	if h.HeaderSize < batch.HeaderSize || h.HeaderSize > h.Size || h.HeaderSize > len(b) {
		t.Fatalf("header of %d bytes in a batch of %d, of which there are %d", h.HeaderSize, h.Size, len(b))
	}
	if h.Control() != (h.LastOffsetDelta == -1) || h.Control() != (h.RecordCount == 0) {
		t.Fatalf("control %t, %d records, last offset delta %d", h.Control(), h.RecordCount, h.LastOffsetDelta)
	}
	if !h.Control() && h.NextOffset() <= h.BaseOffset {
		t.Fatalf("base offset %d, next offset %d", h.BaseOffset, h.NextOffset())
	}
	stamped := bytes.Clone(b)
	stamp := batch.Stamp{
		Seq: h.Seq, BaseOffset: h.BaseOffset, LeaderEpoch: h.LeaderEpoch, Time: h.Time,
		PreviousCRC: h.PreviousCRC, PartitionTag: h.PartitionTag,
	}
	if crc := stamp.Put(stamped); crc != h.HeaderCRC || !bytes.Equal(stamped, b) {
		t.Fatalf("stamped with its own values: crc %08x, was %08x", crc, h.HeaderCRC)
	}
}

// FuzzParse reads whole batches, as they are and with their CRCs made right: what is read is what generated code reads,
// and encodes to the same bytes again.
func FuzzParse(f *testing.F) {
	addSamples(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		checkBatch(t, b)
		if size, err := batch.Size(b); err == nil && size < len(b) {
			b = b[:size]
		}
		b = bytes.Clone(b)
		reseal(b)
		checkBatch(t, b)
	})
}

func checkBatch(t *testing.T, b []byte) {
	t.Helper()
	h, err := batch.Parse(b)
	if err != nil {
		return
	}
	b = b[:h.Size]
	if h.HeaderSize == batch.HeaderSize {
		if again := batch.Append(nil, &h, h.BodyOf(b)); !bytes.Equal(again, b) {
			t.Fatalf("encoded again:\n%x\nwas\n%x", again, b)
		}
	}
	switch h.Body {
	case batch.BodyRecords:
		checkRecords(t, &h, b)
	case batch.BodyControl:
		checkControl(t, h.BodyOf(b))
	case batch.BodyPacked:
	default:
		t.Fatalf("body field %d", h.Body)
	}
}

func checkRecords(t *testing.T, h *batch.Header, b []byte) {
	t.Helper()
	records, err := h.RecordsOf(b)
	if err != nil {
		return
	}
	all, err := readAll(&records)
	if err != nil {
		return
	}
	if len(all) != int(h.RecordCount) {
		t.Fatalf("%d records read, header says %d", len(all), h.RecordCount)
	}
	next := h.BaseOffset
	for i, p := range all {
		if p.Offset += h.BaseOffset; p.Offset < next || p.Offset >= h.NextOffset() {
			t.Fatalf("record %d has offset %d, want one from %d to before %d", i, p.Offset, next, h.NextOffset())
		}
		next = p.Offset + 1
		encoded := batch.AppendRecord(nil, &p.Record)
		if len(encoded) != p.Record.Size() {
			t.Fatalf("record %d: Size() = %d, encoded %d bytes", i, p.Record.Size(), len(encoded))
		}
	}
	half := len(all) / 2
	selected, err := batch.Select(nil, h, b, func(offset int64, _ []byte) bool { return offset >= all[half].Offset+h.BaseOffset })
	if err != nil {
		t.Fatalf("Select: %v", err)
	}
	cut, err := batch.Cut(nil, h, b, all[half].Offset+h.BaseOffset, h.NextOffset())
	if err != nil {
		t.Fatalf("Cut: %v", err)
	}
	want := slices.Clone(all[half:])
	for i := range want {
		want[i].Offset += h.BaseOffset
	}
	for name, part := range map[string][]byte{"Select": selected, "Cut": cut} {
		if diff := diffPlaced(want, read(t, part)); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", name, diff)
		}
	}
	if h.HeaderSize > batch.HeaderSize {
		return
	}
	if got := decode(t, b)[0]; got.Seq != h.Seq || len(got.GetRecords().GetRecords()) != len(all) {
		t.Fatalf("generated code reads %v", got)
	}
}

// checkControl holds ParseControl against generated code, which merges a kind that comes in pieces: the last one stands
// here.
func checkControl(t *testing.T, body []byte) {
	t.Helper()
	got, err := batch.ParseControl(body)
	if err != nil {
		return
	}
	var last []byte
	for rest := body; len(rest) > 0; {
		num, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			t.Fatalf("ParseControl takes what is not protobuf: %v", protowire.ParseError(n))
		}
		if num <= protowire.Number(batch.ControlUnclean) {
			last = rest[:n]
		}
		rest = rest[n:]
	}
	var message trestlev1.Control
	if err := proto.Unmarshal(last, &message); err != nil {
		t.Fatalf("generated code: %v", err)
	}
	discardUnknown(message.ProtoReflect())
	if diff := cmp.Diff(&message, generatedControl(&got), protocmp.Transform()); diff != "" {
		t.Fatalf("(-generated +here):\n%s", diff)
	}
	again := batch.AppendControl(nil, &got)
	if reread, err := batch.ParseControl(again[batch.HeaderSize:]); err != nil || reread != got {
		t.Fatalf("decoded, encoded, decoded: %+v, was %+v, %v", reread, got, err)
	}
}

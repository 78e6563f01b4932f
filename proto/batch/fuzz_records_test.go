package batch_test

import (
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// FuzzRecords holds what is read of Records against generated code: what is taken here is taken there and means the
// same, and what is taken there is taken here but for what refusedOnPurpose names.
func FuzzRecords(f *testing.F) {
	for seed := range 20 {
		s := newSource(seed)
		message := &trestlev1.Records{Subject: s.bytes(5), Reply: s.bytes(5)}
		for i, r := range s.records(s.IntN(5)) {
			message.Records = append(message.Records, generated(&r))
			if seed%2 == 0 {
				message.OffsetDeltas = append(message.OffsetDeltas, uint32(i*i))
			}
		}
		f.Add(encode(f, message))
	}
	for _, body := range []string{"\x10\x01\x0a\x00", "\x0b\x0c\x0a\x00", "\x0a\x02\x08\x01", "\x0a\x04\x1a\x02\x08\x01", "\x12\x01\x00\x12\x01\x00", "\xea\x00\x100000000000000000"} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var message trestlev1.Records
		generatedErr := proto.Unmarshal(body, &message)
		records, err := batch.ParseRecords(body)
		var all []placed
		if err == nil {
			all, err = readAll(&records)
		}
		_, checkErr := batch.CheckRecords(body, nil)
		if accept := err == nil && len(all) > 0 && records.Dense() && !hasUnknown(&message); accept != (checkErr == nil) {
			t.Fatalf("CheckRecords: %v; read %d records, dense %t: %v", checkErr, len(all), records.Dense(), err)
		}
		switch {
		case err == nil && generatedErr != nil:
			t.Fatalf("read, but generated code says: %v", generatedErr)
		case err == nil:
			checkAgainstGenerated(t, &records, all, &message)
		case generatedErr == nil && !refusedOnPurpose(body, &message):
			t.Fatalf("generated code takes it, here: %v", err)
		}
	})
}

// hasUnknown says whether generated code found fields that it does not know, in the records or in what they hold.
func hasUnknown(message *trestlev1.Records) bool {
	unknown := len(message.ProtoReflect().GetUnknown()) > 0
	for _, r := range message.GetRecords() {
		unknown = unknown || len(r.ProtoReflect().GetUnknown()) > 0
		for _, h := range r.GetHeaders() {
			unknown = unknown || len(h.ProtoReflect().GetUnknown()) > 0
		}
	}
	return unknown
}

func checkAgainstGenerated(t *testing.T, records *batch.Records, all []placed, message *trestlev1.Records) {
	t.Helper()
	if len(all) != len(message.Records) || records.Count != len(all) {
		t.Fatalf("%d records read, %d counted; generated code reads %d", len(all), records.Count, len(message.Records))
	}
	if !records.Dense() && len(message.OffsetDeltas) != len(all) {
		t.Fatalf("%d deltas for %d records", len(message.OffsetDeltas), len(all))
	}
	var again []byte
	for i, p := range all {
		want := message.Records[i]
		if len(want.Subject) == 0 {
			want.Subject = message.Subject
		}
		if len(want.Reply) == 0 {
			want.Reply = message.Reply
		}
		if !records.Dense() && p.Offset != int64(message.OffsetDeltas[i]) || records.Dense() && p.Offset != int64(i) {
			t.Fatalf("record %d has offset delta %d, generated code reads %v", i, p.Offset, message.OffsetDeltas)
		}
		discardUnknown(want.ProtoReflect())
		if got := generated(&p.Record); !proto.Equal(want, got) {
			t.Fatalf("record %d: %v, generated code reads %v", i, got, want)
		}
		again = batch.AppendRecord(again, &p.Record)
	}
	reread, err := batch.ParseRecords(again)
	if err != nil {
		t.Fatalf("encoded again: %v", err)
	}
	second, err := readAll(&reread)
	if err != nil {
		t.Fatalf("encoded again: %v", err)
	}
	for i := range second {
		second[i].Offset = all[i].Offset
	}
	if diff := diffPlaced(all, second); diff != "" {
		t.Fatalf("decoded, encoded, decoded (-first +second):\n%s", diff)
	}
}

func discardUnknown(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsList() && field.Message() != nil:
			for i := range v.List().Len() {
				discardUnknown(v.List().Get(i).Message())
			}
		case field.Message() != nil:
			discardUnknown(v.Message())
		}
		return true
	})
}

// refusedOnPurpose says whether body has something that protobuf allows and this package does not: groups, tags longer than they need be, a known
// field with an unexpected wire type (generated code passes it over), a schema id of more than 32 bits (cut down there),
// offset deltas not packed, in several pieces, or such as do not number the records.
func refusedOnPurpose(body []byte, message *trestlev1.Records) bool {
	if deltasRefused(body, message) {
		return true
	}
	header := wireForm{1: {protowire.BytesType, nil}, 2: {protowire.BytesType, nil}}
	record := wireForm{
		1: {protowire.BytesType, nil}, 2: {protowire.BytesType, nil}, 3: {protowire.BytesType, header},
		4: {protowire.BytesType, nil}, 5: {protowire.BytesType, nil}, 6: {protowire.VarintType, nil},
		7: {protowire.VarintType, nil},
	}
	records := wireForm{
		1: {protowire.BytesType, record}, 2: {protowire.BytesType, nil}, 3: {protowire.BytesType, nil}, 4: {protowire.BytesType, nil},
	}
	return records.unusual(body) || hasLargeSchemaID(body)
}

// wireForm is what the known fields of a message look like.
type wireForm map[protowire.Number]struct {
	wire   protowire.Type
	nested wireForm
}

func (form wireForm) unusual(b []byte) bool {
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		m := protowire.ConsumeFieldValue(num, wire, b[n:])
		known, ok := form[num]
		if wire == protowire.StartGroupType || ok && wire != known.wire || n > protowire.SizeTag(num) {
			return true
		}
		if known.nested != nil {
			content, _ := protowire.ConsumeBytes(b[n:])
			if known.nested.unusual(content) {
				return true
			}
		}
		b = b[n+m:]
	}
	return false
}

func deltasRefused(body []byte, message *trestlev1.Records) bool {
	pieces, refused := 0, false
	anyField(body, 2, func(packed []byte) bool {
		pieces++
		next, count := uint64(0), 0
		for ; len(packed) > 0; count++ {
			v, n := protowire.ConsumeVarint(packed)
			refused = refused || v < next || v > math.MaxInt32
			packed, next = packed[n:], v+1
		}
		refused = refused || count != len(message.Records)
		return false
	})
	return refused || pieces > 1
}

func hasLargeSchemaID(body []byte) bool {
	return anyField(body, 1, func(record []byte) bool {
		for len(record) > 0 {
			num, wire, n := protowire.ConsumeTag(record)
			m := protowire.ConsumeFieldValue(num, wire, record[n:])
			if v, _ := protowire.ConsumeVarint(record[n:]); num == 7 && wire == protowire.VarintType && v > math.MaxUint32 {
				return true
			}
			record = record[n+m:]
		}
		return false
	})
}

// anyField says whether any field of that number and of bytes is as is says.
func anyField(b []byte, number protowire.Number, is func(content []byte) bool) bool {
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		m := protowire.ConsumeFieldValue(num, wire, b[n:])
		if content, _ := protowire.ConsumeBytes(b[n:]); num == number && wire == protowire.BytesType && is(content) {
			return true
		}
		b = b[n+m:]
	}
	return false
}

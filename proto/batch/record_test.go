package batch_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func TestRecordForms(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]batch.Record{
		"nothing":           {},
		"empty key":         {Key: []byte{}},
		"empty value":       {Value: []byte{}},
		"empty both":        {Key: []byte{}, Value: []byte{}},
		"tombstone":         {Key: []byte("k"), Tombstone: true},
		"tombstone, value":  {Key: []byte("k"), Value: []byte("v"), Tombstone: true},
		"schema id":         {SchemaID: 1<<32 - 1},
		"subject not UTF-8": {Subject: []byte("a.\xff\xfe"), Reply: []byte("\xc0\x80")},
		"header names not UTF-8": {Headers: []batch.HeaderField{
			{Name: []byte("\xff"), Value: []byte("\xfe\x00")},
		}},
		"headers repeat, in order": {Headers: []batch.HeaderField{
			{Name: []byte("b"), Value: []byte("1")},
			{Name: []byte("a"), Value: []byte("2")},
			{Name: []byte("b"), Value: []byte("1")},
			{Name: []byte("b"), Value: []byte("0")},
		}},
		"empty header": {Headers: []batch.HeaderField{{Name: []byte{}, Value: []byte{}}}},
		"large": {
			Key: bytes.Repeat([]byte("k"), 127), Value: bytes.Repeat([]byte("v"), 1<<14),
			Headers: []batch.HeaderField{{Name: bytes.Repeat([]byte("n"), 128), Value: bytes.Repeat([]byte("w"), 1<<14)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := build(nil, r)
			if got := len(b) - batch.HeaderSize; got != r.Size() {
				t.Errorf("Size() = %d, encoded %d bytes", r.Size(), got)
			}
			if diff := cmp.Diff([]placed{{0, r}}, read(t, b)); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			want := []*trestlev1.Record{generated(&r)}
			if diff := cmp.Diff(want, decode(t, b)[0].GetRecords().GetRecords(), protocmp.Transform()); diff != "" {
				t.Errorf("generated code (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRandomRecords(t *testing.T) {
	t.Parallel()
	for seed := range 200 {
		s := newSource(seed)
		subject := s.optional(5)
		records := s.records(1 + s.IntN(20))
		b := build(subject, records...)
		stamp := s.stamp()
		stamp.Put(b)
		var want []placed
		for i, r := range records {
			if len(r.Subject) == 0 {
				r.Subject = subject
			}
			want = append(want, placed{stamp.BaseOffset + int64(i), r})
		}
		if diff := diffPlaced(want, read(t, b)); diff != "" {
			t.Fatalf("seed %d: read (-want +got):\n%s", seed, diff)
		}
		all := decode(t, b)[0].GetRecords()
		if !bytes.Equal(all.Subject, subject) || all.OffsetDeltas != nil || len(all.Records) != len(records) {
			t.Fatalf("seed %d: generated code reads subject %q, deltas %v, %d records", seed, all.Subject, all.OffsetDeltas, len(all.Records))
		}
		for i := range records {
			want := generated(&records[i])
			if bytes.Equal(want.Subject, subject) {
				want.Subject = nil
			}
			if !proto.Equal(want, all.Records[i]) {
				t.Fatalf("seed %d: record %d: generated code reads\n%v\nwant\n%v", seed, i, all.Records[i], want)
			}
		}
	}
}

// TestRecordsOfGeneratedCode: what any client encodes is read.
func TestRecordsOfGeneratedCode(t *testing.T) {
	t.Parallel()
	for seed := range 200 {
		s := newSource(seed)
		records := s.records(s.IntN(20))
		message := &trestlev1.Records{Subject: s.bytes(5), Reply: s.bytes(5)}
		var want []placed
		for i, r := range records {
			message.Records = append(message.Records, generated(&r))
			if len(r.Subject) == 0 {
				r.Subject = message.Subject
			}
			if len(r.Reply) == 0 {
				r.Reply = message.Reply
			}
			want = append(want, placed{int64(i), r})
		}
		sparse := seed%2 == 0 && len(records) > 0
		if sparse {
			for i := range want {
				want[i].Offset = int64(i)*3 + 200
				message.OffsetDeltas = append(message.OffsetDeltas, uint32(want[i].Offset))
			}
		}
		parsed, err := batch.ParseRecords(encode(t, message))
		if err != nil {
			t.Fatalf("seed %d: ParseRecords: %v", seed, err)
		}
		if parsed.Count != len(records) || parsed.Dense() == sparse {
			t.Fatalf("seed %d: %d records, dense %t; want %d, %t", seed, parsed.Count, parsed.Dense(), len(records), !sparse)
		}
		got, err := readAll(&parsed)
		if err != nil {
			t.Fatalf("seed %d: Next: %v", seed, err)
		}
		if diff := diffPlaced(want, got); diff != "" {
			t.Fatalf("seed %d: (-want +got):\n%s", seed, diff)
		}
	}
}

// TestDefaultsStandAnywhere: fields may come in any order, so defaults hold for records before them too.
func TestDefaultsStandAnywhere(t *testing.T) {
	t.Parallel()
	body := encodeRecords(batch.Record{}, batch.Record{Subject: []byte("own"), Reply: []byte("back")})
	body = append(body, "\x1a\x01a\x22\x01b"...)
	body = append(body, encodeRecords(batch.Record{})...)
	parsed, err := batch.ParseRecords(body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(&parsed)
	if err != nil {
		t.Fatal(err)
	}
	byDefault := batch.Record{Subject: []byte("a"), Reply: []byte("b")}
	want := []placed{{0, byDefault}, {1, batch.Record{Subject: []byte("own"), Reply: []byte("back")}}, {2, byDefault}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRecordParseForgets: what an earlier record had does not show in a later one.
func TestRecordParseForgets(t *testing.T) {
	t.Parallel()
	full := batch.Record{
		Key: []byte("k"), Value: []byte("v"), Subject: []byte("s"), Reply: []byte("r"), Tombstone: true, SchemaID: 1,
		Headers: []batch.HeaderField{{Name: []byte("n"), Value: []byte("w")}},
	}
	parsed, err := batch.ParseRecords(encodeRecords(full, batch.Record{}))
	if err != nil {
		t.Fatal(err)
	}
	var rec batch.Record
	for range 2 {
		if _, ok, err := parsed.Next(&rec); err != nil || !ok {
			t.Fatalf("Next: %t, %v", ok, err)
		}
	}
	if diff := cmp.Diff(batch.Record{}, rec, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("second record (-want +got):\n%s", diff)
	}
	if _, ok, err := parsed.Next(&rec); ok || err != nil {
		t.Errorf("Next after the last: %t, %v", ok, err)
	}
}

func TestMessageID(t *testing.T) {
	t.Parallel()
	id := func(v string) batch.HeaderField {
		return batch.HeaderField{Name: []byte(batch.MessageIDHeader), Value: []byte(v)}
	}
	for name, test := range map[string]struct {
		headers []batch.HeaderField
		want    string
	}{
		"none":              {nil, ""},
		"other header":      {[]batch.HeaderField{{Name: []byte("Nats-Msg"), Value: []byte("x")}}, ""},
		"other case":        {[]batch.HeaderField{{Name: []byte("nats-msg-id"), Value: []byte("x")}}, ""},
		"one":               {[]batch.HeaderField{{Name: []byte("a")}, id("x")}, "x"},
		"first of two":      {[]batch.HeaderField{id("x"), id("y")}, "x"},
		"empty":             {[]batch.HeaderField{id("")}, ""},
		"first is empty":    {[]batch.HeaderField{id(""), id("x")}, ""},
		"without any value": {[]batch.HeaderField{{Name: []byte(batch.MessageIDHeader)}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := batch.Record{Headers: test.headers}
			if got := r.MessageID(); string(got) != test.want || (got == nil) != (test.want == "") {
				t.Errorf("MessageID() = %#v, want %q", got, test.want)
			}
			b := build(nil, r)
			h := parse(t, b)
			if got := h.Attributes&batch.HasMessageIDs != 0; got != (test.want != "") {
				t.Errorf("the batch has message ids: %t", got)
			}
			summary, err := batch.CheckRecords(h.BodyOf(b), nil)
			if err != nil || summary.HasMessageIDs != (test.want != "") {
				t.Errorf("CheckRecords: message ids %t, %v", summary.HasMessageIDs, err)
			}
		})
	}
}

func TestRecordsRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"tag cut short":               "\x8a",
		"field 0":                     "\x02\x00",
		"field number 2^29":           "\x80\x80\x80\x80\x10\x00",
		"record cut short":            "\x0a\x02\x12",
		"length of 2^63":              "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
		"length too long":             "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"record no message":           "\x08\x01",
		"subject a number":            "\x18\x01",
		"reply a number":              "\x20\x01",
		"deltas not packed":           "\x10\x01\x0a\x00",
		"deltas twice":                "\x0a\x00\x12\x01\x00\x12\x01\x00",
		"fewer deltas":                "\x0a\x00\x0a\x00\x12\x01\x00",
		"more deltas":                 "\x0a\x00\x12\x02\x00\x01",
		"deltas not growing":          "\x0a\x00\x0a\x00\x12\x02\x01\x01",
		"delta cut short":             "\x0a\x00\x12\x01\x80",
		"delta above 2^31":            "\x0a\x00\x12\x05\x80\x80\x80\x80\x08",
		"group":                       "\x0b\x0c",
		"key a number":                "\x0a\x02\x08\x01",
		"value a number":              "\x0a\x02\x10\x01",
		"header a number":             "\x0a\x02\x18\x01",
		"tombstone bytes":             "\x0a\x02\x32\x00",
		"schema id bytes":             "\x0a\x02\x3a\x00",
		"schema id above 2^32":        "\x0a\x06\x38\x80\x80\x80\x80\x10",
		"schema id without end":       "\x0a\x02\x38\x80",
		"key beyond the record":       "\x0a\x02\x0a\x01\x0a\x00",
		"fixed32 beyond the record":   "\x0a\x04\x4d\x01\x02\x03\x0a\x00",
		"fixed64 beyond the record":   "\x0a\x08\x49\x01\x02\x03\x04\x05\x06\x07\x0a\x00",
		"header name a number":        "\x0a\x04\x1a\x02\x08\x01",
		"header value a number":       "\x0a\x04\x1a\x02\x10\x01",
		"header name beyond a header": "\x0a\x05\x1a\x02\x0a\x01x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := readBody([]byte(body))
			if !errors.Is(err, batch.ErrCorrupt) {
				t.Errorf("got error %v, want ErrCorrupt", err)
			}
			if _, err := batch.CheckRecords([]byte(body), nil); !errors.Is(err, batch.ErrCorrupt) {
				t.Errorf("CheckRecords: got error %v, want ErrCorrupt", err)
			}
		})
	}
}

func readBody(body []byte) error {
	records, err := batch.ParseRecords(body)
	if err != nil {
		return err
	}
	_, err = readAll(&records)
	return err
}

// TestUnknownFieldsArePassedOver: later versions may add fields to records.
func TestUnknownFieldsArePassedOver(t *testing.T) {
	t.Parallel()
	unknown := "\x40\x01" + "\x49\x01\x02\x03\x04\x05\x06\x07\x08" + "\x52\x01x" + "\x5d\x01\x02\x03\x04" + "\x82\x7d\x00"
	header := "\x0a\x01n" + "\x18\x01" + "\x12\x01w" + "\x22\x00"
	record := unknown + "\x1a" + string(rune(len(header))) + header + "\x12\x01v"
	body := "\x2a\x01x" + "\x0a" + string(rune(len(record))) + record + "\x30\x01"
	parsed, err := batch.ParseRecords([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(&parsed)
	if err != nil {
		t.Fatal(err)
	}
	want := []placed{{0, batch.Record{Value: []byte("v"), Headers: []batch.HeaderField{{Name: []byte("n"), Value: []byte("w")}}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReadAliasesTheBatch, and what is appended to a part does not overwrite the next.
func TestReadAliasesTheBatch(t *testing.T) {
	t.Parallel()
	b := build([]byte("s"), batch.Record{Key: []byte("k"), Value: []byte("v"), Reply: []byte("r")})
	before := slices.Clone(b)
	rec := read(t, b)[0].Record
	for name, part := range map[string][]byte{"key": rec.Key, "value": rec.Value, "subject": rec.Subject, "reply": rec.Reply} {
		if cap(part) != len(part) {
			t.Errorf("%s has room for %d bytes after it", name, cap(part)-len(part))
		}
		part[0] ^= 0xff
	}
	changed := 0
	for i := range b {
		if b[i] != before[i] {
			changed++
		}
	}
	if changed != 4 {
		t.Errorf("%d bytes of the batch changed with key, value, subject and reply, want 4", changed)
	}
}

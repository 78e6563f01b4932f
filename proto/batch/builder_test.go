package batch_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/proto/batch"
)

func TestBuilderIsUsedAgain(t *testing.T) {
	t.Parallel()
	var b batch.Builder
	var finished [][]byte
	for seed := range 50 {
		s := newSource(seed)
		subject := s.optional(9)
		records := s.records(1 + s.IntN(5))
		b.Reset(subject)
		if b.Count() != 0 || b.Size() > batch.HeaderSize+2+len(subject) {
			t.Fatalf("after Reset: %d records, %d bytes", b.Count(), b.Size())
		}
		for i := range records {
			b.Append(&records[i])
		}
		got := b.Finish(batch.Captured)
		if b.Count() != len(records) || b.Size() != len(got) {
			t.Fatalf("seed %d: %d records, %d bytes; want %d, %d", seed, b.Count(), b.Size(), len(records), len(got))
		}
		var fresh batch.Builder
		fresh.Reset(subject)
		for i := range records {
			fresh.Append(&records[i])
		}
		if !bytes.Equal(got, fresh.Finish(batch.Captured)) {
			t.Fatalf("seed %d: a used builder gives another batch than a fresh one", seed)
		}
		finished = append(finished, slices.Clone(got))
	}
	for i, b := range finished {
		if h := parse(t, b); h.Attributes&batch.Captured == 0 {
			t.Errorf("batch %d is not marked captured", i)
		}
	}
}

func TestBuilderHeader(t *testing.T) {
	t.Parallel()
	b := build(nil, batch.Record{}, batch.Record{}, batch.Record{})
	got := parse(t, b)
	want := batch.Header{
		RecordCount: 3, LastOffsetDelta: 2, Body: batch.BodyRecords, HeaderSize: batch.HeaderSize, Size: len(b),
		HeaderCRC: got.HeaderCRC, BodyCRC: batch.Checksum(b[batch.HeaderSize:]),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSubjectIsWrittenOnce: a record that has the batch's subject does not repeat it.
func TestSubjectIsWrittenOnce(t *testing.T) {
	t.Parallel()
	subject := []byte("orders.created")
	own, other, none := batch.Record{Subject: subject}, batch.Record{Subject: []byte("orders.deleted")}, batch.Record{}
	b := build(subject, own, other, none)
	if got := bytes.Count(b, subject); got != 1 {
		t.Errorf("the subject is written %d times, want once", got)
	}
	want := []placed{{0, own}, {1, other}, {2, own}}
	if diff := cmp.Diff(want, read(t, b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if string(own.Subject) != "orders.created" {
		t.Errorf("Append changed the record: subject %q", own.Subject)
	}
	b = build(nil, own, none)
	if got := decode(t, b)[0].GetRecords(); got.Subject != nil || string(got.Records[0].Subject) != string(subject) {
		t.Errorf("without a subject of the batch: %v", got)
	}
}

// TestBuilderCopies: what was appended may change at once.
func TestBuilderCopies(t *testing.T) {
	t.Parallel()
	subject, key, value := []byte("s"), []byte("k"), []byte("v")
	var b batch.Builder
	b.Reset(subject)
	b.Append(&batch.Record{Subject: []byte("s"), Key: key, Value: value})
	subject[0], key[0], value[0] = 'x', 'x', 'x'
	b.Append(&batch.Record{Subject: []byte("s"), Key: key, Value: value})
	want := []placed{
		{0, batch.Record{Subject: []byte("s"), Key: []byte("k"), Value: []byte("v")}},
		{1, batch.Record{Subject: []byte("s"), Key: []byte("x"), Value: []byte("x")}},
	}
	if diff := cmp.Diff(want, read(t, b.Finish(0))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBuilderNotesMessageIDs(t *testing.T) {
	t.Parallel()
	with := batch.Record{Headers: []batch.HeaderField{{Name: []byte(batch.MessageIDHeader), Value: []byte("1")}}}
	var b batch.Builder
	for name, test := range map[string]struct {
		records []batch.Record
		want    batch.Attributes
	}{
		"none":        {[]batch.Record{{}, {}}, 0},
		"first":       {[]batch.Record{with, {}}, batch.HasMessageIDs},
		"last":        {[]batch.Record{{}, with}, batch.HasMessageIDs},
		"then none":   {[]batch.Record{{}}, 0},
		"then in all": {[]batch.Record{with, with}, batch.HasMessageIDs},
	} {
		b.Reset(nil)
		for i := range test.records {
			b.Append(&test.records[i])
		}
		h := parse(t, b.Finish(batch.Recovered))
		if want := test.want | batch.Recovered; h.Attributes != want {
			t.Errorf("%s: attributes %b, want %b", name, h.Attributes, want)
		}
	}
}

func TestAppendKeepsTheBodysChecksum(t *testing.T) {
	t.Parallel()
	body := encodeRecords(batch.Record{Value: []byte("v")})
	h := batch.Header{RecordCount: 1, Body: batch.BodyRecords, BodyCRC: batch.Checksum(body)}
	damaged := mutated(body, len(body)-1, 1)
	if _, err := batch.Parse(batch.Append(nil, &h, damaged)); !errors.Is(err, batch.ErrCorrupt) {
		t.Errorf("a body damaged after its checksum was made: got error %v, want ErrCorrupt", err)
	}
}

func TestCheckRecords(t *testing.T) {
	t.Parallel()
	id := batch.Record{Headers: []batch.HeaderField{{Name: []byte(batch.MessageIDHeader), Value: []byte("1")}}}
	large := batch.Record{Value: make([]byte, 200)}
	for name, test := range map[string]struct {
		body []byte
		want batch.Summary
	}{
		"one empty record": {encodeRecords(batch.Record{}), batch.Summary{Count: 1}},
		"message ids":      {encodeRecords(batch.Record{}, id), batch.Summary{Count: 2, HasMessageIDs: true, LargestRecord: 18}},
		"largest first":    {encodeRecords(large, batch.Record{Value: []byte("v")}), batch.Summary{Count: 2, LargestRecord: 203}},
		"with defaults":    {append([]byte("\x1a\x01s\x22\x01r"), encodeRecords(large)...), batch.Summary{Count: 1, LargestRecord: 203}},
	} {
		got, err := batch.CheckRecords(test.body, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, body := range map[string][]byte{
		"nothing":             nil,
		"no record":           []byte("\x1a\x01s"),
		"offset deltas":       append([]byte("\x12\x01\x00"), encodeRecords(large)...),
		"empty offset deltas": append([]byte("\x12\x00"), encodeRecords(large)...),
		"last record damaged": append(encodeRecords(large), "\x0a\x02\x12\x01"...),
		"last header damaged": append(encodeRecords(large), "\x0a\x05\x1a\x03\x0a\x02x"...),
		"cut short":           encodeRecords(large)[:150],
	} {
		if got, err := batch.CheckRecords(body, nil); !errors.Is(err, batch.ErrCorrupt) {
			t.Errorf("%s: got %+v, error %v, want ErrCorrupt", name, got, err)
		}
	}
}

// TestCheckRecordsAsks: every record is shown with its defaults, and what is refused ends it.
func TestCheckRecordsAsks(t *testing.T) {
	t.Parallel()
	body := append([]byte("\x1a\x01s\x22\x01r"), encodeRecords(batch.Record{}, batch.Record{Subject: []byte("own")}, batch.Record{})...)
	var subjects []string
	collect := func(r *batch.Record) error {
		subjects = append(subjects, string(r.Subject)+" "+string(r.Reply))
		return nil
	}
	if _, err := batch.CheckRecords(body, collect); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"s r", "own r", "s r"}, subjects); diff != "" {
		t.Errorf("records shown (-want +got):\n%s", diff)
	}
	refusal, shown := errors.New("not this one"), 0
	_, err := batch.CheckRecords(body, func(*batch.Record) error {
		if shown++; shown == 2 {
			return refusal
		}
		return nil
	})
	if !errors.Is(err, refusal) || !strings.Contains(err.Error(), "record 1") || shown != 2 {
		t.Errorf("after %d records: got error %v, want the refusal of record 1", shown, err)
	}
}

// TestRecordsOfRefused has bodies that pass their CRC and do not go with their header.
func TestRecordsOfRefused(t *testing.T) {
	t.Parallel()
	three := encodeRecords(make([]batch.Record, 3)...)
	deltas := func(d string) []byte { return append([]byte("\x12\x03"+d), three...) }
	for name, b := range map[string][]byte{
		"fewer records":           withBody(4, 3, three),
		"more records":            withBody(2, 1, three),
		"holes without deltas":    withBody(3, 5, three),
		"deltas without holes":    withBody(3, 2, deltas("\x00\x01\x02")),
		"deltas beyond the last":  withBody(3, 5, deltas("\x00\x01\x06")),
		"deltas do not grow":      withBody(3, 5, deltas("\x00\x02\x02")),
		"fewer deltas":            withBody(3, 5, append([]byte("\x12\x02\x00\x05"), three...)),
		"more deltas":             withBody(3, 5, append([]byte("\x12\x04\x00\x01\x02\x05"), three...)),
		"records of another form": withBody(1, 0, []byte("\x0a\x02\x08\x01")),
		"body of another form":    withBody(1, 0, []byte("\x0a")),
		"no records":              withBody(1, 0, nil),
	} {
		h := parse(t, b)
		records, err := h.RecordsOf(b)
		if err == nil {
			_, err = readAll(&records)
		}
		if !errors.Is(err, batch.ErrCorrupt) {
			t.Errorf("%s: got error %v, want ErrCorrupt", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"no deltas":                withBody(3, 2, three),
		"deltas up to the last":    withBody(3, 5, deltas("\x00\x01\x05")),
		"deltas not from the base": withBody(3, 5, deltas("\x01\x02\x03")),
	} {
		if got := len(read(t, b)); got != 3 {
			t.Errorf("%s: read %d records, want 3", name, got)
		}
	}
}

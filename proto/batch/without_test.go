package batch_test

import (
	"errors"
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
)

// Without takes out what it is told to, and leaves the rest as it was, fields beside the records included.
func TestWithout(t *testing.T) {
	t.Parallel()
	var builder batch.Builder
	builder.Reset(nil)
	for _, value := range []string{"a", "b", "c", "d"} {
		builder.Append(&batch.Record{Subject: []byte("subject"), Value: []byte(value)})
	}
	b := builder.Finish(0)
	h, err := batch.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := batch.Without(nil, &h, b, func(i int) bool { return i == 0 || i == 2 })
	if err != nil {
		t.Fatal(err)
	}
	left, err := batch.Parse(got)
	if err != nil || left.RecordCount != 2 || left.LastOffsetDelta != 1 {
		t.Fatalf("%+v, %v", left, err)
	}
	records, err := left.RecordsOf(got)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"b", "d"} {
		var r batch.Record
		delta, ok, err := records.Next(&r)
		if err != nil || !ok || string(r.Value) != want || int(delta) != i || string(r.Subject) != "subject" {
			t.Errorf("record %d is %q of %q at %d, %v, want %q", i, r.Value, r.Subject, delta, err, want)
		}
	}
}

// A tag that is longer than it need be is refused: who counts fields byte by byte would see another batch than who parses
// them (it ended a broker once).
func TestLongTagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, tag := range [][]byte{{0x8a, 0x00}, {0x8a, 0x80, 0x00}} {
		body := append(append([]byte{}, tag...), 3, 0x12, 1, 'x')
		if _, err := batch.CheckRecords(body, nil); !errors.Is(err, batch.ErrCorrupt) {
			t.Errorf("tag %x: %v", tag, err)
		}
	}
}

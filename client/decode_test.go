package client_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
)

func TestMessagesAreWhatWasStored(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	log := server.log(0)
	field := func(name, value string) batch.HeaderField {
		return batch.HeaderField{Name: []byte(name), Value: []byte(value)}
	}
	log.appendRecords(t,
		batch.Record{Subject: []byte("orders.new"), Reply: []byte("r1"), Key: []byte("k"), Value: []byte("v")},
		batch.Record{Subject: []byte("orders.new"), Reply: []byte("r2"), Value: []byte{}, Key: []byte{}},
		batch.Record{Subject: []byte("orders.\xff"), Tombstone: true},
	)
	log.appendRecords(t, batch.Record{Headers: []batch.HeaderField{field("B", "1"), field("\xfe", "\x00"), field("B", "")}, Value: []byte("h")})
	var sharing batch.Builder // a batch whose records have their subject from the batch
	sharing.Reset([]byte("orders.all"))
	sharing.Append(&batch.Record{Subject: []byte("orders.all"), Value: []byte("x")})
	sharing.Append(&batch.Record{Subject: []byte("orders.one"), Value: []byte("y")})
	log.append(t, sharing.Finish(batch.Captured))

	at := func(seq uint64) time.Time { return time.Unix(0, timeOf(seq)) }
	want := []client.Message{
		{Offset: 0, Time: at(1), Subject: "orders.new", Reply: "r1", Key: []byte("k"), Value: []byte("v")},
		{Offset: 1, Time: at(1), Subject: "orders.new", Reply: "r2", Key: []byte{}, Value: []byte{}},
		{Offset: 2, Time: at(1), Subject: "orders.\xff", Tombstone: true},
		{Offset: 3, Time: at(2), Value: []byte("h"), Headers: []client.HeaderField{
			{Name: "B", Value: []byte("1")}, {Name: "\xfe", Value: []byte{0}}, {Name: "B", Value: []byte{}},
		}},
		{Offset: 4, Time: at(3), Subject: "orders.all", Value: []byte("x")},
		{Offset: 5, Time: at(3), Subject: "orders.one", Value: []byte("y")},
	}
	for i := range want {
		want[i].Stream, want[i].LeaderEpoch = "orders", 1
	}
	s := connect(t, server.listen(t).addr).Stream("orders")
	var got []client.Message
	for m, err := range subscribe(t, s, client.FromEarliest(), client.UntilLatest()).Messages(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, *m)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if h := got[3].Header("B"); h != "1" {
		t.Errorf("header B is %q, want the first", h)
	}
	if h := got[3].Header("b"); h != "" {
		t.Errorf("header b is %q, want none", h)
	}
}

func TestOffsetsWithHoles(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	log := server.log(0)
	h := log.appendValues(t, "0", "1", "2", "3")
	kept, err := batch.Select(nil, &h, log.batches[0].bytes, func(offset int64, _ []byte) bool { return offset%2 == 1 })
	if err != nil {
		t.Fatal(err)
	}
	if h, err = batch.Parse(kept); err != nil {
		t.Fatal(err)
	}
	log.batches[0] = storedBatch{h, kept}
	log.appendValues(t, "4")
	s := connect(t, server.listen(t).addr).Stream("orders")
	var offsets []int64
	for m, err := range subscribe(t, s, client.FromEarliest(), client.UntilLatest()).Messages(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Value) != fmt.Sprint(m.Offset) {
			t.Errorf("offset %d has value %q", m.Offset, m.Value)
		}
		offsets = append(offsets, m.Offset)
	}
	if want := []int64{1, 3, 4}; !slices.Equal(offsets, want) {
		t.Errorf("got offsets %v, want %v", offsets, want)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	m := client.Message{Key: []byte("k"), Value: []byte("v"), Headers: []client.HeaderField{{Name: "A", Value: []byte("h")}}}
	c := m.Clone()
	if diff := cmp.Diff(&m, c); diff != "" {
		t.Errorf("the clone differs (-want +got):\n%s", diff)
	}
	m.Key[0], m.Value[0], m.Headers[0].Value[0], m.Headers[0].Name = 'x', 'x', 'x', "x"
	want := &client.Message{Key: []byte("k"), Value: []byte("v"), Headers: []client.HeaderField{{Name: "A", Value: []byte("h")}}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("the clone changed with the message (-want +got):\n%s", diff)
	}
	empty := (&client.Message{Value: []byte{}}).Clone()
	if empty.Value == nil || empty.Key != nil {
		t.Errorf("got value %v and key %v, want an empty value and no key", empty.Value, empty.Key)
	}
}

func TestReadingEndsAtABatchThatIsNotRight(t *testing.T) {
	t.Parallel()
	noRecord := "\x0a\x02\x0a\x05\x0a\x00" // a key that is longer than its record, and a record of nothing
	tests := []struct {
		name   string
		header batch.Header
		body   string
		is     error
		says   string
	}{
		{"a checksum that is not right", batch.Header{RecordCount: 1, Body: batch.BodyRecords, BodyCRC: 1}, "\x0a\x00", client.ErrCorruptData, "body crc"},
		{"a count that is not right", batch.Header{RecordCount: 1, Body: batch.BodyRecords}, "", client.ErrCorruptData, "0 records"},
		{
			"a record that is none",
			batch.Header{RecordCount: 2, LastOffsetDelta: 1, Body: batch.BodyRecords, BodyCRC: batch.Checksum([]byte(noRecord))},
			noRecord, client.ErrCorruptData, "record 0",
		},
		{
			"a control batch that is none",
			batch.Header{Attributes: batch.IsControl, LastOffsetDelta: -1, Body: batch.BodyControl, BodyCRC: batch.Checksum([]byte{0xff})},
			"\xff", client.ErrCorruptData, "control",
		},
		{
			"packed",
			batch.Header{Attributes: batch.Zstd, RecordCount: 1, Body: batch.BodyPacked, BodyCRC: batch.Checksum([]byte("packed"))},
			"packed", client.ErrUnimplemented, "packed",
		},
		{
			"encrypted",
			batch.Header{Attributes: batch.Encrypted, RecordCount: 1, Body: batch.BodyRecords},
			"",
			client.ErrUnimplemented, "encrypted",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newFakeServer("orders", 1)
			log := server.log(0)
			log.appendValues(t, "0", "1")
			log.appendValues(t, "2")
			log.append(t, batch.Append(nil, &test.header, []byte(test.body)))
			log.appendValues(t, "never read")
			s := connect(t, server.listen(t).addr).Stream("orders")
			sub := subscribe(t, s, client.FromEarliest())
			values, err := collect(within(t), sub)
			if want := []string{"0", "1", "2"}; !slices.Equal(values, want) {
				t.Errorf("before it came %q, want %q", values, want)
			}
			var e *client.Error
			if !errors.As(err, &e) || !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, want %v that says %q", err, test.is, test.says)
			}
			if want := map[string]string{"stream": "orders", "partition": "0", "offset": "3"}; !cmp.Equal(e.Names, want) {
				t.Errorf("names are %v, want %v", e.Names, want)
			}
			if _, again := sub.Next(within(t)); !errors.Is(again, err) {
				t.Errorf("afterwards Next says %v, want the same", again)
			}
			server.awaitReads(t, 0)
			if n := len(server.requests()); n != 1 {
				t.Errorf("asked %d times, want once: such an error is not mended by asking again", n)
			}
		})
	}
}

func TestReadingAllocatesNothingPerMessage(t *testing.T) {
	const count = 200_000
	server := newFakeServer("orders", 1)
	record := batch.Record{
		Subject: []byte("orders.new"), Reply: []byte("answers"), Value: make([]byte, 100),
		Headers: []batch.HeaderField{{Name: []byte("Trace-Id"), Value: []byte("1")}, {Name: []byte("Tenant"), Value: []byte("2")}},
	}
	for range count / 1000 {
		server.log(0).appendRecords(t, slices.Repeat([]batch.Record{record}, 1000)...)
	}
	s := connect(t, server.listen(t).addr).Stream("orders")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read := 0
	for _, err := range subscribe(t, s, client.FromEarliest(), client.UntilLatest()).Messages(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		read++
	}
	runtime.ReadMemStats(&after)
	if read != count {
		t.Fatalf("read %d messages, want %d", read, count)
	}
	// One for the messages of a run and one for the headers of many; the rest is gRPC's, and the server's.
	if perMessage := float64(after.Mallocs-before.Mallocs) / count; perMessage > 0.1 {
		t.Errorf("%.3f allocations per message, want far below one", perMessage)
	}
}

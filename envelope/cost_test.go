package envelope_test

import (
	"errors"
	"testing"

	"github.com/trestlehq/trestle/envelope"
)

// What a broker does for each message, and what a publisher does, allocates what is written here and no more.
func TestAllocations(t *testing.T) {
	withoutHeaders := envelope.Message{Key: []byte("k"), Value: []byte("v"), AckInbox: []byte("i"), Checksum: true}
	withHeaders := withoutHeaders
	for range 5 {
		withHeaders.Headers = append(withHeaders.Headers, envelope.Header{Name: []byte("n"), Value: []byte("v")})
	}
	ack := envelope.Ack{Stream: []byte("s"), Offset: 1 << 40, AckInbox: []byte("i"), Error: 100, Reason: []byte("r"), Checksum: true}
	marshal := func(frame []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return frame
	}
	bare, full, answer := marshal(withoutHeaders.Marshal()), marshal(withHeaders.Marshal()), marshal(ack.Marshal())
	plain := []byte("a plain message")
	room := make([]byte, 0, 1024)
	var used envelope.Message
	var failed error
	note := func(err error) { failed = errors.Join(failed, err) }

	for _, c := range []struct {
		name string
		want float64
		run  func()
	}{
		{"a plain message is refused", 0, func() {
			if _, err := envelope.Parse(plain); err != envelope.ErrNotEnvelope { //nolint:errorlint // it is documented to be this value
				note(err)
			}
		}},
		{"a message without headers", 0, func() { _, err := envelope.Parse(bare); note(err) }},
		{"a message with headers", 1, func() { _, err := envelope.Parse(full); note(err) }},
		{"a message with headers, into a used one", 0, func() { note(used.Unmarshal(full)) }},
		{"an ack", 0, func() { _, err := envelope.ParseAck(answer); note(err) }},
		{"a message is written", 1, func() { _, err := withHeaders.Marshal(); note(err) }},
		{"a message is written into room", 0, func() { _, err := withHeaders.Append(room); note(err) }},
		{"an ack is written", 1, func() { _, err := ack.Marshal(); note(err) }},
		{"an ack is written into room", 0, func() { _, err := ack.Append(room); note(err) }},
	} {
		if got := testing.AllocsPerRun(100, c.run); got != c.want {
			t.Errorf("%s: %v allocations, want %v", c.name, got, c.want)
		}
	}
	if failed != nil {
		t.Error(failed)
	}
}

// A frame cannot make its reader allocate more than the headers that it may have.
func TestManyHeadersAreBounded(t *testing.T) {
	frame := unhex(t, messageHeader)
	for range 1 << 20 {
		frame = append(frame, 0x4a, 0)
	}
	var m envelope.Message
	if err := m.Unmarshal(frame); !errors.Is(err, envelope.ErrTooLarge) {
		t.Errorf("%d headers: %v", 1<<20, err)
	}
	if cap(m.Headers) > envelope.MaxHeaders {
		t.Errorf("room for %d headers was made, the limit is %d", cap(m.Headers), envelope.MaxHeaders)
	}
}

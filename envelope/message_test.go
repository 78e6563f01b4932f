package envelope_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/envelope"
)

// unhex joins parts of a frame.
func unhex(t *testing.T, parts ...string) []byte {
	t.Helper()
	var frame []byte
	for _, part := range parts {
		b, err := hex.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		frame = append(frame, b...)
	}
	return frame
}

const (
	messageHeader = "b90e43b400080000"
	ackHeader     = "b90e43b400080001"
)

func TestParse(t *testing.T) {
	expectZero := envelope.ExpectOffset(0)
	for _, c := range []struct {
		name  string
		frame []byte
		want  envelope.Message
	}{
		{"nothing: offset 0 is expected, as protobuf has it", unhex(t, messageHeader), envelope.Message{Expect: expectZero}},
		{
			"a longer header without a CRC is skipped", unhex(t, "b90e43b4000b0000", "ffffff", "1a0178"),
			envelope.Message{Value: []byte("x"), Expect: expectZero},
		},
		{
			"a flag without a meaning is passed over", unhex(t, "b90e43b40008fe00", "1a0178"),
			envelope.Message{Value: []byte("x"), Expect: expectZero},
		},
		{
			"present and empty differs from absent", unhex(t, messageHeader, "1200", "1a00"),
			envelope.Message{Key: []byte{}, Value: []byte{}, Expect: expectZero},
		},
		{
			"the last of a field counts", unhex(t, messageHeader, "120161", "120162", "6001", "6002"),
			envelope.Message{Key: []byte("b"), AckPolicy: envelope.AckNone, Expect: expectZero},
		},
		{
			"headers keep their order and may repeat", unhex(t, messageHeader, "4a060a0162120131", "4a060a0161120132", "4a060a0162120133"),
			envelope.Message{Expect: expectZero, Headers: []envelope.Header{
				{Name: []byte("b"), Value: []byte("1")}, {Name: []byte("a"), Value: []byte("2")}, {Name: []byte("b"), Value: []byte("3")},
			}},
		},
		{
			"value before name, unknown field in an entry", unhex(t, messageHeader, "4a08120131180"+"70a0162"),
			envelope.Message{Expect: expectZero, Headers: []envelope.Header{{Name: []byte("b"), Value: []byte("1")}}},
		},
		{
			"not UTF-8 (protocol.md 1.5)", unhex(t, messageHeader, "4a060a01ff1201fe", "5201c0", "5a0180"),
			envelope.Message{
				Expect: expectZero, Headers: []envelope.Header{{Name: []byte{0xff}, Value: []byte{0xfe}}},
				AckInbox: []byte{0xc0}, CorrelationID: []byte{0x80},
			},
		},
		{
			"unknown fields of every wire type, and a known one as a varint",
			unhex(t, messageHeader, "a80601", "f8ffffff0f01", "b1060000000000000000", "ba060178", "c306"+"0801"+"c406", "cd0600000000", "1805", "1a0178"),
			envelope.Message{Value: []byte("x"), Expect: expectZero},
		},
		{
			"a policy that nobody knows", unhex(t, messageHeader, "60ffffffffffffffffff01"),
			envelope.Message{AckPolicy: -1, Expect: expectZero},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := envelope.Parse(c.frame)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, exactly()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExpectation(t *testing.T) {
	if offset, ok := (envelope.Expectation{}).Offset(); ok || offset != -1 {
		t.Errorf("the zero Expectation expects %d, %v", offset, ok)
	}
	if envelope.ExpectOffset(-1) != (envelope.Expectation{}) {
		t.Error("ExpectOffset(-1) is not the zero Expectation")
	}
	for _, want := range []int64{0, 1, 1 << 40, math.MaxInt64, -2, math.MinInt64} {
		m := envelope.Message{Expect: envelope.ExpectOffset(want)}
		frame, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		read, err := envelope.Parse(frame)
		if got, ok := read.Expect.Offset(); err != nil || !ok || got != want {
			t.Errorf("expected %d, read %d, %v, %v", want, got, ok, err)
		}
	}
}

func TestMessageLimits(t *testing.T) {
	m := envelope.Message{Headers: make([]envelope.Header, envelope.MaxHeaders)}
	frame, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := envelope.Parse(frame); err != nil || len(got.Headers) != envelope.MaxHeaders {
		t.Errorf("%d headers, %v", len(got.Headers), err)
	}
	if _, err := envelope.Parse(append(frame, 0x4a, 0)); !errors.Is(err, envelope.ErrTooLarge) {
		t.Errorf("one header too many is read: %v", err)
	}
	m.Headers = append(m.Headers, envelope.Header{})
	if dst, err := m.Append([]byte("before")); !errors.Is(err, envelope.ErrTooLarge) || string(dst) != "before" {
		t.Errorf("one header too many is written: %d bytes, %v", len(dst), err)
	}

	const header, fields = 8, 11 + 1 + 4 // offset -1; tag and length of the value
	m = envelope.Message{Value: make([]byte, envelope.MaxSize-header-fields)}
	frame, err = m.Marshal()
	if err != nil || len(frame) != envelope.MaxSize {
		t.Fatalf("%d bytes, %v", len(frame), err)
	}
	if got, err := envelope.Parse(frame); err != nil || len(got.Value) != len(m.Value) {
		t.Errorf("a frame of %d bytes: %v", len(frame), err)
	}
	if _, err := envelope.Parse(append(frame, 0)); !errors.Is(err, envelope.ErrTooLarge) {
		t.Errorf("a frame of a byte too many is read: %v", err)
	}
	m.Checksum = true
	if dst, err := m.Append([]byte("before")); !errors.Is(err, envelope.ErrTooLarge) || string(dst) != "before" {
		t.Errorf("a frame of four bytes too many is written: %d bytes, %v", len(dst), err)
	}
}

// Append leaves what stands before alone, and its CRC covers only the frame.
func TestAppendBehindOthers(t *testing.T) {
	m := envelope.Message{Value: []byte("x"), Checksum: true}
	a := envelope.Ack{Stream: []byte("s"), Checksum: true}
	dst := []byte("before")
	var err error
	if dst, err = m.Append(dst); err != nil {
		t.Fatal(err)
	}
	end := len(dst)
	if dst, err = a.Append(dst); err != nil {
		t.Fatal(err)
	}
	if string(dst[:6]) != "before" {
		t.Errorf("before the frame stands %q", dst[:6])
	}
	if got, err := envelope.Parse(dst[6:end]); err != nil || string(got.Value) != "x" {
		t.Errorf("message %q, %v", got.Value, err)
	}
	if got, err := envelope.ParseAck(dst[end:]); err != nil || string(got.Stream) != "s" {
		t.Errorf("ack %q, %v", got.Stream, err)
	}
}

// What is read lies in the frame, and appending to it does not write into the frame.
func TestParseAliases(t *testing.T) {
	m := envelope.Message{Key: []byte("key"), Value: []byte("value"), Headers: []envelope.Header{{Name: []byte("name"), Value: []byte("v")}}}
	frame, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	read, err := envelope.Parse(frame)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(frame)
	for _, b := range [][]byte{read.Key, read.Value, read.Headers[0].Name, read.Headers[0].Value} {
		_ = append(b, "overwritten"...)
	}
	if !bytes.Equal(frame, before) {
		t.Error("an append to what was read wrote into the frame")
	}
	frame[bytes.Index(frame, []byte("value"))] = 'V'
	if string(read.Value) != "Value" {
		t.Errorf("the value is a copy: %q", read.Value)
	}
}

// Unmarshal into a used Message leaves nothing of what was there, after success and after failure.
func TestUnmarshalForgets(t *testing.T) {
	full := envelope.Message{
		Key: []byte("k"), Value: []byte("v"), Headers: []envelope.Header{{Name: []byte("a")}, {Name: []byte("b")}},
		AckInbox: []byte("i"), CorrelationID: []byte("c"), AckPolicy: envelope.AckAll, Checksum: true,
	}
	frame, err := full.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		frame []byte
		fails bool
	}{
		{"nothing", unhex(t, messageHeader), false},
		{"plain", []byte("plain"), true},
		{"malformed behind fields", unhex(t, messageHeader, "120161", "4a030a0162", "1aff"), true},
	} {
		m := envelope.Message{}
		if err := m.Unmarshal(frame); err != nil {
			t.Fatal(err)
		}
		room := m.Headers
		if err := m.Unmarshal(c.frame); (err != nil) != c.fails {
			t.Fatalf("%s: %v", c.name, err)
		}
		want := envelope.Message{Headers: []envelope.Header{}}
		if !c.fails {
			want.Expect = envelope.ExpectOffset(0)
		}
		if diff := cmp.Diff(want, m, exactly()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if slices.ContainsFunc(room, func(h envelope.Header) bool { return h.Name != nil || h.Value != nil }) {
			t.Errorf("%s: headers of the frame before are kept alive", c.name)
		}
	}
}

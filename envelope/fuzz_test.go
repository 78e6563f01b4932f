package envelope_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/envelope"
)

// reseal makes a frame out of any bytes: it writes magic, version and type over their beginning, leaves header length and
// flags as they are, and makes the CRC right. That lets more of them through.
func reseal(b []byte, frameType byte) []byte {
	frame := bytes.Clone(b)
	if len(frame) < 8 {
		return frame
	}
	copy(frame, "\xB9\x0E\x43\xB4\x00")
	frame[7] = frameType
	if frame[5] == 12 && len(frame) >= 12 {
		binary.BigEndian.PutUint32(frame[8:], crc32.Checksum(frame[12:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return frame
}

func FuzzParseMessage(f *testing.F) {
	all := readVectors(f)
	for _, v := range all.Messages {
		f.Add([]byte(v.Frame))
	}
	for _, v := range all.Malformed {
		f.Add([]byte(v.Frame))
	}
	o := newOracle(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		checkMessage(t, o, b)
		checkMessage(t, o, reseal(b, 0))
	})
}

// checkMessage holds Parse against the oracle, and reads again what it writes of it.
func checkMessage(t *testing.T, o oracle, frame []byte) {
	t.Helper()
	before := bytes.Clone(frame)
	m, err := envelope.Parse(frame)
	if !bytes.Equal(before, frame) {
		t.Fatal("Parse wrote into the frame")
	}
	if err != nil {
		if !isKnown(err) {
			t.Fatalf("error of no kind: %v", err)
		}
		if errors.Is(err, envelope.ErrMalformed) && len(frame) >= 8 && frame[5] >= 8 && int(frame[5]) <= len(frame) && frame[6]&1 == 0 {
			if m, err := o.parse(frame[frame[5]:]); err == nil && len(m.Headers) <= envelope.MaxHeaders {
				t.Fatalf("Parse refuses what protobuf reads: %+v", m)
			}
		}
		return
	}
	want, err := o.parse(frame[frame[5]:])
	if err != nil {
		t.Fatalf("Parse reads what protobuf refuses: %v", err)
	}
	want.Checksum = frame[6]&1 != 0
	if diff := cmp.Diff(want, m, exactly()); diff != "" {
		t.Fatalf("Parse and protobuf differ (-protobuf +Parse):\n%s", diff)
	}
	again, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	read, err := envelope.Parse(again)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	if diff := cmp.Diff(m, read, upToEmpty()); diff != "" {
		t.Fatalf("round trip (-want +got):\n%s", diff)
	}
	if (m.Key == nil) != (read.Key == nil) || (m.Value == nil) != (read.Value == nil) {
		t.Fatalf("round trip: none and empty mistaken: %+v, then %+v", m, read)
	}
}

func FuzzParseAck(f *testing.F) {
	all := readVectors(f)
	for _, v := range all.Acks {
		f.Add([]byte(v.Frame))
	}
	for _, v := range all.Malformed {
		f.Add([]byte(v.Frame))
	}
	refused := envelope.Ack{Stream: []byte("s"), Error: envelope.FirstExtension, Reason: []byte("full")}
	frame, err := refused.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	o := newOracle(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		checkAck(t, o, b)
		checkAck(t, o, reseal(b, 1))
	})
}

func checkAck(t *testing.T, o oracle, frame []byte) {
	t.Helper()
	before := bytes.Clone(frame)
	a, err := envelope.ParseAck(frame)
	if !bytes.Equal(before, frame) {
		t.Fatal("ParseAck wrote into the frame")
	}
	if err != nil {
		if !isKnown(err) {
			t.Fatalf("error of no kind: %v", err)
		}
		if errors.Is(err, envelope.ErrMalformed) && len(frame) >= 8 && frame[5] >= 8 && int(frame[5]) <= len(frame) && frame[6]&1 == 0 {
			if a, err := o.parseAck(frame[frame[5]:]); err == nil {
				t.Fatalf("ParseAck refuses what protobuf reads: %+v", a)
			}
		}
		return
	}
	want, err := o.parseAck(frame[frame[5]:])
	if err != nil {
		t.Fatalf("ParseAck reads what protobuf refuses: %v", err)
	}
	want.Checksum = frame[6]&1 != 0
	if diff := cmp.Diff(want, a, exactly()); diff != "" {
		t.Fatalf("ParseAck and protobuf differ (-protobuf +ParseAck):\n%s", diff)
	}
	again, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	read, err := envelope.ParseAck(again)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	if diff := cmp.Diff(a, read, upToEmpty()); diff != "" {
		t.Fatalf("round trip (-want +got):\n%s", diff)
	}
}

package envelope_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/envelope"
)

// interfaces.md 3.10: error numbers from 100 on, and a reason in field 100.
func TestNegativeAckWithReason(t *testing.T) {
	want := envelope.Ack{Stream: []byte("s"), Error: envelope.FirstExtension + 5, Reason: []byte("full")}
	frame := unhex(t, ackHeader, "0a0173", "5069", "a206"+"0466756c6c")
	got, err := envelope.ParseAck(frame)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, exactly()); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	if written, err := want.Marshal(); err != nil || !bytes.Equal(written, frame) {
		t.Errorf("written %x, %v\nwant    %x", written, err, frame)
	}
}

func TestAckErr(t *testing.T) {
	stored := envelope.Ack{Stream: []byte("s"), Offset: 3}
	if err := stored.Err(); err != nil {
		t.Errorf("an ack is an error: %v", err)
	}
	for _, c := range []struct {
		code   envelope.AckError
		reason string
		want   string
	}{
		{envelope.UnknownError, "", `envelope: message refused by stream "s": unknown error`},
		{envelope.IncorrectOffset, "", `envelope: message refused by stream "s": incorrect expected offset`},
		{envelope.TooLarge, "", `envelope: message refused by stream "s": message too large`},
		{envelope.EncryptionFailed, "", `envelope: message refused by stream "s": encryption failed`},
		{envelope.IncorrectOffset, "next is 7", `envelope: message refused by stream "s": incorrect expected offset: "next is 7"`},
		{100, "resume it", `envelope: message refused by stream "s": partition paused: "resume it"`},
		{101, "", `envelope: message refused by stream "s": partition read-only`},
		{102, "", `envelope: message refused by stream "s": disk full`},
		{103, "", `envelope: message refused by stream "s": too much waits for the disk`},
		{104, "", `envelope: message refused by stream "s": broker stopping or partition failed`},
		{105, "", `envelope: message refused by stream "s": error 105`},
		{-1, "", `envelope: message refused by stream "s": error -1`},
	} {
		a := envelope.Ack{Stream: []byte("s"), Error: c.code, Reason: []byte(c.reason)}
		err := a.Err()
		if !errors.Is(err, envelope.ErrRefused) || err.Error() != c.want {
			t.Errorf("error %d: %v, want %s", c.code, err, c.want)
		}
	}
}

// The numbers of refusals are on wires and in the programs of others: none is ever given again.
func TestNumbersOfRefusals(t *testing.T) {
	for number, name := range map[int32]envelope.AckError{
		0: envelope.NoError, 1: envelope.UnknownError, 2: envelope.IncorrectOffset, 3: envelope.TooLarge, 4: envelope.EncryptionFailed,
		100: envelope.Paused, 101: envelope.ReadOnly, 102: envelope.DiskFull, 103: envelope.Overloaded, 104: envelope.Unavailable,
	} {
		if int32(name) != number {
			t.Errorf("%v is %d, want %d", name, int32(name), number)
		}
	}
}

func TestAckTooLarge(t *testing.T) {
	a := envelope.Ack{Reason: make([]byte, envelope.MaxSize)}
	if dst, err := a.Append([]byte("before")); !errors.Is(err, envelope.ErrTooLarge) || string(dst) != "before" {
		t.Errorf("%d bytes, %v", len(dst), err)
	}
}

func TestMalformedAcks(t *testing.T) {
	for _, v := range readVectors(t).Malformed {
		if v.Error == "unsupported" || len(v.Frame) < 8 {
			continue
		}
		frame := bytes.Clone(v.Frame)
		frame[7] = 1
		a, err := envelope.ParseAck(frame)
		// Field 9 is the headers of a message, a number in an ack: there it is unknown, and skipped.
		if bytes.Equal(frame[8:min(10, len(frame))], []byte{0x4a, 2}) {
			continue
		}
		if !errors.Is(err, sentinels()[v.Error]) {
			t.Errorf("%s: error %v, want %s", v.Name, err, v.Error)
		}
		if diff := cmp.Diff(envelope.Ack{}, a, exactly()); diff != "" {
			t.Errorf("%s: an error with an ack (-want +got):\n%s", v.Name, diff)
		}
	}
}

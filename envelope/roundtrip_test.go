package envelope_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/envelope"
)

// source draws from a seed.
type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 0))} }

// bytes are none, empty, a few of any value, or more than a one-byte length holds.
func (s source) bytes() []byte {
	switch s.IntN(5) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return make([]byte, 128+s.IntN(300))
	default:
		b := make([]byte, 1+s.IntN(20))
		for i := range b {
			b[i] = byte(s.Uint32())
		}
		return b
	}
}

// number has any number of bits, and any sign.
func (s source) number() int64 { return int64(s.Uint64()) >> s.IntN(64) }

func (s source) message() envelope.Message {
	m := envelope.Message{
		Key: s.bytes(), Value: s.bytes(), AckInbox: s.bytes(), CorrelationID: s.bytes(),
		AckPolicy: envelope.AckPolicy(s.number()), Expect: envelope.ExpectOffset(s.number()), Checksum: s.IntN(2) == 0,
	}
	for range s.IntN(4) {
		m.Headers = append(m.Headers, envelope.Header{Name: s.bytes(), Value: s.bytes()})
	}
	return m
}

func (s source) ack() envelope.Ack {
	return envelope.Ack{
		Stream: s.bytes(), PartitionSubject: s.bytes(), Subject: s.bytes(), Offset: s.number(), AckInbox: s.bytes(),
		CorrelationID: s.bytes(), AckPolicy: envelope.AckPolicy(s.number()), ReceptionTime: s.number(), CommitTime: s.number(),
		Error: envelope.AckError(s.number()), Reason: s.bytes(), Checksum: s.IntN(2) == 0,
	}
}

// What is written is read as it was, by the protobuf runtime as well, and fills exactly the room made for it.
func TestMessageRoundTrip(t *testing.T) {
	o := newOracle(t)
	for seed := range uint64(3000) {
		want := newSource(seed).message()
		frame, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := envelope.Parse(frame)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, got, upToEmpty()); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
		if (want.Key == nil) != (got.Key == nil) || (want.Value == nil) != (got.Value == nil) {
			t.Fatalf("seed %d: none and empty mistaken", seed)
		}
		checkMessage(t, o, frame)
	}
}

func TestAckRoundTrip(t *testing.T) {
	o := newOracle(t)
	for seed := range uint64(3000) {
		want := newSource(seed).ack()
		frame, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := envelope.ParseAck(frame)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, got, upToEmpty()); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
		checkAck(t, o, frame)
	}
}

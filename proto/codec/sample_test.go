package codec_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// source makes random values, the same ones for the same seed.
type source struct {
	*rand.Rand
}

func newSource(seed int) source {
	return source{rand.New(rand.NewPCG(uint64(seed), 0))}
}

func (s source) chance() bool { return s.IntN(2) == 0 }

// number is of any size in bits.
func (s source) number() uint64 { return s.Uint64() >> s.IntN(64) }

func (s source) bytes(limit int) []byte {
	b := make([]byte, s.IntN(limit+1))
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return b
}

func (s source) text() string {
	text := []rune("orders.eu-1 Aufträge 注文")
	return string(text[:s.IntN(len(text)+1)])
}

func (s source) record() *trestlev1.Record {
	r := &trestlev1.Record{
		Value:     s.bytes(300),
		Subject:   s.bytes(9),
		Reply:     s.bytes(9),
		Tombstone: s.chance(),
		SchemaId:  uint32(s.number()),
	}
	if s.chance() {
		r.Key = s.bytes(9)
	}
	for range s.IntN(3) {
		r.Headers = append(r.Headers, &trestlev1.Header{Name: s.bytes(9), Value: s.bytes(9)})
	}
	return r
}

func (s source) records() *trestlev1.Records {
	r := &trestlev1.Records{Subject: s.bytes(9)}
	for range s.IntN(4) {
		r.Records = append(r.Records, s.record())
	}
	return r
}

func (s source) publishRequest() *trestlev1.PublishRequest {
	r := &trestlev1.PublishRequest{Stream: s.text(), Ack: trestlev1.AckPolicy(s.IntN(4))}
	if s.chance() {
		r.Partition = proto.Int32(int32(s.Uint32()))
	}
	if s.chance() {
		r.Records = s.records()
	}
	if s.chance() {
		r.ExpectedNextOffset = proto.Int64(int64(s.number()))
	}
	if s.chance() {
		r.ProducerId, r.ProducerSequence, r.ProducerEpoch = s.number(), uint32(s.number()), uint32(s.number())
	}
	if s.chance() {
		r.RecordsCrc = proto.Uint32(s.Uint32())
	}
	if s.chance() {
		r.Partitions = uint32(s.number())
	}
	return r
}

func (s source) messages() []*trestlev1.Message {
	var messages []*trestlev1.Message
	for range s.IntN(4) {
		m := &trestlev1.Message{Offset: int64(s.number()), Time: int64(s.number()), LeaderEpoch: s.number()}
		if s.chance() {
			m.Record = s.record()
		} else {
			m.Gap = &trestlev1.Gap{Cause: trestlev1.GapCause_GAP_CAUSE_RESTART, AtLeast: proto.Uint64(s.number())}
		}
		messages = append(messages, m)
	}
	return messages
}

// batches are stored batches, one element each. Among them are batches of less and of more than 127 bytes, whose
// shortest lengths differ.
func (s source) batches(n int) [][]byte {
	var batches [][]byte
	for seq := range n {
		var b []byte
		if s.IntN(4) == 0 {
			b = batch.AppendControl(nil, &batch.Control{Kind: batch.ControlEpoch, Epoch: s.number()})
		} else {
			var builder batch.Builder
			builder.Reset([]byte("orders"))
			for range 1 + s.IntN(4) {
				builder.Append(&batch.Record{Value: s.bytes(300)})
			}
			b = slices.Clone(builder.Finish(0))
		}
		stamp := batch.Stamp{Seq: uint64(seq) + 1, BaseOffset: int64(seq) * 4, LeaderEpoch: 1, Time: 1, PartitionTag: 7}
		stamp.Put(b)
		batches = append(batches, b)
	}
	return batches
}

// shortest is the stored batch with its length as short as it can be.
func shortest(stored []byte) []byte {
	content := stored[5:]
	b := binary.AppendUvarint([]byte{batch.Tag}, uint64(len(content)))
	return append(b, content...)
}

// longest is the stored batch with its length in as many bytes as a varint may have.
func longest(stored []byte) []byte {
	content := stored[5:]
	b := []byte{batch.Tag}
	for v, i := uint64(len(content)), 0; i < 9; v, i = v>>7, i+1 {
		b = append(b, byte(v)|0x80)
	}
	return append(append(b, 0), content...)
}

// byHand is r as the message of this package.
func byHand(t testing.TB, r *trestlev1.PublishRequest) *codec.PublishRequest {
	t.Helper()
	h := &codec.PublishRequest{
		Stream:             r.Stream,
		Partition:          r.Partition,
		Ack:                r.Ack,
		ExpectedNextOffset: r.ExpectedNextOffset,
		ProducerID:         r.ProducerId,
		ProducerEpoch:      r.ProducerEpoch,
		ProducerSequence:   r.ProducerSequence,
		RecordsCRC:         r.RecordsCrc,
		Partitions:         r.Partitions,
	}
	if r.Records != nil {
		h.Records = append([]byte{}, encode(t, r.Records)...)
	}
	for unknown := r.ProtoReflect().GetUnknown(); len(unknown) > 0; {
		number, _, n := protowire.ConsumeField(unknown)
		if n < 0 {
			t.Fatalf("generated code kept an unknown field that cannot be read: %x", unknown)
		}
		h.Unknown, unknown = max(h.Unknown, int32(number)), unknown[n:]
	}
	return h
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatalf("encoding %T: %v", m, err)
	}
	return b
}

func marshal(t testing.TB, m any) []byte {
	t.Helper()
	slice, err := codec.New().Marshal(m)
	if err != nil {
		t.Fatalf("Marshal(%T): %v", m, err)
	}
	return slice.Materialize()
}

// unmarshal hands b over in several buffers, as gRPC does.
func unmarshal(b []byte, m any) error {
	var slice mem.BufferSlice
	for part := range slices.Chunk(b, max(1, len(b)/3)) {
		slice = append(slice, mem.SliceBuffer(part))
	}
	return codec.New().Unmarshal(slice, m)
}

// elements steps through a run of batches and fails where one is not in the form that is stored.
func elements(t testing.TB, run []byte) [][]byte {
	t.Helper()
	var all [][]byte
	for len(run) > 0 {
		size, err := batch.Size(run)
		if err != nil || size > len(run) {
			t.Fatalf("batch.Size = %d, %v with %d bytes left", size, err, len(run))
		}
		all = append(all, run[:size])
		run = run[size:]
	}
	return all
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

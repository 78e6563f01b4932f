package codec

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Numbers of the fields of trestle.v1.PublishRequest.
const (
	publishStream             = 1
	publishPartition          = 2
	publishRecords            = 3
	publishAck                = 4
	publishExpectedNextOffset = 5
	publishProducerID         = 6
	publishProducerSequence   = 7
	publishRecordsCRC         = 8
	publishProducerEpoch      = 9
	publishPartitions         = 10
)

// errStreamName is what protobuf asks of every string.
var errStreamName = errors.New("stream is not valid UTF-8")

// PublishRequest is trestle.v1.PublishRequest with its records as they were encoded.
type PublishRequest struct {
	// Stream must be valid UTF-8.
	Stream string
	// Partition is nil where the broker is to choose.
	Partition *int32
	// Records are the bytes of an encoded trestle.v1.Records; nil: absent.
	//
	// Sent, they go out as they are: they must not change after the call either. Received, they belong to whoever holds
	// them, and have not been checked: batch.CheckRecords does that. A field that came in several pieces is those pieces
	// one behind the other, which is what protobuf means by it.
	Records []byte
	// Framed is Records, received in one piece, behind batch.HeaderSize bytes that are nobody's: batch.Frame makes a batch of
	// it. nil: there was no such room, or so much else in the message that it is not worth keeping.
	Framed []byte
	// Ack is the policy; unspecified means all.
	Ack trestlev1.AckPolicy
	// ExpectedNextOffset is nil where any offset will do.
	ExpectedNextOffset *int64
	// ProducerID is 0 where the batch has no place in a producer's sequence.
	ProducerID       uint64
	ProducerSequence uint32
	ProducerEpoch    uint32
	// Partitions is how many the stream had for whoever chose Partition by a key or an id; 0: it was not chosen so.
	Partitions uint32
	// RecordsCRC is the CRC-32C of Records; nil: not known.
	RecordsCRC *uint32
	// Unknown is the number of a field that came and is not known here; 0: none. It is not sent.
	Unknown int32
}

func (r *PublishRequest) marshal() (mem.BufferSlice, error) {
	if !utf8.ValidString(r.Stream) {
		return nil, fmt.Errorf("publish request: %w", errStreamName)
	}
	b := make([]byte, 0, r.sizeLimit())
	if r.Stream != "" {
		b = protowire.AppendTag(b, publishStream, protowire.BytesType)
		b = protowire.AppendString(b, r.Stream)
	}
	if r.Partition != nil {
		b = appendVarint(b, publishPartition, uint64(int64(*r.Partition)))
	}
	if r.Records != nil {
		b = protowire.AppendTag(b, publishRecords, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(r.Records)))
	}
	head := len(b)
	b = appendNonZero(b, publishAck, uint64(int64(r.Ack)))
	if r.ExpectedNextOffset != nil {
		b = appendVarint(b, publishExpectedNextOffset, uint64(*r.ExpectedNextOffset))
	}
	b = appendNonZero(b, publishProducerID, r.ProducerID)
	b = appendNonZero(b, publishProducerSequence, uint64(r.ProducerSequence))
	if r.RecordsCRC != nil {
		b = protowire.AppendTag(b, publishRecordsCRC, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, *r.RecordsCRC)
	}
	b = appendNonZero(b, publishProducerEpoch, uint64(r.ProducerEpoch))
	b = appendNonZero(b, publishPartitions, uint64(r.Partitions))
	return pieces(b[:head], r.Records, b[head:]), nil
}

// sizeLimit is as many bytes as the request can have without the content of its records: no field but the stream's is
// longer than the longest varint.
func (r *PublishRequest) sizeLimit() int {
	return publishPartitions*varintFieldLimit + len(r.Stream)
}

func (r *PublishRequest) unmarshal(b []byte) error { return r.unmarshalAt(b, 0) }

func (r *PublishRequest) unmarshalAt(whole []byte, from int) error {
	*r = PublishRequest{}
	var records merged
	b, end := whole[from:], 0
	for at := 0; at < len(b); {
		f, n, err := nextField(b[at:])
		if err != nil {
			return fmt.Errorf("publish request: byte %d: %w", at, err)
		}
		if f.place == (place{publishRecords, protowire.BytesType}) {
			err = records.add(f.bytes())
			end = from + at + n // of the last piece
		} else {
			err = r.set(&f)
		}
		if err != nil {
			return fmt.Errorf("publish request: field %d at byte %d: %w", f.number, at, err)
		}
		at += n
	}
	r.Records = records.bytes
	start := end - len(r.Records) - batch.HeaderSize
	if besides := cap(whole) - len(r.Records); records.count == 1 && start >= 0 && besides <= batch.HeaderSize+maxBesides {
		r.Framed = whole[start:end:end]
	}
	return nil
}

// maxBesides is how many bytes of a message may be kept for the sake of its records, in which nobody has counted them.
const maxBesides = 1 << 10

func (r *PublishRequest) set(f *field) error {
	switch f.place {
	case place{publishStream, protowire.BytesType}:
		name := f.bytes()
		if !utf8.Valid(name) {
			return errStreamName
		}
		r.Stream = string(name)
	case place{publishPartition, protowire.VarintType}:
		r.Partition = new(int32(f.varint()))
	case place{publishAck, protowire.VarintType}:
		r.Ack = trestlev1.AckPolicy(f.varint())
	case place{publishExpectedNextOffset, protowire.VarintType}:
		r.ExpectedNextOffset = new(int64(f.varint()))
	case place{publishProducerID, protowire.VarintType}:
		r.ProducerID = f.varint()
	case place{publishProducerSequence, protowire.VarintType}:
		r.ProducerSequence = uint32(f.varint())
	case place{publishProducerEpoch, protowire.VarintType}:
		r.ProducerEpoch = uint32(f.varint())
	case place{publishPartitions, protowire.VarintType}:
		r.Partitions = uint32(f.varint())
	case place{publishRecordsCRC, protowire.Fixed32Type}:
		r.RecordsCRC = new(f.fixed32())
	default:
		r.Unknown = max(r.Unknown, int32(f.number))
	}
	return nil
}

// merged is a message that came in pieces. Protobuf merges them, which their encodings do when one is put behind the
// other, as long as each ends where a field ends: halves of a field are an error, not a field.
type merged struct {
	bytes []byte // one piece aliases the message it came in, several are a copy; nil: none
	count int
}

func (m *merged) add(piece []byte) error {
	m.count++
	if m.count == 1 {
		m.bytes = piece
		return nil
	}
	if m.count == 2 {
		if err := checkFields(m.bytes); err != nil {
			return fmt.Errorf("first piece: %w", err)
		}
	}
	if err := checkFields(piece); err != nil {
		return fmt.Errorf("piece %d: %w", m.count, err)
	}
	m.bytes = append(m.bytes, piece...)
	return nil
}

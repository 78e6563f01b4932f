package codec

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the fields of trestle.v1.PublishStreamRequest.
const (
	publishStreamID    = 1
	publishStreamBatch = 2
)

// PublishStreamRequest is trestle.v1.PublishStreamRequest with the records of its batch as they were encoded.
type PublishStreamRequest struct {
	ID uint64
	// Batch is nil where there is none. A batch that came in several pieces is refused: nobody sends that.
	Batch *PublishRequest
	// Unknown is the number of a field that came and is not known here; 0: none. It is not sent.
	Unknown int32
}

func (r *PublishStreamRequest) marshal() (mem.BufferSlice, error) {
	head := appendNonZero(make([]byte, 0, 3*varintFieldLimit), publishStreamID, r.ID)
	if r.Batch == nil {
		return pieces(head), nil
	}
	content, err := r.Batch.marshal()
	if err != nil {
		return nil, fmt.Errorf("publish stream request %d: %w", r.ID, err)
	}
	head = protowire.AppendTag(head, publishStreamBatch, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(content.Len()))
	return append(pieces(head), content...), nil
}

func (r *PublishStreamRequest) unmarshal(b []byte) error { return r.unmarshalAt(b, 0) }

func (r *PublishStreamRequest) unmarshalAt(whole []byte, from int) error {
	*r = PublishStreamRequest{}
	b := whole[from:]
	for at := 0; at < len(b); {
		f, n, err := nextField(b[at:])
		if err != nil {
			return fmt.Errorf("publish stream request: byte %d: %w", at, err)
		}
		switch f.place {
		case place{publishStreamID, protowire.VarintType}:
			r.ID = f.varint()
		case place{publishStreamBatch, protowire.BytesType}:
			if r.Batch != nil {
				return fmt.Errorf("publish stream request: byte %d: a second batch", at)
			}
			r.Batch = &PublishRequest{}
			end := from + at + n
			if err := r.Batch.unmarshalAt(whole[:end], end-len(f.bytes())); err != nil {
				return fmt.Errorf("publish stream request: byte %d: %w", at, err)
			}
		default:
			r.Unknown = max(r.Unknown, int32(f.number))
		}
		at += n
	}
	return nil
}

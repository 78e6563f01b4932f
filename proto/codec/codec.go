// Package codec is the gRPC codec by which batches travel without being decoded.
//
// It is protobuf's own codec for all messages but those of this package: SubscribeResponse, whose batches are the
// bytes of a segment file, and PublishRequest, whose records are the bytes that a batch will have as its body. On the
// wire both are the messages of trestle.v1 of the same names; who is at the other end needs generated code only.
//
// Field numbers and meanings are those of the generated messages, and so is what is accepted: fields in any order, the
// last value of a field that occurs again, a field of an unexpected wire type passed over like an unknown one. Two
// things differ: unknown fields are not kept, and what lies inside batches and records is not looked at.
package codec

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/trestlehq/trestle/proto/batch"
)

// New returns the codec, for grpc.ForceServerCodecV2 and grpc.ForceCodecV2. It is safe for concurrent use. It registers
// nothing: connections that do not ask for it are served as before.
func New() encoding.CodecV2 {
	if ordinary := encoding.GetCodecV2(proto.Name); ordinary != nil {
		return codec{ordinary: ordinary}
	}
	return codec{ordinary: firstInterface{encoding.GetCodec(proto.Name)}}
}

// codec goes by hand for the messages of this package and leaves all others to ordinary.
type codec struct {
	ordinary encoding.CodecV2
}

// message is a message that goes by hand. What marshal returns may alias the message, what unmarshal sets does alias b.
type message interface {
	marshal() (mem.BufferSlice, error)
	unmarshal(b []byte) error
}

// framed is a message with records that are to become a batch: it is received with room for a batch's header before it. The
// message is whole[from:]; what lies before is free.
type framed interface {
	message
	unmarshalAt(whole []byte, from int) error
}

// Marshal encodes v. The bytes of a message of this package are not copied: gRPC may still be writing them after the
// call that sent the message has returned, so nobody may change them any more, or not before SubscribeResponse.Memory is free.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(message); ok {
		return m.marshal()
	}
	return c.ordinary.Marshal(v)
}

// Unmarshal decodes data into v. A message of this package gets bytes of its own, made in one piece and never given
// back to a pool, which it and whatever is cut out of it may alias for as long as they like.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if checked, ok := v.(*Checked); ok {
		checked.Err = c.Unmarshal(data, checked.Message)
		return nil
	}
	switch m := v.(type) {
	case framed:
		whole := make([]byte, batch.HeaderSize+data.Len())
		data.CopyTo(whole[batch.HeaderSize:])
		return m.unmarshalAt(whole, batch.HeaderSize)
	case message:
		return m.unmarshal(data.Materialize())
	default:
		return c.ordinary.Unmarshal(data, v)
	}
}

// Checked receives into Message, and says in Err what is wrong with the bytes. A server that receives into the message itself
// has the call ended by gRPC, with INTERNAL, which says that the server is at fault.
type Checked struct {
	Message any
	Err     error
}

// Name is that of protobuf's own codec: peers cannot tell the two apart.
func (c codec) Name() string { return proto.Name }

// firstInterface makes a codec of gRPC's first interface one of the second. Some programs register such a one for
// protobuf, which then is the only one there is under that name.
type firstInterface struct {
	encoding.Codec
}

func (c firstInterface) Marshal(v any) (mem.BufferSlice, error) {
	b, err := c.Codec.Marshal(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (c firstInterface) Unmarshal(data mem.BufferSlice, v any) error {
	return c.Codec.Unmarshal(data.Materialize(), v)
}

package codec

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Numbers of the fields of trestle.v1.SubscribeResponse.
const (
	subscribeBatches       = 1
	subscribeHighWatermark = 2
	subscribeLogStart      = 3
	subscribeMessages      = 4
)

// SubscribeResponse is trestle.v1.SubscribeResponse with its batches as they lie in a segment file.
type SubscribeResponse struct {
	// Batches is a run of whole batches, one behind the other, in the form that package batch reads; nil: none.
	//
	// Sent, it goes out as it is: it must hold nothing but whole batches, and not change after the call either, but see
	// Memory. Received, it belongs to whoever holds it, and has not been checked: package batch does that.
	Batches []byte
	// Memory is what Batches lie in, if that is to be used again; nil: they are left alone. Marshal takes a reference, which
	// gRPC frees when it has written the bytes or dropped them. Whoever sends has one of his own, and frees it after the call
	// that sends, and any who look at the message there, are done with it. Received, it is nil.
	Memory mem.Buffer
	// HighWatermark is the exclusive end of what is committed.
	HighWatermark int64
	// LogStart is the oldest offset that can be read.
	LogStart int64
	// Messages stand instead of batches where the reader asked for that.
	Messages []*trestlev1.Message
}

func (r *SubscribeResponse) marshal() (mem.BufferSlice, error) {
	tail := make([]byte, 0, 2*varintFieldLimit)
	tail = appendNonZero(tail, subscribeHighWatermark, uint64(r.HighWatermark))
	tail = appendNonZero(tail, subscribeLogStart, uint64(r.LogStart))
	for _, m := range r.Messages {
		size := proto.Size(m)
		tail = slices.Grow(tail, protowire.SizeTag(subscribeMessages)+protowire.SizeBytes(size))
		tail = protowire.AppendTag(tail, subscribeMessages, protowire.BytesType)
		tail = protowire.AppendVarint(tail, uint64(size))
		var err error
		if tail, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(tail, m); err != nil {
			return nil, fmt.Errorf("subscribe response: message at offset %d: %w", m.GetOffset(), err)
		}
	}
	if r.Memory == nil {
		return pieces(r.Batches, tail), nil
	}
	r.Memory.Ref()
	return append(mem.BufferSlice{r.Memory}, pieces(tail)...), nil
}

// pieces are the parts that are not empty, uncopied.
func pieces(parts ...[]byte) mem.BufferSlice {
	slice := make(mem.BufferSlice, 0, len(parts))
	for _, part := range parts {
		if len(part) > 0 {
			slice = append(slice, mem.SliceBuffer(part))
		}
	}
	return slice
}

func (r *SubscribeResponse) unmarshal(b []byte) error {
	*r = SubscribeResponse{}
	batches := run{message: b}
	for at := 0; at < len(b); {
		f, n, err := nextField(b[at:])
		if err != nil {
			return fmt.Errorf("subscribe response: byte %d: %w", at, err)
		}
		switch f.place {
		case place{subscribeBatches, protowire.BytesType}:
			err = batches.add(at, at+n, f.bytes())
		case place{subscribeHighWatermark, protowire.VarintType}:
			r.HighWatermark = int64(f.varint())
		case place{subscribeLogStart, protowire.VarintType}:
			r.LogStart = int64(f.varint())
		case place{subscribeMessages, protowire.BytesType}:
			m := new(trestlev1.Message)
			err = proto.Unmarshal(f.bytes(), m)
			r.Messages = append(r.Messages, m)
		}
		if err != nil {
			return fmt.Errorf("subscribe response: field %d at byte %d: %w", f.number, at, err)
		}
		at += n
	}
	r.Batches = batches.bytes()
	return nil
}

// run gathers the batches of a message. While they lie one behind the other in the form that a segment file has, which
// is how a broker sends them, the run is a stretch of the message; from the first that does not on, it is a copy.
type run struct {
	message  []byte
	from, to int    // the stretch; from == to: no batch yet
	copied   []byte // nil: the run is the stretch
}

// add adds the batch that the message has between from and to, tag and length included.
//
// Who takes a message apart and puts it together again writes the lengths of batches in the shortest form. They were
// padded to four bytes when the batch was made, always, and the header CRC covers them so: padding them again restores
// the bytes that the CRC was made of, as long as the inside of the batch stayed as it was. If it did not, because
// generated code encoded it anew and left zero fields out, the batch fails its CRC.
func (r *run) add(from, to int, content []byte) error {
	if len(content) > batch.MaxPaddedLength {
		return fmt.Errorf("batch of %d bytes: the largest has %d", len(content), batch.MaxPaddedLength)
	}
	stored := r.message[from:to]
	_, padded := batch.PaddedLength(stored[1:])
	asStored := padded && stored[0] == batch.Tag
	if asStored && r.copied == nil && (r.from == r.to || r.to == from) {
		if r.from == r.to {
			r.from = from
		}
		r.to = to
		return nil
	}
	if r.copied == nil {
		r.copied = append(make([]byte, 0, len(r.message)), r.message[r.from:r.to]...)
	}
	if asStored {
		r.copied = append(r.copied, stored...)
		return nil
	}
	var prefix [5]byte
	prefix[0] = batch.Tag
	batch.PutPaddedLength(prefix[1:], len(content))
	r.copied = append(append(r.copied, prefix[:]...), content...)
	return nil
}

func (r *run) bytes() []byte {
	switch {
	case r.copied != nil:
		return r.copied
	case r.from == r.to:
		return nil
	}
	return r.message[r.from:r.to:r.to]
}

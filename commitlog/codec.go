package commitlog

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/proto/batch"
)

// Codec packs the bodies of batches; zstd is the one that the format knows. It is injected, because this package uses
// nothing but the standard library. It is safe for concurrent use.
type Codec interface {
	// Encode appends the packed form of src to dst.
	Encode(dst, src []byte) []byte
	// Decode appends what src was packed from to dst, at most limit bytes.
	Decode(dst, src []byte, limit int) ([]byte, error)
}

// ErrNoCodec means that a batch is packed and there is no codec to unpack it with.
var ErrNoCodec = errors.New("batch is packed and there is no codec")

// leastPacked is the size in bytes of a body below which packing it is not tried.
const leastPacked = 256

// pack appends the batch b to dst with its body packed, or as it is where that saves less than an eighth.
func pack(dst, b []byte, codec Codec) ([]byte, error) {
	h, err := batch.ParseHeader(b)
	if err != nil {
		return dst, err
	}
	if h.Body != batch.BodyRecords || h.Size-h.HeaderSize < leastPacked {
		return append(dst, b...), nil
	}
	packed := codec.Encode(nil, h.BodyOf(b))
	if len(packed) > (h.Size-h.HeaderSize)*7/8 {
		return append(dst, b...), nil
	}
	h.Attributes = h.Attributes&^batch.CodecMask | batch.Zstd
	h.Body, h.BodyCRC = batch.BodyPacked, batch.Checksum(packed)
	return batch.Append(dst, &h, packed), nil
}

// Unpack returns the batch b, which gave h, with its records unpacked: b itself if they are not packed, else a copy in dst
// with the same place in the log.
func Unpack(dst []byte, h *batch.Header, b []byte, codec Codec) ([]byte, error) {
	if h.Body != batch.BodyPacked {
		return b[:h.Size], nil
	}
	if codec == nil {
		return nil, fmt.Errorf("offset %d: %w", h.BaseOffset, ErrNoCodec)
	}
	body, err := codec.Decode(nil, h.BodyOf(b), batch.MaxSize-batch.HeaderSize)
	if err != nil {
		return nil, fmt.Errorf("offset %d: %w: unpacking: %w", h.BaseOffset, batch.ErrCorrupt, err)
	}
	plain := *h
	plain.Attributes &^= batch.CodecMask
	plain.Body, plain.BodyCRC = batch.BodyRecords, batch.Checksum(body)
	return batch.Append(dst, &plain, body), nil
}

package rpc

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
)

// spread chooses partitions for batches that name none: by the key of the first record, else by its message id, else in turn.
type spread struct {
	turn atomic.Uint32
}

// partitionOf is the partition that a request without one goes to, in a stream that has so many. What cannot be read goes anywhere: it is
// refused there.
func (s *spread) partitionOf(req *codec.PublishRequest, partitions int) int32 {
	if partitions < 2 {
		return 0
	}
	var first batch.Record
	if records, err := batch.ParseRecords(req.Records); err == nil {
		if _, ok, err := records.Next(&first); !ok || err != nil {
			return 0
		}
	}
	switch id := first.MessageID(); {
	case first.Key != nil:
		return int32(murmur3(first.Key) % uint32(partitions))
	case id != nil:
		return int32(murmur3(id) % uint32(partitions))
	default:
		return int32(s.turn.Add(1) % uint32(partitions))
	}
}

// murmur3 is MurmurHash3_x86_32 by Austin Appleby, with the seed of the clients' partitioners: 31.
func murmur3(b []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	mix := func(k uint32) uint32 { return bits.RotateLeft32(k*c1, 15) * c2 }
	h, size := uint32(31), uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h^mix(binary.LittleEndian.Uint32(b)), 13)*5 + 0xe6546b64
	}
	var tail uint32
	for i := range b {
		tail |= uint32(b[i]) << (8 * i)
	}
	h ^= mix(tail) ^ size
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

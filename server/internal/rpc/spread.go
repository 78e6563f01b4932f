package rpc

import (
	"sync/atomic"

	"github.com/trestlehq/trestle/metadata/keyhash"
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
		return int32(keyhash.Partition(keyhash.Murmur3(first.Key), partitions))
	case id != nil:
		return int32(keyhash.Partition(keyhash.Murmur3(id), partitions))
	default:
		return int32(s.turn.Add(1) % uint32(partitions))
	}
}

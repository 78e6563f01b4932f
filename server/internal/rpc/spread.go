package rpc

import (
	"fmt"
	"sync/atomic"

	"github.com/trestlehq/trestle/metadata/keyhash"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	"github.com/trestlehq/trestle/server/internal/host"
)

// spread chooses partitions for batches that name none: by the keys of their records, else by their message ids, else in turn.
type spread struct {
	turn atomic.Uint32
}

// partitionOf is the partition that a request without one goes to, in a stream that has so many. Records whose keys or ids
// belong to different partitions cannot go as one batch: ids would not be known again where they were sent once more. A
// record with neither goes along. What cannot be read goes anywhere: it is refused there.
func (s *spread) partitionOf(req *codec.PublishRequest, partitions int) (int32, error) {
	if partitions < 2 {
		return 0, nil
	}
	records, err := batch.ParseRecords(req.Records)
	if err != nil {
		return 0, nil
	}
	var r batch.Record
	chosen, by := int32(-1), 0 // by the record of that number
	for i := 0; ; i++ {
		_, ok, err := records.Next(&r)
		if err != nil {
			return 0, nil
		}
		if !ok {
			break
		}
		switch home := homeOf(&r, partitions); {
		case home < 0 || home == chosen:
		case chosen < 0:
			chosen, by = home, i
		default:
			return 0, &host.InvalidError{Field: "partition", Problem: fmt.Sprintf(
				"is missing, and by their keys or ids record %d belongs to partition %d and record %d to partition %d; send them apart, or name the partition",
				by, chosen, i, home)}
		}
	}
	if chosen < 0 {
		chosen = int32(s.turn.Add(1) % uint32(partitions))
	}
	return chosen, nil
}

// homeOf is the partition that a record belongs to by its key, or without one by its id; -1: it has neither.
func homeOf(r *batch.Record, partitions int) int32 {
	name := r.Key
	if name == nil {
		name = r.MessageID()
	}
	if name == nil {
		return -1
	}
	return int32(keyhash.Partition(keyhash.Murmur3(name), partitions))
}

package client

import (
	"context"
	"math/rand/v2"
	"sync/atomic"

	"github.com/trestlehq/trestle/metadata/keyhash"
	"github.com/trestlehq/trestle/proto/batch"
)

// Partitioner finds the partition of a message: from 0 to partitions - 1. It may be called from many goroutines at once.
type Partitioner interface {
	Partition(m *Message, partitions int) int
}

// ByKey finds the partition by the hash of the key: murmur3 (x86, 32 bits, seed 31) modulo the number of partitions. A
// message without a key goes by the hash of its ID, and one with neither in turn. It is what streams have by default.
func ByKey() Partitioner { return newByHash(keyhash.Murmur3) }

// ByKeyCRC32 is ByKey with CRC-32 (IEEE), as Liftbridge's clients have it, for streams made with KeyHashCRC32.
func ByKeyCRC32() Partitioner { return newByHash(keyhash.CRC32) }

// RoundRobin gives each partition a message in turn, whatever its key, beginning anywhere.
func RoundRobin() Partitioner {
	r := new(inTurn)
	r.last.Store(rand.Uint32())
	return r
}

// byHash finds partitions by a hash of keys.
type byHash struct {
	hash func([]byte) uint32
	rest Partitioner // for messages without a key
}

func newByHash(hash func([]byte) uint32) Partitioner {
	return &byHash{hash: hash, rest: RoundRobin()}
}

// Partition is the hash of the key, or the ID, modulo the number of partitions.
func (b *byHash) Partition(m *Message, partitions int) int {
	key := m.Key
	if key == nil {
		key = m.id()
	}
	if key == nil {
		return b.rest.Partition(m, partitions)
	}
	return keyhash.Partition(b.hash(key), partitions)
}

// inTurn counts through partitions.
type inTurn struct{ last atomic.Uint32 }

// Partition is the one after that of the call before.
func (r *inTurn) Partition(_ *Message, partitions int) int {
	return int(r.last.Add(1) % uint32(partitions))
}

// id is the message's ID, nil if it has none.
func (m *Message) id() []byte {
	for i := range m.Headers {
		if m.Headers[i].Name == batch.MessageIDHeader {
			return m.Headers[i].Value
		}
	}
	return nil
}

// partitionerOf is the partitioner by which the stream was made.
func partitionerOf(hash KeyHash) Partitioner {
	if hash == KeyHashCRC32 {
		return ByKeyCRC32()
	}
	return ByKey()
}

// shape is what is asked once about a stream to find partitions.
type shape struct {
	partitions int
	hash       KeyHash
}

// shape asks for the number of partitions when that is not known to the handle yet. Partitions that are added later are
// for handles made later: keys stay where they are for as long as a handle is used.
func (s *Stream) shape(ctx context.Context) (shape, error) {
	if known := s.known.Load(); known != nil {
		return *known, nil
	}
	info, err := s.Info(ctx)
	if err != nil {
		return shape{}, err
	}
	if len(info.Partitions) == 0 {
		return shape{}, newError(reasonInternal, "find a partition of stream %q: the server says that it has none", s.name)
	}
	known := shape{partitions: len(info.Partitions), hash: info.Config.KeyHash}
	s.known.Store(&known)
	return known, nil
}

// partitionFor is the partition that the partitioner finds.
func (s *Stream) partitionFor(by Partitioner, m *Message, partitions int) (int32, error) {
	n := by.Partition(m, partitions)
	if n < 0 || n >= partitions {
		return 0, newError(reasonInvalidArgument, "publish to stream %q: the partitioner chose partition %d of %d; choose from 0 to %d", s.name, n, partitions, partitions-1)
	}
	return int32(n), nil
}

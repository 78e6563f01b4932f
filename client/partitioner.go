package client

import (
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
func RoundRobin() Partitioner { return newInTurn() }

// byHash finds partitions by a hash of keys.
type byHash struct {
	hash func([]byte) uint32
	rest *inTurn // for messages without a key
}

func newByHash(hash func([]byte) uint32) Partitioner {
	return &byHash{hash: hash, rest: newInTurn()}
}

// Partition is the hash of the key, or the ID, modulo the number of partitions.
func (b *byHash) Partition(m *Message, partitions int) int {
	if partitions == 1 {
		return 0
	}
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

func newInTurn() *inTurn {
	r := new(inTurn)
	r.last.Store(rand.Uint32())
	return r
}

// Partition is the one after that of the call before.
func (r *inTurn) Partition(_ *Message, partitions int) int {
	if partitions == 1 {
		return 0
	}
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

// isOurs is true of the partitioners of this package: they neither wait nor keep a message.
func isOurs(by Partitioner) bool {
	switch by.(type) {
	case *byHash, *inTurn:
		return true
	default:
		return false
	}
}

// partitionFor is the partition that the partitioner finds. Our own do not keep the message, which then costs no memory.
func (s *Stream) partitionFor(by Partitioner, m *Message, partitions int) (int32, error) {
	var n int
	switch by := by.(type) {
	case *byHash:
		n = by.Partition(m, partitions)
	case *inTurn:
		n = by.Partition(m, partitions)
	default:
		asked := *m
		n = by.Partition(&asked, partitions)
	}
	if n < 0 || n >= partitions {
		return 0, newError(reasonInvalidArgument, "publish to stream %q: the partitioner chose partition %d of %d; choose from 0 to %d", s.name, n, partitions, partitions-1)
	}
	return int32(n), nil
}

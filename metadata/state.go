package metadata

import (
	"bytes"
	"iter"

	"github.com/google/uuid"
	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// State is the state of a cluster after one command. It never changes: Apply returns the next one, which shares with it
// what the command left alone, so that a pointer to a State is a snapshot. What its methods return is shared too: do not
// write into slices and messages of it. The methods may be called from any goroutine.
type State struct {
	index          uint64 // raft index of the last command applied
	cluster        Cluster
	nextProducerID uint64
	brokers        *iradix.Tree[*Broker]    // by name
	partitions     *iradix.Tree[*Partition] // by the 16 bytes of the UUID
	placed         *iradix.Tree[struct{}]   // broker name, 0, partition UUID: for every replica
	streams        streamTrees
}

// Cluster is what is one for the whole cluster. The zero Cluster: not made yet.
type Cluster struct {
	UUID uuid.UUID
	Name string
	// Secret authenticates the marks of messages that brokers publish themselves (protocol.md 2.1).
	Secret [32]byte
	// FeatureLevel says which commands and formats may be used (3.10); 0: not made yet.
	FeatureLevel uint32
}

// firstProducerID keeps 0 free for "no producer".
const firstProducerID = 1

// New returns the state before the first command.
func New() *State {
	return &State{
		nextProducerID: firstProducerID,
		brokers:        iradix.New[*Broker](),
		partitions:     iradix.New[*Partition](),
		placed:         iradix.New[struct{}](),
		streams:        newStreamTrees(),
	}
}

// Index is the raft index of the last command applied; 0: none.
func (s *State) Index() uint64 { return s.index }

// Cluster returns what InitCluster and SetFeatureLevel have set.
func (s *State) Cluster() Cluster { return s.cluster }

// Broker returns the broker of that name.
func (s *State) Broker(name string) (Broker, bool) {
	if b, ok := s.brokers.Get([]byte(name)); ok {
		return *b, true
	}
	return Broker{}, false
}

// Brokers returns all brokers in the order of their names, fenced ones too.
func (s *State) Brokers() iter.Seq[Broker] {
	return func(yield func(Broker) bool) {
		it := s.brokers.Root().Iterator()
		for _, b, ok := it.Next(); ok; _, b, ok = it.Next() {
			if !yield(*b) {
				return
			}
		}
	}
}

// Partition returns the partition with that UUID.
func (s *State) Partition(id uuid.UUID) (Partition, bool) {
	if p, ok := s.partitions.Get(id[:]); ok {
		return *p, true
	}
	return Partition{}, false
}

// Partitions returns all partitions in the order of their UUIDs.
func (s *State) Partitions() iter.Seq[Partition] {
	return func(yield func(Partition) bool) {
		it := s.partitions.Root().Iterator()
		for _, p, ok := it.Next(); ok; _, p, ok = it.Next() {
			if !yield(*p) {
				return
			}
		}
	}
}

// PartitionsOn returns the partitions that have a replica on the broker, in the order of their UUIDs.
func (s *State) PartitionsOn(broker string) iter.Seq[Partition] {
	return func(yield func(Partition) bool) {
		for _, id := range s.placedOn(broker) {
			if p, ok := s.Partition(id); ok && !yield(p) {
				return
			}
		}
	}
}

// placedOn returns the UUIDs of the partitions that have a replica on the broker, sorted.
func (s *State) placedOn(broker string) []uuid.UUID {
	var ids []uuid.UUID
	prefix := placementPrefix(broker)
	s.placed.Root().WalkPrefix(prefix, func(key []byte, _ struct{}) bool {
		ids = append(ids, uuid.UUID(bytes.TrimPrefix(key, prefix)))
		return false
	})
	return ids
}

// live says whether the broker may be given a role: registered, not fenced, not about to stop.
func (s *State) live(broker string) bool {
	b, ok := s.Broker(broker)
	return ok && b.Live()
}

func placementPrefix(broker string) []byte {
	return append([]byte(broker), 0)
}

func placementKey(broker string, partition uuid.UUID) []byte {
	return append(placementPrefix(broker), partition[:]...)
}

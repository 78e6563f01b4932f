package metadata

import (
	"fmt"
	"iter"
	"path"

	"github.com/google/uuid"
	iradix "github.com/hashicorp/go-immutable-radix/v2"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Reasons of refusals of commands about streams and groups.
const (
	ReasonStreamExists   Reason = "STREAM_EXISTS"
	ReasonStreamNotFound Reason = "STREAM_NOT_FOUND"
	ReasonInternalStream Reason = "INTERNAL_STREAM"
	ReasonStaleRevision  Reason = "STALE_REVISION"
	ReasonTooFewBrokers  Reason = "TOO_FEW_BROKERS"
	ReasonNoLeader       Reason = "NO_LEADER"
	ReasonUUIDInUse      Reason = "UUID_IN_USE"
	ReasonGroupExists    Reason = "GROUP_EXISTS"
	ReasonGroupNotFound  Reason = "GROUP_NOT_FOUND"
)

// Stream is a stream and what it is made of.
type Stream struct {
	// ID names the stream for ever, also when its name is given again.
	ID uuid.UUID
	// Internal streams belong to the brokers: their names begin with __, and no command of a user changes them.
	Internal bool
	// Config is complete. It is shared: clone it before changing it.
	Config *trestlev1.StreamConfig
	// Revision is the raft index of the command that last changed the configuration.
	Revision uint64
	// GrowthEpoch is the raft index of the command that last changed the number of partitions: a key goes to another
	// partition from then on (protocol.md 3.15).
	GrowthEpoch uint64
	// Partitions are the UUIDs of the partitions, in the order of their numbers.
	Partitions []uuid.UUID
	// Created is when the stream was made, Unix time in nanoseconds as the command said; for people.
	Created int64
}

// Name of the stream.
func (s Stream) Name() string { return s.Config.GetName() }

// Deletion says that a broker is to remove its copy of a partition. Nothing else allows it to (S14): a partition that the
// state does not know is reported and kept.
type Deletion struct {
	Partition, Stream uuid.UUID
	// Index of the command that took the copy away.
	Index uint64
}

// streamTrees are the parts of the state that belong to streams.
type streamTrees struct {
	byName      *iradix.Tree[*Stream]
	byID        *iradix.Tree[string]   // UUID to name
	groups      *iradix.Tree[*Group]   // UUID of the stream, name
	deletions   *iradix.Tree[Deletion] // broker name, 0, UUID of the partition
	loads       *iradix.Tree[Load]     // by broker name; counted from the partitions
	configBytes int                    // of all streams and groups, encoded; counted
}

func newStreamTrees() streamTrees {
	return streamTrees{
		byName: iradix.New[*Stream](), byID: iradix.New[string](), groups: iradix.New[*Group](),
		deletions: iradix.New[Deletion](), loads: newLoads(),
	}
}

// Stream returns the stream of that name.
func (s *State) Stream(name string) (Stream, bool) {
	if stream, ok := s.streams.byName.Get([]byte(name)); ok {
		return *stream, true
	}
	return Stream{}, false
}

// StreamByID returns the stream with that UUID.
func (s *State) StreamByID(id uuid.UUID) (Stream, bool) {
	name, ok := s.streams.byID.Get(id[:])
	if !ok {
		return Stream{}, false
	}
	return s.Stream(name)
}

// Streams returns all streams in the order of their names, internal ones too.
func (s *State) Streams() iter.Seq[Stream] {
	return func(yield func(Stream) bool) {
		it := s.streams.byName.Root().Iterator()
		for _, stream, ok := it.Next(); ok; _, stream, ok = it.Next() {
			if !yield(*stream) {
				return
			}
		}
	}
}

// StreamsLike returns at most limit streams whose names match the shell pattern and come after the given name, in the
// order of names; an empty pattern matches all. A malformed pattern is a *ConfigError.
func (s *State) StreamsLike(glob, after string, limit int) ([]Stream, error) {
	if _, err := path.Match(glob, ""); err != nil {
		return nil, invalid("glob", fmt.Sprintf("%q", glob), "is malformed", "use * ? [a-z]; every [ needs its ]")
	}
	var found []Stream
	it := s.streams.byName.Root().Iterator()
	it.SeekLowerBound([]byte(after))
	for _, stream, ok := it.Next(); ok && len(found) < limit; _, stream, ok = it.Next() {
		if stream.Name() == after && after != "" {
			continue
		}
		if matches, err := path.Match(glob, stream.Name()); glob == "" || err == nil && matches {
			found = append(found, *stream)
		}
	}
	return found, nil
}

// PartitionOf returns the partition of a stream by its number.
func (s *State) PartitionOf(stream Stream, number int32) (Partition, bool) {
	if number < 0 || int(number) >= len(stream.Partitions) {
		return Partition{}, false
	}
	return s.Partition(stream.Partitions[number])
}

// Deleted returns the copies that the broker has still to remove and acknowledge, in the order of their UUIDs.
func (s *State) Deleted(broker string) iter.Seq[Deletion] {
	return func(yield func(Deletion) bool) {
		it := s.streams.deletions.Root().Iterator()
		it.SeekPrefix(placementPrefix(broker))
		for _, d, ok := it.Next(); ok; _, d, ok = it.Next() {
			if !yield(d) {
				return
			}
		}
	}
}

// putStream adds or replaces a stream.
func (c *change) putStream(stream Stream) {
	if before, had := c.Stream(stream.Name()); had {
		c.streams.configBytes -= proto.Size(before.Config)
	}
	c.streams.configBytes += proto.Size(stream.Config)
	c.streams.byName, _, _ = c.streams.byName.Insert([]byte(stream.Name()), &stream)
	c.streams.byID, _, _ = c.streams.byID.Insert(stream.ID[:], stream.Name())
}

// dropStream forgets a stream; its partitions and groups are the caller's.
func (c *change) dropStream(stream Stream) {
	c.streams.configBytes -= proto.Size(stream.Config)
	c.streams.byName, _, _ = c.streams.byName.Delete([]byte(stream.Name()))
	c.streams.byID, _, _ = c.streams.byID.Delete(stream.ID[:])
}

// putDeletion lists the broker's copy of a partition as deleted. A broker that was removed has no list: its data folder is
// gone for good, and if it comes back all the same, nothing in it is touched.
func (c *change) putDeletion(broker string, partition, stream uuid.UUID) {
	if _, known := c.Broker(broker); !known {
		return
	}
	c.streams.deletions, _, _ = c.streams.deletions.Insert(placementKey(broker, partition), Deletion{Partition: partition, Stream: stream, Index: c.index})
}

// deletion returns the entry for the broker's copy of a partition, if it is listed.
func (s *State) deletion(broker string, partition uuid.UUID) (Deletion, bool) {
	return s.streams.deletions.Get(placementKey(broker, partition))
}

// dropDeletion takes the broker's copy of a partition from the list, if it is there.
func (c *change) dropDeletion(broker string, partition uuid.UUID) {
	c.streams.deletions, _, _ = c.streams.deletions.Delete(placementKey(broker, partition))
}

// dropDeletionsOf forgets what a broker was to remove: it is gone, and so is its data folder.
func (c *change) dropDeletionsOf(broker string) {
	c.streams.deletions, _ = c.streams.deletions.DeletePrefix(placementPrefix(broker))
}

// pendingDeletions counts what the broker has still to remove.
func (s *State) pendingDeletions(broker string) int {
	n := 0
	for range s.Deleted(broker) {
		n++
	}
	return n
}

// awaitsDeletion says whether any broker has still to remove its copy of the partition.
func (s *State) awaitsDeletion(partition uuid.UUID) bool {
	if s.streams.deletions.Len() == 0 {
		return false
	}
	for b := range s.Brokers() {
		if _, listed := s.deletion(b.Name, partition); listed {
			return true
		}
	}
	return false
}

// streamNamed returns the stream with that UUID of 16 bytes, or a refusal.
func (s *State) streamNamed(id []byte) (Stream, *Refusal) {
	u, err := uuid.FromBytes(id)
	if err != nil {
		return Stream{}, refuse(ReasonInvalid, "uuid has %d bytes; give the 16 bytes that name the stream", len(id)).with("field", "uuid")
	}
	stream, ok := s.StreamByID(u)
	if !ok {
		return Stream{}, refuse(ReasonStreamNotFound, "there is no stream %v; it was deleted, or never made: read the list of streams again", u).with("uuid", u.String())
	}
	return stream, nil
}

// userStream is streamNamed for commands of users, which leave internal streams alone.
func (s *State) userStream(id []byte) (Stream, *Refusal) {
	stream, refusal := s.streamNamed(id)
	if refusal == nil && stream.Internal {
		return Stream{}, refuse(ReasonInternalStream, "stream %q is the brokers' own and looked after by them; choose another", stream.Name()).with("stream", stream.Name())
	}
	return stream, refusal
}

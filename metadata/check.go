package metadata

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Check says what of the state contradicts itself; nil: nothing. Every state that Apply or Restore returns passes. It reads
// everything there is: for tests, fuzzing, simulation and the offline tools.
func (s *State) Check() error {
	if err := s.consistent(); err != nil {
		return err
	}
	for _, check := range []func() error{s.checkLoads, s.checkConfigBytesCounted} {
		if err := check(); err != nil {
			return fmt.Errorf("state at index %d: %w", s.index, err)
		}
	}
	return nil
}

// consistent is Check without counting again what is counted as the state changes: whoever has just counted need not.
func (s *State) consistent() error {
	for _, check := range []func() error{s.checkCluster, s.checkStreams, s.checkGroups, s.checkDeletionLists} {
		if err := check(); err != nil {
			return fmt.Errorf("state at index %d: %w", s.index, err)
		}
	}
	return nil
}

// checkStreams checks every stream with its configuration and the partitions that it names.
func (s *State) checkStreams() error {
	ids := map[uuid.UUID]bool{}
	partitions := 0
	for stream := range s.Streams() {
		if err := s.checkStream(stream); err != nil {
			return fmt.Errorf("stream %q: %w", stream.Name(), err)
		}
		if ids[stream.ID] {
			return fmt.Errorf("stream %q: UUID %v is another's too", stream.Name(), stream.ID)
		}
		ids[stream.ID] = true
		partitions += len(stream.Partitions)
	}
	switch {
	case s.streams.byID.Len() != len(ids) || s.streams.byName.Len() != len(ids):
		return fmt.Errorf("%d streams by name, %d by UUID, %d different ones", s.streams.byName.Len(), s.streams.byID.Len(), len(ids))
	case partitions != s.partitions.Len(): // each is in one place of one stream, and no other is there
		return fmt.Errorf("streams have %d partitions, and there are %d", partitions, s.partitions.Len())
	case s.streams.configBytes > MaxAllConfigBytes, len(ids) > MaxStreams+1, s.partitions.Len() > MaxPartitions+1:
		return fmt.Errorf("%d streams, %d partitions, %d bytes of configuration are beyond the limits", len(ids), s.partitions.Len(), s.streams.configBytes)
	}
	return nil
}

func (s *State) checkStream(stream Stream) error {
	byID, ok := s.StreamByID(stream.ID)
	switch {
	case !ok || byID.Name() != stream.Name():
		return fmt.Errorf("UUID %v leads to %q", stream.ID, byID.Name())
	case stream.ID == uuid.Nil:
		return fmt.Errorf("it has no UUID")
	case stream.Revision == 0 || stream.Revision > s.index || stream.GrowthEpoch == 0 || stream.GrowthEpoch > stream.Revision:
		return fmt.Errorf("revision %d, growth epoch %d", stream.Revision, stream.GrowthEpoch)
	case len(stream.Partitions) != int(stream.Config.GetPartitions()):
		return fmt.Errorf("it has %d partitions and its configuration says %d", len(stream.Partitions), stream.Config.GetPartitions())
	}
	if err := checkConfig(stream.Config, stream.Internal); err != nil {
		return err
	}
	if !isComplete(stream.Config) {
		return fmt.Errorf("its configuration is not complete: %v", stream.Config)
	}
	for number, id := range stream.Partitions {
		p, ok := s.Partition(id)
		if !ok {
			return fmt.Errorf("partition %d (%v) is not there", number, id)
		}
		if err := checkOwned(stream, number, p); err != nil {
			return err
		}
	}
	return nil
}

// checkOwned checks what a partition shares with its stream.
func checkOwned(stream Stream, number int, p Partition) error {
	switch {
	case p.Stream != stream.ID || p.Number != int32(number):
		return fmt.Errorf("partition %d (%v) says that it is %d of %v", number, p.ID, p.Number, p.Stream)
	case p.MinISR != int(stream.Config.GetMinIsr()) || p.Durable != Durable(stream.Config):
		return fmt.Errorf("partition %v has min ISR %d, durable %v; its stream %d, %v", p.ID, p.MinISR, p.Durable, stream.Config.GetMinIsr(), Durable(stream.Config))
	case p.Mode == trestlev1.Mode_MODE_UNSPECIFIED || trestlev1.Mode_name[int32(p.Mode)] == "":
		return fmt.Errorf("partition %v has mode %d", p.ID, p.Mode)
	case p.ReservedOffset < 0:
		return fmt.Errorf("partition %v has reserved offset %d", p.ID, p.ReservedOffset)
	}
	return nil
}

func (s *State) checkGroups() error {
	n := 0
	for group := range s.allGroups() {
		n++
		stream, ok := s.StreamByID(group.Stream)
		switch {
		case !ok || stream.Internal:
			return fmt.Errorf("group %q reads stream %v, which is not there or internal", group.Name, group.Stream)
		case group.Revision == 0 || group.Revision > s.index:
			return fmt.Errorf("group %q has revision %d", group.Name, group.Revision)
		case groupBytes(group) > MaxGroupBytes:
			return fmt.Errorf("group %q has %d bytes", group.Name, groupBytes(group))
		}
	}
	if n > MaxGroups {
		return fmt.Errorf("%d groups are beyond the limit", n)
	}
	return nil
}

// checkDeletionLists checks that nothing is to be deleted that is in use (S14), and that lists belong to brokers.
func (s *State) checkDeletionLists() error {
	it := s.streams.deletions.Root().Iterator()
	for key, d, ok := it.Next(); ok; key, d, ok = it.Next() {
		name, rest, _ := bytes.Cut(key, []byte{0})
		if _, known := s.Broker(string(name)); !known || !bytes.Equal(rest, d.Partition[:]) {
			return fmt.Errorf("deletion of %v is listed for %q, which is no broker, or elsewhere", d.Partition, name)
		}
		if p, exists := s.Partition(d.Partition); exists && slices.Contains(p.Replicas, string(name)) {
			return fmt.Errorf("broker %q is to delete partition %v, of which it is a replica", name, d.Partition)
		}
		if d.Index == 0 || d.Index > s.index {
			return fmt.Errorf("deletion of %v has index %d", d.Partition, d.Index)
		}
	}
	return nil
}

func (s *State) checkConfigBytesCounted() error {
	total := 0
	for stream := range s.Streams() {
		total += proto.Size(stream.Config)
	}
	for group := range s.allGroups() {
		total += groupBytes(group)
	}
	if total != s.streams.configBytes {
		return fmt.Errorf("configurations have %d bytes and are counted as %d", total, s.streams.configBytes)
	}
	return nil
}

// checkLoads counts again what is counted as partitions change.
func (s *State) checkLoads() error {
	counted := map[string]Load{}
	for p := range s.Partitions() {
		for _, broker := range p.Replicas {
			load := counted[broker]
			load.Replicas++
			counted[broker] = load
		}
		if p.Leader != "" {
			load := counted[p.Leader]
			load.Leaders++
			counted[p.Leader] = load
		}
	}
	if len(counted) != s.streams.loads.Len() {
		return fmt.Errorf("%d brokers have replicas and %d are counted", len(counted), s.streams.loads.Len())
	}
	for broker, load := range counted {
		if s.Load(broker) != load {
			return fmt.Errorf("broker %q has %+v and is counted as %+v", broker, load, s.Load(broker))
		}
	}
	return nil
}

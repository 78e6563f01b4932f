package metadata

import (
	"slices"

	"github.com/trestlehq/trestle/metadata/election"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// placesOf numbers the brokers that others mention.
type placesOf struct {
	names  []string
	places map[string]uint32
}

func (s *State) mentioned() placesOf {
	seen := map[string]bool{}
	for p := range s.Partitions() {
		for _, broker := range p.Replicas {
			seen[broker] = true
		}
	}
	for b := range s.Brokers() {
		seen[b.Name] = true // deletions are listed for brokers that are there
	}
	all := placesOf{places: make(map[string]uint32, len(seen))}
	for name := range seen {
		all.names = append(all.names, name)
	}
	slices.Sort(all.names)
	for i, name := range all.names {
		all.places[name] = uint32(i)
	}
	return all
}

func (n placesOf) of(brokers []string) []uint32 {
	if len(brokers) == 0 {
		return nil
	}
	places := make([]uint32, len(brokers))
	for i, broker := range brokers {
		places[i] = n.places[broker]
	}
	return places
}

// snapshot is the state as a message.
func (s *State) snapshot() *clusterv1.StateSnapshot {
	names := s.mentioned()
	m := &clusterv1.StateSnapshot{
		Index: s.index, NextProducerId: s.nextProducerID, Names: names.names,
		Cluster: &clusterv1.ClusterSnapshot{
			Uuid: s.cluster.UUID[:], Name: s.cluster.Name, Secret: s.cluster.Secret[:], FeatureLevel: s.cluster.FeatureLevel,
		},
	}
	for b := range s.Brokers() {
		m.Brokers = append(m.Brokers, &clusterv1.BrokerSnapshot{
			Name: b.Name, Incarnation: b.Incarnation[:], Storage: b.Storage[:], RaftId: b.RaftID, Epoch: b.Epoch,
			Fenced: b.Fenced, Stopping: b.Stopping, ClientAddress: b.ClientAddress, PeerAddress: b.PeerAddress,
			MinFeatureLevel: b.MinFeatureLevel, MaxFeatureLevel: b.MaxFeatureLevel, PlacedAt: b.PlacedAt,
		})
	}
	for stream := range s.Streams() {
		m.Streams = append(m.Streams, s.streamSnapshot(names, stream))
	}
	for group := range s.allGroups() {
		m.Groups = append(m.Groups, &clusterv1.GroupSnapshot{
			Stream: group.Stream[:], Name: group.Name, Config: group.Config, Revision: group.Revision,
		})
	}
	for b := range s.Brokers() {
		for d := range s.Deleted(b.Name) {
			m.Deletions = append(m.Deletions, &clusterv1.DeletionSnapshot{
				Broker: names.places[b.Name], Partition: d.Partition[:], Stream: d.Stream[:], Index: d.Index,
			})
		}
	}
	return m
}

func (s *State) streamSnapshot(names placesOf, stream Stream) *clusterv1.StreamSnapshot {
	m := &clusterv1.StreamSnapshot{
		Uuid: stream.ID[:], Internal: stream.Internal, Config: stream.Config, Revision: stream.Revision,
		GrowthEpoch: stream.GrowthEpoch, Created: stream.Created,
		Partitions: make([]*clusterv1.PartitionSnapshot, 0, len(stream.Partitions)),
	}
	for _, id := range stream.Partitions {
		p, _ := s.Partition(id)
		m.Partitions = append(m.Partitions, partitionSnapshot(names, p))
	}
	return m
}

// partitionSnapshot leaves out what the stream says: its UUID, the number, min ISR and whether it is durable.
func partitionSnapshot(names placesOf, p Partition) *clusterv1.PartitionSnapshot {
	m := &clusterv1.PartitionSnapshot{
		Uuid: p.ID[:], LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, UncleanEpoch: p.UncleanEpoch,
		Quorum:   uint32(quorumOf(p.Membership)),
		Replicas: names.of(p.Replicas), Isr: names.of(p.ISR), Elr: names.of(p.ELR), LastKnown: names.of(p.LastKnown), Lost: names.of(p.Lost),
		Adding: names.of(p.Adding), Removing: names.of(p.Removing),
		Mode: p.Mode, ModeSince: p.ModeSince, ReservedOffset: p.ReservedOffset,
	}
	if p.Leader != "" {
		m.Leader = names.places[p.Leader] + 1
	}
	for _, doubt := range p.Unsure {
		if mutant("metadata-snapshot-forgets-doubt") {
			break
		}
		m.Unsure = append(m.Unsure, &clusterv1.DoubtSnapshot{
			Broker: names.places[doubt.Broker], Epoch: doubt.Tail.Epoch, Seq: doubt.Tail.Seq,
		})
	}
	return m
}

// quorumOf is the quorum as a number: 0 in a membership means its min ISR.
func quorumOf(m election.Membership) int {
	if m.Quorum == 0 {
		return m.MinISR
	}
	return m.Quorum
}

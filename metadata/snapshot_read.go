package metadata

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/metadata/election"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// rebuilding is a state under way from a snapshot. The first thing that is wrong with the snapshot stays in err. Trees are
// filled in transactions: thousands of insertions on their own would copy their paths each time.
type rebuilding struct {
	*State
	names []string
	err   error
}

// restored makes the state that the message describes. What contradicts itself is left to Check.
func restored(m *clusterv1.StateSnapshot) (*State, error) {
	s := New()
	s.index, s.nextProducerID = m.GetIndex(), m.GetNextProducerId()
	r := &rebuilding{State: s, names: m.GetNames()}
	for _, name := range r.names {
		if refusal := checkBrokerName(name); refusal != nil {
			return nil, refusal
		}
	}
	r.cluster(m.GetCluster())
	r.brokers(m.GetBrokers())
	r.streams(m.GetStreams())
	r.groups(m.GetGroups())
	r.deletions(m.GetDeletions())
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

func (r *rebuilding) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *rebuilding) uuid(b []byte) uuid.UUID {
	id, err := uuid.FromBytes(b)
	if err != nil {
		r.fail("%x is no UUID", b)
	}
	return id
}

func (r *rebuilding) cluster(m *clusterv1.ClusterSnapshot) {
	if len(m.GetSecret()) != len(r.State.cluster.Secret) {
		r.fail("the secret has %d bytes", len(m.GetSecret()))
		return
	}
	r.State.cluster = Cluster{
		UUID: r.uuid(m.GetUuid()), Name: m.GetName(), Secret: [32]byte(m.GetSecret()), FeatureLevel: m.GetFeatureLevel(),
	}
}

func (r *rebuilding) brokers(list []*clusterv1.BrokerSnapshot) {
	txn := r.State.brokers.Txn()
	for _, m := range list {
		_, twice := txn.Insert([]byte(m.GetName()), &Broker{
			Name: m.GetName(), Incarnation: r.uuid(m.GetIncarnation()), Storage: r.uuid(m.GetStorage()), RaftID: m.GetRaftId(),
			Epoch: m.GetEpoch(), Fenced: m.GetFenced(), Stopping: m.GetStopping(),
			ClientAddress: m.GetClientAddress(), PeerAddress: m.GetPeerAddress(),
			MinFeatureLevel: m.GetMinFeatureLevel(), MaxFeatureLevel: m.GetMaxFeatureLevel(), PlacedAt: m.GetPlacedAt(),
		})
		if twice {
			r.fail("broker %q is there twice", m.GetName())
		}
	}
	r.State.brokers = txn.Commit()
}

func (r *rebuilding) streams(list []*clusterv1.StreamSnapshot) {
	byName, byID := r.State.streams.byName.Txn(), r.State.streams.byID.Txn()
	var all []*Partition
	for _, m := range list {
		stream := &Stream{
			ID: r.uuid(m.GetUuid()), Internal: m.GetInternal(), Config: m.GetConfig(), Revision: m.GetRevision(),
			GrowthEpoch: m.GetGrowthEpoch(), Created: m.GetCreated(), Partitions: make([]uuid.UUID, 0, len(m.GetPartitions())),
		}
		for number, asked := range m.GetPartitions() {
			p := r.partition(stream, int32(number), asked)
			stream.Partitions = append(stream.Partitions, p.ID)
			all = append(all, p)
		}
		_, nameTwice := byName.Insert([]byte(stream.Name()), stream)
		_, idTwice := byID.Insert(stream.ID[:], stream.Name())
		if nameTwice || idTwice {
			r.fail("stream %q is there twice", stream.Name())
		}
		r.State.streams.configBytes += proto.Size(stream.Config)
	}
	r.State.streams.byName, r.State.streams.byID = byName.Commit(), byID.Commit()
	r.partitions(all)
}

// partitions fills the trees that hold partitions in the order of keys: a transaction copies far less if what it touches
// lies together.
func (r *rebuilding) partitions(all []*Partition) {
	slices.SortFunc(all, func(a, b *Partition) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	partitions, placed := r.State.partitions.Txn(), r.placed.Txn()
	leaders, held := map[string]int{}, map[string][]uuid.UUID{}
	for _, p := range all {
		if _, twice := partitions.Insert(p.ID[:], p); twice {
			r.fail("partition %v is there twice", p.ID)
		}
		for _, broker := range p.Replicas {
			held[broker] = append(held[broker], p.ID)
			if broker == p.Leader {
				leaders[broker]++
			}
		}
	}
	for _, broker := range slices.Sorted(maps.Keys(held)) {
		for _, id := range held[broker] {
			placed.Insert(placementKey(broker, id), struct{}{})
		}
		load := Load{Replicas: len(held[broker]), Leaders: leaders[broker]}
		r.State.streams.loads, _, _ = r.State.streams.loads.Insert([]byte(broker), load)
	}
	r.State.partitions, r.placed = partitions.Commit(), placed.Commit()
}

func (r *rebuilding) partition(stream *Stream, number int32, m *clusterv1.PartitionSnapshot) *Partition {
	replicas := r.named(m.GetReplicas())
	isr := replicas // states do not change: lists may be shared
	if !slices.Equal(m.GetIsr(), m.GetReplicas()) {
		isr = r.named(m.GetIsr())
	}
	p := &Partition{
		ID: r.uuid(m.GetUuid()), Stream: stream.ID, Number: number,
		LeaderEpoch: m.GetLeaderEpoch(), PartitionEpoch: m.GetPartitionEpoch(), UncleanEpoch: m.GetUncleanEpoch(),
		Membership: election.Membership{
			MinISR: int(stream.Config.GetMinIsr()), Durable: Durable(stream.Config), Quorum: int(m.GetQuorum()),
			Replicas: replicas, ISR: isr, ELR: r.named(m.GetElr()),
			LastKnown: r.named(m.GetLastKnown()), Lost: r.named(m.GetLost()),
		},
		Adding: r.named(m.GetAdding()), Removing: r.named(m.GetRemoving()),
		Mode: m.GetMode(), ModeSince: m.GetModeSince(), ReservedOffset: m.GetReservedOffset(),
	}
	if m.GetLeader() > 0 {
		p.Leader = r.name(m.GetLeader() - 1)
	}
	for _, doubt := range m.GetUnsure() {
		p.Unsure = append(p.Unsure, election.Doubt{
			Broker: r.name(doubt.GetBroker()), Tail: election.Tail{Epoch: doubt.GetEpoch(), Seq: doubt.GetSeq()},
		})
	}
	return p
}

func (r *rebuilding) groups(list []*clusterv1.GroupSnapshot) {
	txn := r.State.streams.groups.Txn()
	for _, m := range list {
		group := &Group{Stream: r.uuid(m.GetStream()), Name: m.GetName(), Config: m.GetConfig(), Revision: m.GetRevision()}
		if group.Config == nil {
			group.Config = &clusterv1.GroupConfig{}
		}
		if _, twice := txn.Insert(groupKey(group.Stream, group.Name), group); twice {
			r.fail("group %q is there twice", group.Name)
		}
		r.State.streams.configBytes += groupBytes(*group)
	}
	r.State.streams.groups = txn.Commit()
}

func (r *rebuilding) deletions(list []*clusterv1.DeletionSnapshot) {
	txn := r.State.streams.deletions.Txn()
	for _, m := range list {
		d := Deletion{Partition: r.uuid(m.GetPartition()), Stream: r.uuid(m.GetStream()), Index: m.GetIndex()}
		txn.Insert(placementKey(r.name(m.GetBroker()), d.Partition), d)
	}
	r.State.streams.deletions = txn.Commit()
}

// name returns the broker at that place.
func (r *rebuilding) name(place uint32) string {
	if int64(place) >= int64(len(r.names)) {
		r.fail("broker %d of %d is mentioned", place, len(r.names))
		return ""
	}
	return r.names[place]
}

// named returns the brokers at these places; nil: none.
func (r *rebuilding) named(places []uint32) []string {
	if len(places) == 0 {
		return nil
	}
	brokers := make([]string, len(places))
	for i, place := range places {
		brokers[i] = r.name(place)
	}
	return brokers
}

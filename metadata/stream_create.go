package metadata

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata/election"
	"github.com/trestlehq/trestle/metadata/names"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func (c *change) createStream(cmd *clusterv1.CreateStream) (*clusterv1.Answer, *Refusal) {
	id, err := uuid.FromBytes(cmd.GetUuid())
	if err != nil || id == uuid.Nil {
		return nil, refuse(ReasonInvalid, "uuid of the stream is %x; give 16 random bytes", cmd.GetUuid()).with("field", "uuid")
	}
	if have, exists := c.Stream(cmd.GetConfig().GetName()); exists {
		return c.acceptExisting(cmd, id, have)
	}
	if _, taken := c.StreamByID(id); taken {
		return nil, refuse(ReasonUUIDInUse, "stream UUID %v is another stream's; choose a new one", id).with("uuid", id.String())
	}
	if n := c.streams.byName.Len(); n >= MaxStreams {
		return nil, refuse(ReasonLimit, "the cluster has %d streams, as many as it can; delete some", n).with("limit", "streams")
	}
	config, err := complete(cmd.GetConfig(), c.brokers.Len(), cmd.GetInternal())
	if err != nil {
		return nil, refuseConfig(err)
	}
	stream := Stream{
		ID: id, Internal: cmd.GetInternal(), Config: config, Revision: c.index, GrowthEpoch: c.index, Created: cmd.GetCreated(),
	}
	if refusal := c.addPartitions(&stream, cmd.GetPartitions()); refusal != nil {
		return nil, refusal
	}
	c.putStream(stream)
	if refusal := c.checkConfigBytes(); refusal != nil {
		return nil, refusal
	}
	return streamAnswer(id, stream.Revision, false), nil
}

// acceptExisting judges the making of a stream whose name is taken. The same command once more is the same stream. What the
// size of the cluster decides counts only if it was asked for: a script that makes its stream at every start must not fail
// because brokers were added.
func (c *change) acceptExisting(cmd *clusterv1.CreateStream, id uuid.UUID, have Stream) (*clusterv1.Answer, *Refusal) {
	if have.ID == id {
		return streamAnswer(id, have.Revision, false), nil
	}
	exists := refuse(ReasonStreamExists, "there is a stream %q; choose another name, or delete it first", have.Name()).with("stream", have.Name())
	if !cmd.GetAcceptExisting() || have.Internal != cmd.GetInternal() {
		return nil, exists
	}
	asked := &trestlev1.StreamConfig{}
	override(asked, cmd.GetConfig())
	if asked.Replicas == nil {
		asked.Replicas = have.Config.Replicas
		if asked.MinIsr == nil {
			asked.MinIsr = have.Config.MinIsr
		}
	}
	want, err := complete(asked, c.brokers.Len(), cmd.GetInternal())
	if err != nil {
		return nil, refuseConfig(err)
	}
	differences := Differences(have.Config, want)
	if len(differences) == 0 {
		return streamAnswer(have.ID, have.Revision, true), nil
	}
	var list []string
	for field, difference := range differences {
		list = append(list, field+": "+difference)
		exists = exists.with(field, difference)
	}
	slices.Sort(list)
	exists.Message = fmt.Sprintf("there is a stream %q with another configuration (%s); choose another name, or change it with `trestle stream edit`",
		have.Name(), strings.Join(list, "; "))
	return nil, exists
}

// refuseConfig turns what is wrong with a configuration into a refusal.
func refuseConfig(err error) *Refusal {
	refusal := refuse(ReasonInvalid, "%v", err)
	var config *ConfigError
	var name *names.Error
	switch {
	case errors.As(err, &config):
		refusal = refusal.with("field", config.Field)
	case errors.As(err, &name):
		refusal = refusal.with("field", name.Kind).with("name", fmt.Sprintf("%q", name.Name))
	}
	return refusal
}

// addPartitions makes the partitions that the configuration asks for beyond those that the stream has, and elects their
// first leaders.
func (c *change) addPartitions(stream *Stream, asked []*clusterv1.NewPartition) *Refusal {
	config := stream.Config
	more := int(config.GetPartitions()) - len(stream.Partitions)
	if len(asked) != more {
		return refuse(ReasonInvalid, "stream %q gets %d new partitions and the command has %d; name a UUID for each", stream.Name(), more, len(asked)).
			with("field", "partitions")
	}
	if n := c.partitions.Len() + more; n > MaxPartitions {
		return refuse(ReasonLimit, "the cluster would have %d partitions, more than %d; use fewer, or delete streams", n, MaxPartitions).with("limit", "partitions")
	}
	ids, refusal := c.newPartitionIDs(asked)
	if refusal != nil {
		return refusal
	}
	replicas, refusal := c.chooseReplicas(stream, asked)
	if refusal != nil {
		return refusal
	}
	stream.Partitions = slices.Clone(stream.Partitions)
	added := make([]Partition, 0, len(ids))
	for i, id := range ids {
		added = append(added, c.newPartition(stream, id, replicas[i]))
		stream.Partitions = append(stream.Partitions, id)
	}
	c.putPartitions(added)
	return nil
}

func (c *change) newPartitionIDs(asked []*clusterv1.NewPartition) ([]uuid.UUID, *Refusal) {
	var ids []uuid.UUID
	seen := make(map[uuid.UUID]bool, len(asked))
	for i, p := range asked {
		id, err := uuid.FromBytes(p.GetUuid())
		if err != nil || id == uuid.Nil {
			return nil, refuse(ReasonInvalid, "uuid of new partition %d is %x; give 16 random bytes", i, p.GetUuid()).with("field", "partitions")
		}
		if _, taken := c.Partition(id); taken || seen[id] {
			return nil, refuse(ReasonUUIDInUse, "partition UUID %v is another partition's; choose a new one", id).with("uuid", id.String())
		}
		if c.awaitsDeletion(id) && !mutant("metadata-deleted-uuid-reused") {
			return nil, refuse(ReasonUUIDInUse, "partition UUID %v was another partition's, which brokers have still to remove; choose a new one", id).with("uuid", id.String())
		}
		seen[id] = true
		ids = append(ids, id)
	}
	return ids, nil
}

// newPartition makes one partition. Its log is empty everywhere, so every replica that is there is in sync; those that are
// away have never held it and join later.
func (c *change) newPartition(stream *Stream, id uuid.UUID, replicas []string) Partition {
	members := election.New(replicas, int(stream.Config.GetMinIsr()), Durable(stream.Config))
	members.ISR = slices.DeleteFunc(members.ISR, func(b string) bool { return !c.live(b) && !mutant("metadata-absent-in-isr") })
	p := Partition{
		ID: id, Stream: stream.ID, Number: int32(len(stream.Partitions)),
		LeaderEpoch: c.index, PartitionEpoch: c.index, Membership: members, Mode: trestlev1.Mode_MODE_ACTIVE,
	}
	c.elect(&p)
	return p
}

// chooseReplicas returns the replicas of each new partition: as the command names them, or else placed.
func (c *change) chooseReplicas(stream *Stream, asked []*clusterv1.NewPartition) ([][]string, *Refusal) {
	named := slices.ContainsFunc(asked, func(p *clusterv1.NewPartition) bool { return len(p.GetReplicas()) > 0 })
	if !named {
		return c.placeReplicas(stream, len(asked))
	}
	var all [][]string
	for _, p := range asked {
		all = append(all, slices.Clone(p.GetReplicas()))
	}
	return all, c.checkReplicas(stream, all)
}

// placeReplicas places partitions on the brokers that are there, and on those that are away only if that is too few.
func (c *change) placeReplicas(stream *Stream, partitions int) ([][]string, *Refusal) {
	replicas := int(stream.Config.GetReplicas())
	var candidates []Candidate
	for b := range c.Brokers() {
		candidates = append(candidates, Candidate{Name: b.Name, Load: c.Load(b.Name), Spare: !b.Live()})
	}
	placed := Place(candidates, partitions, replicas)
	if placed == nil {
		return nil, refuse(ReasonTooFewBrokers, "stream %q asks for %d replicas and the cluster has %d brokers; use fewer replicas, or add brokers",
			stream.Name(), replicas, len(candidates)).with("stream", stream.Name())
	}
	return placed, c.checkReplicas(stream, placed)
}

// checkReplicas checks the replicas of new partitions, whoever chose them.
func (c *change) checkReplicas(stream *Stream, all [][]string) *Refusal {
	more := map[string]int{}
	for i, replicas := range all {
		if len(replicas) != int(stream.Config.GetReplicas()) {
			return refuse(ReasonInvalid, "new partition %d names %d replicas and stream %q has %d; name as many", i, len(replicas), stream.Name(), stream.Config.GetReplicas()).
				with("field", "partitions")
		}
		live := 0
		for j, name := range replicas {
			if _, refusal := c.named(name, 0); refusal != nil {
				return refusal
			}
			if slices.Contains(replicas[:j], name) {
				return refuse(ReasonInvalid, "new partition %d names broker %q twice; name different ones", i, name).with("field", "partitions")
			}
			if more[name]++; c.Load(name).Replicas+more[name] > MaxBrokerReplicas {
				return refuse(ReasonLimit, "broker %q would hold more than %d partitions; add brokers, or use fewer partitions or replicas", name, MaxBrokerReplicas).
					with("limit", "partitions of a broker").with("broker", name)
			}
			if c.live(name) {
				live++
			}
		}
		if least := int(stream.Config.GetMinIsr()); live < least {
			return refuse(ReasonTooFewBrokers, "stream %q needs min_isr = %d brokers that are up for each partition, and %v has %d; start brokers, or use a smaller min_isr",
				stream.Name(), least, replicas, live).with("stream", stream.Name())
		}
	}
	return nil
}

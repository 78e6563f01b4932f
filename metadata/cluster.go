package metadata

import (
	"bytes"
	"fmt"
	"math"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata/names"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// maxFeatureLevel of a broker's announcement: far above anything that will be, and far below an overflow.
const maxFeatureLevel = 1 << 20

// maxReservedIDs is how many producer ids one command takes out.
const maxReservedIDs = 1 << 20

// initCluster makes the cluster, once.
func (c *change) initCluster(cmd *clusterv1.InitCluster) (*clusterv1.Answer, *Refusal) {
	if c.cluster.FeatureLevel != 0 {
		return nil, refuse(ReasonInitialized, "the cluster is %q (%s) already; join it instead", c.cluster.Name, c.cluster.UUID).
			with("cluster", c.cluster.Name)
	}
	id, refusal := parseUUID("uuid", cmd.GetUuid())
	if refusal != nil {
		return nil, refusal
	}
	if len(cmd.GetSecret()) != len(c.cluster.Secret) || bytes.Equal(cmd.GetSecret(), make([]byte, len(c.cluster.Secret))) {
		return nil, refuse(ReasonInvalid, "the secret has %d bytes or only zeros; give %d random ones", len(cmd.GetSecret()), len(c.cluster.Secret)).
			with("field", "secret")
	}
	if err := names.Stream(cmd.GetName()); err != nil {
		return nil, refuse(ReasonInvalid, "cluster name: %v", err).with("field", "name")
	}
	c.cluster = Cluster{UUID: id, Name: cmd.GetName(), Secret: [32]byte(cmd.GetSecret()), FeatureLevel: firstFeatureLevel}
	return nil, nil
}

// setFeatureLevel raises the level when every broker can work at it, fenced ones too: they may come back (3.10).
func (c *change) setFeatureLevel(cmd *clusterv1.SetFeatureLevel) (*clusterv1.Answer, *Refusal) {
	level := cmd.GetLevel()
	if level < c.cluster.FeatureLevel {
		return nil, refuse(ReasonFeatureLevel, "the cluster is at feature level %d and cannot go back to %d; data in the newer form may exist",
			c.cluster.FeatureLevel, level)
	}
	for b := range c.Brokers() {
		if level < b.MinFeatureLevel || level > b.MaxFeatureLevel {
			return nil, refuse(ReasonFeatureLevel, "broker %q works at feature levels %d to %d, not at %d; upgrade or remove it first",
				b.Name, b.MinFeatureLevel, b.MaxFeatureLevel, level).with("broker", b.Name)
		}
	}
	if level > maxFeatureLevel {
		return nil, refuse(ReasonInvalid, "feature level %d is above %d", level, maxFeatureLevel).with("field", "level")
	}
	c.cluster.FeatureLevel = level
	return nil, nil
}

// reserveProducerIDs gives out ids that were never given before (protocol.md 1.6).
func (c *change) reserveProducerIDs(cmd *clusterv1.ReserveProducerIDs) (*clusterv1.Answer, *Refusal) {
	if cmd.GetCount() == 0 || cmd.GetCount() > maxReservedIDs {
		return nil, refuse(ReasonInvalid, "count is %d; reserve 1 to %d producer ids at once", cmd.GetCount(), maxReservedIDs).with("field", "count")
	}
	first := c.nextProducerID
	if first > math.MaxUint64-cmd.GetCount() {
		return nil, refuse(ReasonLimit, "all producer ids are given out")
	}
	c.nextProducerID = first + cmd.GetCount()
	return &clusterv1.Answer{FirstProducerId: first}, nil
}

// reserveOffsets notes how far the leaders of memory logs may count, so that offsets go on after all memory was lost (3.8).
func (c *change) reserveOffsets(cmd *clusterv1.ReserveOffsets) (*clusterv1.Answer, *Refusal) {
	if _, refusal := c.named(cmd.GetLeader().GetName(), cmd.GetLeader().GetEpoch()); refusal != nil {
		return nil, refusal
	}
	items := make([]*clusterv1.ItemResult, 0, len(cmd.GetReservations()))
	for _, r := range cmd.GetReservations() {
		p, item := c.leaderItem(r.GetPartition(), cmd.GetLeader(), r.GetLeaderEpoch())
		switch {
		case item != nil:
		case r.GetUpTo() < 0:
			item = refusedItem(p, ReasonInvalid, fmt.Sprintf("up_to is %d; reserve an offset of 0 or more", r.GetUpTo()))
		default:
			p.ReservedOffset = max(p.ReservedOffset, r.GetUpTo())
			c.putPartition(p)
			item = acceptedItem(p)
		}
		items = append(items, item)
	}
	return &clusterv1.Answer{Items: items}, nil
}

// parseUUID takes 16 bytes that are not all zero.
func parseUUID(field string, b []byte) (uuid.UUID, *Refusal) {
	if len(b) != len(uuid.UUID{}) || uuid.UUID(b) == uuid.Nil {
		return uuid.Nil, refuse(ReasonInvalid, "%s has %d bytes or only zeros; give the 16 bytes of a UUID", field, len(b)).with("field", field)
	}
	return uuid.UUID(b), nil
}

package metadata

import (
	"fmt"
	"slices"

	"github.com/trestlehq/trestle/metadata/election"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// transferLeaders moves leaderships to members of the ISR, each item on its own.
func (c *change) transferLeaders(cmd *clusterv1.TransferLeaders) (*clusterv1.Answer, *Refusal) {
	items := make([]*clusterv1.ItemResult, 0, len(cmd.GetTransfers()))
	for _, asked := range cmd.GetTransfers() {
		p, item := c.partitionItem(asked.GetPartition())
		switch {
		case item != nil:
		case asked.GetLeaderEpoch() != 0 && asked.GetLeaderEpoch() != p.LeaderEpoch:
			item = staleItem(p, fmt.Sprintf("leader epoch is %d, not %d", p.LeaderEpoch, asked.GetLeaderEpoch()))
		case !slices.Contains(p.ISR, asked.GetTo()) && !mutant("metadata-transfer-out-of-sync"):
			item = refusedItem(p, ReasonNotInSync, fmt.Sprintf("broker %q is not in sync; wait until it is, or choose one of %q", asked.GetTo(), p.ISR))
		case !c.live(asked.GetTo()) && asked.GetTo() != p.Leader:
			item = refusedItem(p, ReasonBrokerNotLive, fmt.Sprintf("broker %q is about to stop; choose another", asked.GetTo()))
		default:
			if asked.GetTo() != p.Leader {
				c.lead(&p, asked.GetTo(), false)
				c.putPartition(p)
			}
			item = acceptedItem(p)
		}
		items = append(items, item)
	}
	return &clusterv1.Answer{Items: items}, nil
}

// electUnclean lets an operator give a partition that waits for replicas which will not come back to one that is there.
func (c *change) electUnclean(cmd *clusterv1.ElectUnclean) (*clusterv1.Answer, *Refusal) {
	if cmd.GetPartitionEpoch() == 0 {
		return nil, refuse(ReasonInvalid, "no partition epoch is given; read the state and name what was seen").with("field", "partition_epoch")
	}
	p, refusal := c.foundPartition(cmd.GetPartition(), cmd.GetPartitionEpoch())
	if refusal != nil {
		return nil, refusal
	}
	b, refusal := c.named(cmd.GetBroker(), 0)
	switch {
	case refusal != nil:
		return nil, refusal
	case !cmd.GetAcceptLoss():
		return nil, refuse(ReasonLossNotAccepted, "broker %q may lack what was acknowledged; say that the loss is accepted, or wait for the others", b.Name)
	case p.Leader != "":
		return nil, refuse(ReasonHasLeader, "partition %s is led by %q; an unclean election is for partitions without leader", p.ID, p.Leader).
			with("leader", p.Leader)
	case !slices.Contains(p.Replicas, b.Name):
		return nil, refuse(ReasonNotReplica, "broker %q has no replica of partition %s; choose one of %q", b.Name, p.ID, p.Replicas).with("broker", b.Name)
	case b.Fenced:
		return nil, refuse(ReasonBrokerNotLive, "broker %q is fenced; start it, or choose another", b.Name).with("broker", b.Name)
	}
	decision, members := p.ElectUnclean(b.Name)
	c.elected(&p, decision, members)
	c.putPartition(p)
	return nil, nil
}

// electLastKnown gives partitions that are not durable to the best of those that have come back, after the time that they
// wait for the others (protocol.md 3.7). The proposer counts that time; apply has no clock.
func (c *change) electLastKnown(cmd *clusterv1.ElectLastKnown) (*clusterv1.Answer, *Refusal) {
	items := make([]*clusterv1.ItemResult, 0, len(cmd.GetPartitions()))
	for _, asked := range cmd.GetPartitions() {
		p, item := c.partitionItem(asked.GetPartition())
		switch {
		case item != nil:
		case asked.GetPartitionEpoch() != p.PartitionEpoch:
			item = staleItem(p, fmt.Sprintf("partition epoch is %d, not %d", p.PartitionEpoch, asked.GetPartitionEpoch()))
		case p.Leader != "":
			item = refusedItem(p, ReasonHasLeader, fmt.Sprintf("the partition is led by %q", p.Leader))
		case p.Durable && !mutant("metadata-last-known-durable"):
			item = refusedItem(p, ReasonLossNotAccepted, "the stream's sync is ack: it does not accept loss; wait for its replicas")
		default:
			item = c.electOverdue(p)
		}
		items = append(items, item)
	}
	return &clusterv1.Answer{Items: items}, nil
}

func (c *change) electOverdue(p Partition) *clusterv1.ItemResult {
	decision, members := p.ElectOverdue(c.live)
	if decision.Leader == "" {
		decision, members = p.ElectOverdue(c.unfenced)
	}
	if decision.Leader == "" {
		return refusedItem(p, ReasonNoCandidate, decision.Waiting)
	}
	c.elected(&p, decision, members)
	c.putPartition(p)
	return acceptedItem(p)
}

// Waiting says in one sentence for whom a partition without leader waits; empty: it has one.
func (s *State) Waiting(p Partition) string {
	if p.Leader != "" {
		return ""
	}
	var decision election.Decision
	decision, _ = p.Elect(s.unfenced)
	return decision.Waiting
}

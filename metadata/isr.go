package metadata

import (
	"fmt"
	"slices"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// alterISR judges what a leader proposes for the ISRs of its partitions, each item on its own (C2, protocol.md 3.11). An
// item that comes from the leader, in the leader epoch and partition epoch that are, is judged, and then the partition
// epoch is raised whatever the judgement: a copy of it that arrives later is stale and can never be accepted.
func (c *change) alterISR(cmd *clusterv1.AlterISR) (*clusterv1.Answer, *Refusal) {
	items := make([]*clusterv1.ItemResult, 0, len(cmd.GetChanges()))
	for _, asked := range cmd.GetChanges() {
		p, item := c.leaderItem(asked.GetPartition(), cmd.GetLeader(), asked.GetLeaderEpoch())
		if item == nil && asked.GetPartitionEpoch() != p.PartitionEpoch && !mutant("metadata-partition-epoch-unchecked") {
			item = staleItem(p, fmt.Sprintf("partition epoch is %d, not %d", p.PartitionEpoch, asked.GetPartitionEpoch()))
		}
		if item == nil {
			item = c.judgeISR(p, asked.GetIsr())
		}
		items = append(items, item)
	}
	return &clusterv1.Answer{Items: items}, nil
}

// judgeISR accepts or refuses the ISR that the leader of the partition proposes.
func (c *change) judgeISR(p Partition, asked []*clusterv1.BrokerAt) *clusterv1.ItemResult {
	isr := make([]string, 0, len(asked))
	reason, message := Reason(""), ""
	for _, at := range asked {
		if reason == "" {
			reason, message = c.refuseMember(p, at, isr)
		}
		isr = append(isr, at.GetName())
	}
	if reason == "" && !slices.Contains(isr, p.Leader) {
		reason, message = ReasonInvalid, fmt.Sprintf("the leader %q is missing; a leader is in its own ISR", p.Leader)
	}
	if reason != "" {
		if !mutant("metadata-refused-keeps-epoch") {
			p.PartitionEpoch = c.index
			c.putPartition(p)
		}
		return refusedItem(p, reason, message)
	}
	p.PartitionEpoch = c.index
	if elr := p.ELR; mutant("metadata-elr-kept") {
		p.Membership = p.InSync(isr)
		p.ELR = slices.DeleteFunc(slices.Clone(elr), func(b string) bool { return slices.Contains(isr, b) })
	} else {
		p.Membership = p.InSync(isr)
	}
	c.finishReassignment(&p)
	if leader, _ := c.Broker(p.Leader); leader.Stopping {
		c.stepAside(&p, p.Leader)
	}
	c.putPartition(p)
	return acceptedItem(p)
}

// refuseMember says why a broker may not be in the ISR; an empty reason: it may. A leader that is about to stop stays in
// its own, or it could not take in the one that is to take over.
func (c *change) refuseMember(p Partition, at *clusterv1.BrokerAt, others []string) (Reason, string) {
	name := at.GetName()
	b, known := c.Broker(name)
	switch {
	case slices.Contains(others, name):
		return ReasonInvalid, fmt.Sprintf("broker %q is named twice", name)
	case !slices.Contains(p.Replicas, name):
		return ReasonNotReplica, fmt.Sprintf("broker %q has no replica of the partition", name)
	case !known:
		return ReasonBrokerNotFound, fmt.Sprintf("broker %q is not known", name)
	case at.GetEpoch() != b.Epoch && !mutant("metadata-member-epoch-unchecked"):
		return ReasonStaleBroker, fmt.Sprintf("broker %q is in epoch %d, not %d", name, b.Epoch, at.GetEpoch())
	case b.Fenced && !mutant("metadata-fenced-member-accepted"):
		return ReasonBrokerNotLive, fmt.Sprintf("broker %q is fenced", name)
	case b.Stopping && name != p.Leader:
		return ReasonBrokerNotLive, fmt.Sprintf("broker %q is about to stop", name)
	}
	return "", ""
}

// reportDamage takes the copies that turned out damaged or gone out of what may be elected. The only copy that there is
// stays: nobody has more (protocol.md 1.17). A report from before the last change of the partition is not believed: the copy
// may have been repaired since, and elections that count a whole copy as lost wait for too few others.
//
// The partition epoch rises even if the copy did not count any more: its leader may have asked to take it in, on the word
// that it gave before, and that command must be refused when it comes.
func (c *change) reportDamage(cmd *clusterv1.ReportDamage) (*clusterv1.Answer, *Refusal) {
	if cmd.GetBroker().GetEpoch() == 0 {
		return nil, refuse(ReasonInvalid, "no broker epoch is given; name the life whose copies are damaged").with("field", "broker")
	}
	b, refusal := c.named(cmd.GetBroker().GetName(), cmd.GetBroker().GetEpoch())
	if refusal != nil {
		return nil, refusal
	}
	items := make([]*clusterv1.ItemResult, 0, len(cmd.GetPartitions()))
	for _, asked := range cmd.GetPartitions() {
		p, item := c.partitionItem(asked.GetPartition())
		switch {
		case item != nil:
		case asked.GetPartitionEpoch() != p.PartitionEpoch && !mutant("metadata-damage-epoch-unchecked"):
			item = staleItem(p, fmt.Sprintf("partition epoch is %d, not %d", p.PartitionEpoch, asked.GetPartitionEpoch()))
		case !slices.Contains(p.Replicas, b.Name):
			item = refusedItem(p, ReasonNotReplica, fmt.Sprintf("broker %q has no replica of the partition", b.Name))
		default:
			after, _ := p.Damaged(b.Name)
			if !after.Equal(p.Membership) || p.Leader != b.Name && !mutant("metadata-damage-unnumbered") {
				p.Membership = after
				c.settle(p)
				p, _ = c.Partition(p.ID)
			}
			item = acceptedItem(p)
		}
		items = append(items, item)
	}
	return &clusterv1.Answer{Items: items}, nil
}

package metadata

import (
	"slices"

	"github.com/trestlehq/trestle/metadata/election"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// reassign begins to move a partition to other replicas (C7): those that come are added, catch up and join the ISR through
// their leader; then those that go leave, in finishReassignment. One that is under way is replaced.
func (c *change) reassign(cmd *clusterv1.Reassign) (*clusterv1.Answer, *Refusal) {
	p, refusal := c.foundPartition(cmd.GetPartition(), cmd.GetPartitionEpoch())
	if refusal != nil {
		return nil, refusal
	}
	return nil, c.reassignTo(p, cmd.GetReplicas())
}

// reassignTo begins to move a partition to the replicas named, instead of where it was being moved to.
func (c *change) reassignTo(p Partition, target []string) *Refusal {
	if refusal := c.checkTarget(p, target); refusal != nil {
		return refusal
	}
	c.moveTo(p, target)
	return nil
}

// cancelReassign goes back to the replicas from before. Where the ISR consists of those that were to come, they stay until
// the others have caught up.
func (c *change) cancelReassign(cmd *clusterv1.CancelReassign) (*clusterv1.Answer, *Refusal) {
	p, refusal := c.foundPartition(cmd.GetPartition(), 0)
	if refusal != nil {
		return nil, refusal
	}
	if len(p.Adding) == 0 && len(p.Removing) == 0 {
		return nil, refuse(ReasonNoReassignment, "partition %s is not being reassigned", p.ID).with("partition", p.ID.String())
	}
	back := minus(p.Replicas, p.Adding)
	if len(back) < p.MinISR {
		return nil, refuse(ReasonMinISR, "partition %s had %d replicas and min ISR is now %d; reassign it instead", p.ID, len(back), p.MinISR)
	}
	c.moveTo(p, back)
	return nil, nil
}

// checkTarget says why a partition may not have these replicas; nil: it may.
func (c *change) checkTarget(p Partition, target []string) *Refusal {
	if len(target) < p.MinISR || len(target) > MaxReplicas {
		return refuse(ReasonMinISR, "%d replicas are named; name at least min ISR, which is %d, and at most %d", len(target), p.MinISR, MaxReplicas).
			with("field", "replicas")
	}
	for i, broker := range target {
		if _, refusal := c.named(broker, 0); refusal != nil {
			return refusal
		}
		switch {
		case slices.Contains(target[:i], broker):
			return refuse(ReasonInvalid, "broker %q is named twice", broker).with("field", "replicas")
		case slices.Contains(p.Replicas, broker):
		case !c.live(broker):
			return refuse(ReasonBrokerNotLive, "broker %q is fenced or about to stop; start it, or choose another", broker).with("broker", broker)
		case c.Load(broker).Replicas >= MaxBrokerReplicas:
			return refuse(ReasonLimit, "broker %q has %d replicas, and no more are allowed; choose another", broker, MaxBrokerReplicas).
				with("broker", broker)
		}
	}
	return nil
}

// moveTo sets the replicas that a partition is to have. Those that go come last, and one that was still to come and holds
// nothing that counts goes at once.
func (c *change) moveTo(p Partition, target []string) {
	before := p
	settled := minus(p.Replicas, p.Adding)
	staying := slices.DeleteFunc(minus(p.Replicas, target), func(b string) bool {
		if mutant("metadata-reassign-drops-elr") {
			return slices.Contains(p.Adding, b) && !slices.Contains(p.ISR, b)
		}
		return slices.Contains(p.Adding, b) && !holds(p.Membership, b) && !slices.Contains(p.Lost, b)
	})
	p.Membership = withReplicas(p.Membership, slices.Concat(target, staying))
	p.Adding, p.Removing = minus(target, settled), staying
	p.PartitionEpoch = c.index
	c.finishReassignment(&p)
	for _, broker := range p.Replicas {
		c.dropDeletion(broker, p.ID)
	}
	c.deleteReplicas(p, minus(before.Replicas, p.Replicas))
	c.putPartition(p)
}

// finishReassignment lets those go that are to go, once all that come are in sync and min ISR members stay. The leader
// epoch ends with it: a leader that goes must not think that it still leads.
func (c *change) finishReassignment(p *Partition) {
	if len(p.Adding) == 0 && len(p.Removing) == 0 {
		return
	}
	isr := minus(p.ISR, p.Removing)
	if len(minus(p.Adding, p.ISR)) > 0 || len(isr) < p.MinISR && !mutant("metadata-reassign-below-min-isr") {
		return
	}
	gone := p.Removing
	p.Membership = withReplicas(p.InSync(isr), minus(p.Replicas, gone))
	p.Adding, p.Removing = nil, nil
	c.deleteReplicas(*p, gone)
	leader := p.Leader
	if slices.Contains(gone, leader) {
		leader = ""
	}
	if !mutant("metadata-reassign-keeps-leader-epoch") {
		c.lead(p, leader, false)
	}
	c.elect(p)
}

// deleteReplicas asks brokers to delete their copies. Nothing is deleted because it is not mentioned any more (S14).
func (c *change) deleteReplicas(p Partition, brokers []string) {
	if mutant("metadata-reassign-lists-no-deletion") {
		return
	}
	for _, broker := range brokers {
		c.putDeletion(broker, p.ID, p.Stream)
	}
}

// withReplicas is the membership with these replicas in this order. None that is left out is in one of its lists.
func withReplicas(m election.Membership, replicas []string) election.Membership {
	order := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(replicas), func(b string) bool { return !slices.Contains(list, b) })
	}
	m.ISR, m.ELR, m.LastKnown, m.Lost = order(m.ISR), order(m.ELR), order(m.LastKnown), order(m.Lost)
	unsure := slices.Clone(m.Unsure)
	slices.SortStableFunc(unsure, func(a, b election.Doubt) int {
		return slices.Index(replicas, a.Broker) - slices.Index(replicas, b.Broker)
	})
	m.Unsure = unsure
	m.Replicas = slices.Clone(replicas)
	return m
}

// minus returns those of a that are not in b, in the order of a; nil: none.
func minus(a, b []string) []string {
	var left []string
	for _, name := range a {
		if !slices.Contains(b, name) {
			left = append(left, name)
		}
	}
	return left
}

package metadata

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// fenceBrokers takes every role from brokers at once (C6): first all are fenced, then each partition that one of them led
// or was in sync on is settled, so that none of them is elected in between. They leave an ISR in one step, too: one after
// the other, the last would be thought to have committed alone, and only it would stay eligible.
func (c *change) fenceBrokers(cmd *clusterv1.FenceBrokers) (*clusterv1.Answer, *Refusal) {
	items := make([]*clusterv1.ItemResult, 0, len(cmd.GetBrokers()))
	var fenced []string
	for _, at := range cmd.GetBrokers() {
		b, refusal := c.named(at.GetName(), at.GetEpoch())
		verdict, message := clusterv1.Verdict_VERDICT_STALE, ""
		switch {
		case refusal != nil:
			message = refusal.Message
		case at.GetEpoch() == 0:
			message = "no broker epoch is given; name the life that is to be fenced"
		case b.Fenced:
			message = fmt.Sprintf("broker %q is fenced already", b.Name)
		default:
			verdict = clusterv1.Verdict_VERDICT_ACCEPTED
			b.Fenced = true
			c.putBroker(b)
			fenced = append(fenced, b.Name)
		}
		items = append(items, itemOf(Partition{}, verdict, "", message))
	}
	var changed []Partition
	for _, id := range c.placedOnAny(fenced) {
		p, _ := c.Partition(id)
		isr := minus(p.ISR, fenced)
		if len(isr) == len(p.ISR) || mutant("metadata-fence-keeps-isr") && slices.Contains(isr, p.Leader) {
			continue
		}
		p.Membership = p.InSync(isr)
		if mutant("metadata-elr-forgotten") {
			p.ELR = nil
		}
		changed = append(changed, c.settled(p))
	}
	c.putPartitions(changed)
	return &clusterv1.Answer{Items: items}, nil
}

// placedOnAny returns the UUIDs of the partitions that have a replica on one of the brokers, sorted, each once.
func (s *State) placedOnAny(brokers []string) []uuid.UUID {
	var ids []uuid.UUID
	for _, broker := range brokers {
		ids = append(ids, s.placedOn(broker)...)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// drainBroker takes from a broker that is about to stop every role that another can have: it leaves the ISRs, so that no
// commit waits for it, and its leaderships move. What only it can lead it leads on, and the answer lists.
func (c *change) drainBroker(cmd *clusterv1.DrainBroker) (*clusterv1.Answer, *Refusal) {
	b, refusal := c.named(cmd.GetName(), cmd.GetEpoch())
	if refusal != nil {
		return nil, refusal
	}
	if b.Fenced {
		return nil, refuse(ReasonBrokerNotLive, "broker %q is fenced and has no role", b.Name).with("broker", b.Name)
	}
	b.Stopping = !cmd.GetCancel()
	c.putBroker(b)
	if !b.Stopping {
		return nil, nil
	}
	var changed []Partition
	var stillLed [][]byte
	for _, id := range c.placedOn(b.Name) {
		p, _ := c.Partition(id)
		if c.stepAside(&p, b.Name) {
			changed = append(changed, p)
		}
		if p.Leader == b.Name {
			stillLed = append(stillLed, p.ID[:])
		}
	}
	c.putPartitions(changed)
	return &clusterv1.Answer{StillLed: stillLed}, nil
}

// stepAside takes a stopping broker out of the ISR of a partition, and out of its leadership, if another live member of the
// ISR can have that. It says whether anything changed.
func (c *change) stepAside(p *Partition, broker string) bool {
	if !slices.Contains(p.ISR, broker) {
		return false
	}
	others := slices.ContainsFunc(p.ISR, func(b string) bool { return b != broker && c.live(b) })
	if p.Leader == broker && (!others || mutant("metadata-drain-leaves-leader")) {
		return false
	}
	p.Membership = p.Left(broker)
	p.PartitionEpoch = c.index
	c.elect(p)
	return true
}

// removeBroker forgets a broker that is gone for good.
func (c *change) removeBroker(cmd *clusterv1.RemoveBroker) (*clusterv1.Answer, *Refusal) {
	b, refusal := c.named(cmd.GetName(), cmd.GetEpoch())
	if refusal != nil {
		return nil, refusal
	}
	if cmd.GetAcceptLoss() && cmd.GetEpoch() == 0 {
		return nil, refuse(ReasonInvalid, "no broker epoch is given; read the state and name the life whose copies are lost").with("field", "epoch")
	}
	if !b.Fenced {
		return nil, refuse(ReasonBrokerAlive, "broker %q is alive; drain and stop it first", b.Name).with("broker", b.Name)
	}
	ids := c.placedOn(b.Name)
	if len(ids) > 0 && !cmd.GetAcceptLoss() {
		return nil, refuse(ReasonBrokerInUse, "broker %q has replicas of %d partitions; reassign them first, or accept that they are lost",
			b.Name, len(ids)).with("broker", b.Name)
	}
	c.brokers, _, _ = c.brokers.Delete([]byte(b.Name))
	var changed []Partition
	for _, id := range ids {
		p, _ := c.Partition(id)
		if after := p.LostCopy(b.Name); !after.Equal(p.Membership) {
			p.Membership = after
			changed = append(changed, c.settled(p))
		}
	}
	c.putPartitions(changed)
	c.dropDeletionsOf(b.Name)
	return nil, nil
}

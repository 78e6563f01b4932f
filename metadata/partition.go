package metadata

import (
	"slices"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata/election"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Partition is who leads one partition, who holds it, and what may be done with it.
type Partition struct {
	ID     uuid.UUID
	Stream uuid.UUID
	// Number within the stream, from 0.
	Number int32
	// Leader is a member of the ISR; empty: none can be had, and the ISR is empty.
	Leader string
	// LeaderEpoch is the raft index of the command that gave the partition this leader, or took it. It only grows.
	LeaderEpoch uint64
	// PartitionEpoch is the raft index of the last command that changed or judged leader or members. It only grows.
	PartitionEpoch uint64
	// UncleanEpoch is the last leader epoch that began with a leader that may lack what was acknowledged; 0: none.
	UncleanEpoch uint64
	// Membership says who holds what was committed. Replicas: those that go come last while a reassignment is under way.
	election.Membership
	// Adding and Removing are the replicas that come and go in a reassignment.
	Adding, Removing []string
	Mode             trestlev1.Mode
	// ModeSince is when the mode was set, Unix time in nanoseconds as the command said.
	ModeSince int64
	// ReservedOffset bounds the offsets that memory logs have ever given, exclusive (protocol.md 3.8).
	ReservedOffset int64
}

// holds says whether the copy of the broker may have something that was committed, or counts in an election.
func holds(m election.Membership, broker string) bool {
	return slices.Contains(m.ISR, broker) || slices.Contains(m.ELR, broker) || slices.Contains(m.LastKnown, broker)
}

// elect gives a partition without leader one, if any can be had, and says whether it did. Brokers that are about to stop
// lead only what no other can.
func (c *change) elect(p *Partition) bool {
	if p.Leader != "" && slices.Contains(p.ISR, p.Leader) {
		return false
	}
	if p.Leader != "" {
		c.lead(p, "", false)
	}
	decision, members := p.Elect(c.live)
	if decision.Leader == "" {
		decision, members = p.Elect(c.unfenced)
	}
	if decision.Leader == "" {
		return false
	}
	c.elected(p, decision, members)
	return true
}

// elected carries out what an election came to.
func (c *change) elected(p *Partition, decision election.Decision, members election.Membership) {
	p.Membership = members
	c.lead(p, decision.Leader, decision.Unclean)
	c.finishReassignment(p)
}

func (s *State) unfenced(broker string) bool {
	b, ok := s.Broker(broker)
	return ok && (!b.Fenced || mutant("metadata-fenced-elected"))
}

// lead ends the leader epoch and begins one with that leader; empty: without any.
func (c *change) lead(p *Partition, leader string, unclean bool) {
	p.Leader = leader
	if !mutant("metadata-leader-epoch-kept") {
		p.LeaderEpoch = c.index
	}
	p.PartitionEpoch = c.index
	if unclean && !mutant("metadata-unclean-unmarked") {
		p.UncleanEpoch = c.index
	}
}

// settle puts back a partition whose members or min ISR have changed: without a leader in the ISR it gets a new one.
func (c *change) settle(p Partition) {
	c.putPartition(c.settled(p))
}

// settled is what settle puts back.
func (c *change) settled(p Partition) Partition {
	p.PartitionEpoch = c.index
	c.elect(&p)
	c.finishReassignment(&p)
	return p
}

// putPartition adds or replaces a partition.
func (c *change) putPartition(p Partition) {
	c.putPartitions([]Partition{p})
}

// putPartitions adds or replaces partitions, each named once. Many at once cost far less than one by one: a broker that
// goes takes thousands along, and raft waits for apply.
func (c *change) putPartitions(list []Partition) {
	trees, loads := c.partitions.Txn(), loadChanges{}
	for _, p := range list {
		before, had := c.Partition(p.ID)
		if !had || !slices.Equal(before.Replicas, p.Replicas) {
			c.place(p.ID, before.Replicas, p.Replicas)
		}
		loads.count(before, p)
		trees.Insert(p.ID[:], &p) // a copy of its own: the list must not stay for the sake of one
	}
	c.partitions = trees.CommitOnly()
	c.changeLoads(loads)
}

// place keeps the index of placements up, and when each broker was last given one.
func (c *change) place(id uuid.UUID, before, after []string) {
	for _, broker := range before {
		c.placed, _, _ = c.placed.Delete(placementKey(broker, id))
	}
	for _, broker := range after {
		c.placed, _, _ = c.placed.Insert(placementKey(broker, id), struct{}{})
		if b, known := c.Broker(broker); known && b.PlacedAt != c.index && !slices.Contains(before, broker) {
			b.PlacedAt = c.index
			c.putBroker(b)
		}
	}
}

// dropPartition forgets a partition.
func (c *change) dropPartition(id uuid.UUID) {
	before, _ := c.Partition(id)
	c.place(id, before.Replicas, nil)
	c.partitions, _, _ = c.partitions.Delete(id[:])
	loads := loadChanges{}
	loads.count(before, Partition{})
	c.changeLoads(loads)
}

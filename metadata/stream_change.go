package metadata

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func (c *change) updateStream(cmd *clusterv1.UpdateStream) (*clusterv1.Answer, *Refusal) {
	stream, refusal := c.userStream(cmd.GetUuid())
	if refusal != nil {
		return nil, refusal
	}
	if r := cmd.GetRevision(); r != 0 && r != stream.Revision && !mutant("metadata-stale-revision-accepted") {
		return nil, refuse(ReasonStaleRevision, "stream %q is at revision %d, not %d; read it again and decide anew", stream.Name(), stream.Revision, r).
			with("stream", stream.Name()).with("revision", fmt.Sprint(stream.Revision))
	}
	before := stream.Config
	after, err := updated(before, cmd.GetConfig(), stream.Internal)
	if err != nil {
		return nil, refuseConfig(err)
	}
	if len(Differences(before, after)) == 0 && len(cmd.GetAdded()) == 0 {
		return streamAnswer(stream.ID, stream.Revision, true), nil
	}
	stream.Config, stream.Revision = after, c.index
	for _, part := range []func(*Stream, *trestlev1.StreamConfig, *clusterv1.UpdateStream) *Refusal{
		c.changeMembership, c.changeReplicas, c.grow,
	} {
		if refusal := part(&stream, before, cmd); refusal != nil {
			return nil, refusal
		}
	}
	c.putStream(stream)
	if refusal := c.checkConfigBytes(); refusal != nil {
		return nil, refusal
	}
	return streamAnswer(stream.ID, stream.Revision, true), nil
}

// changeMembership passes on to the partitions what elections depend on. Sync is not raised to ack: elections would hold for
// sure what was committed before and lies in page caches, and lose it without a word (S1).
func (c *change) changeMembership(stream *Stream, before *trestlev1.StreamConfig, _ *clusterv1.UpdateStream) *Refusal {
	minISR, durable := int(stream.Config.GetMinIsr()), Durable(stream.Config)
	if int(before.GetMinIsr()) == minISR && Durable(before) == durable {
		return nil
	}
	if durable && !Durable(before) && !mutant("metadata-sync-raised-at-once") {
		return refuse(ReasonUnimplemented, "stream %q acknowledges before it has fsynced, and what it acknowledged so far cannot be made sure yet; create another stream with sync ack",
			stream.Name()).with("stream", stream.Name()).with("field", "sync")
	}
	changed := make([]Partition, 0, len(stream.Partitions))
	for _, id := range stream.Partitions {
		p, _ := c.Partition(id)
		if refusal := refuseSync(stream, &p, durable); refusal != nil {
			return refusal
		}
		if p.MinISR != minISR {
			p.Membership = p.WithMinISR(minISR)
			if mutant("metadata-min-isr-forgets-elr") {
				p.ELR, p.Lost, p.Unsure = nil, nil, nil
			}
		}
		p.Durable = durable
		changed = append(changed, c.settled(p))
	}
	c.putPartitions(changed)
	return nil
}

// refuseSync says why sync of a partition may not change now. It decides who may become leader, so there must be one; and it
// decides how members count that come back, so none may be judged half by the old answer and half by the new: a leader that
// restarts would be passed over for a member of before whose tail nobody vouches for.
func refuseSync(stream *Stream, p *Partition, durable bool) *Refusal {
	var refusal *Refusal
	switch {
	case p.Durable == durable:
		return nil
	case p.Leader == "":
		refusal = refuse(ReasonNoLeader, "partition %d of stream %q has no leader, and sync decides who may become one; change sync when it has", p.Number, stream.Name())
	case len(p.ELR)+len(p.Unsure)+len(p.Lost) > 0 && !mutant("metadata-sync-changed-while-short"):
		refusal = refuse(ReasonMinISR, "partition %d of stream %q lacks replicas that may have to be elected as they were; change sync when min_isr of them are in sync again",
			p.Number, stream.Name())
	default:
		return nil
	}
	return refusal.with("stream", stream.Name()).with("partition", fmt.Sprint(p.Number))
}

// grow adds partitions. Keys go to other partitions from then on, which a compacted stream cannot take: the newest record of
// a key would be found nowhere (protocol.md 3.15).
func (c *change) grow(stream *Stream, before *trestlev1.StreamConfig, cmd *clusterv1.UpdateStream) *Refusal {
	have, want := before.GetPartitions(), stream.Config.GetPartitions()
	switch {
	case want < have:
		return refuseConfig(invalid("partitions", fmt.Sprint(want), fmt.Sprintf("is fewer than the %d that there are, and partitions only grow", have),
			"create another stream"))
	case want > have && (before.GetCompact() || stream.Config.GetCompact()):
		return refuseConfig(invalid("partitions", fmt.Sprint(want), "cannot be had: keys of a compacted stream stay in their partitions", "create another stream"))
	}
	if want > have && !mutant("metadata-growth-keeps-epoch") {
		stream.GrowthEpoch = c.index
	}
	return c.addPartitions(stream, cmd.GetAdded())
}

// deleteStream takes the stream away. Its copies are listed for each broker that may have one: only that list lets a broker
// remove data, and it does so by UUID (S14).
func (c *change) deleteStream(cmd *clusterv1.DeleteStream) (*clusterv1.Answer, *Refusal) {
	stream, refusal := c.userStream(cmd.GetUuid())
	if refusal != nil {
		return nil, refusal
	}
	for _, id := range stream.Partitions {
		p, _ := c.Partition(id)
		for _, broker := range p.Replicas {
			if !mutant("metadata-deletion-not-listed") {
				c.putDeletion(broker, id, stream.ID)
			}
		}
		c.dropPartition(id)
	}
	for group := range c.Groups(stream.ID) {
		c.unsetGroup(group)
	}
	c.dropStream(stream)
	if refusal := c.checkDeletions(); refusal != nil {
		return nil, refusal
	}
	return streamAnswer(stream.ID, stream.Revision, true), nil
}

// checkDeletions refuses to let the deletions that wait for absent brokers grow without end.
func (c *change) checkDeletions() *Refusal {
	if n := c.streams.deletions.Len(); n > MaxAllPendingDeletions {
		return refuse(ReasonLimit, "%d deletions would wait for brokers, more than %d; bring brokers back, or remove those that are gone", n, MaxAllPendingDeletions).
			with("limit", "pending deletions")
	}
	for b := range c.Brokers() {
		if n := c.pendingDeletions(b.Name); n > MaxPendingDeletions {
			return refuse(ReasonLimit, "%d deletions would wait for broker %q, more than %d; bring it back, or remove it", n, b.Name, MaxPendingDeletions).
				with("limit", "pending deletions").with("broker", b.Name)
		}
	}
	return nil
}

// ackDeleted takes off the list what a broker has removed. What is not on the list is skipped: the same again is fine. What
// was listed after the state that the broker had is another copy than the one that it removed, and stays.
func (c *change) ackDeleted(cmd *clusterv1.AckDeleted) (*clusterv1.Answer, *Refusal) {
	if _, refusal := c.named(cmd.GetBroker(), 0); refusal != nil {
		return nil, refusal
	}
	for _, b := range cmd.GetPartitions() {
		id, err := uuid.FromBytes(b)
		if err != nil {
			return nil, refuse(ReasonInvalid, "partition UUID %x has %d bytes; give 16", b, len(b)).with("field", "partitions")
		}
		if d, listed := c.deletion(cmd.GetBroker(), id); listed && (d.Index <= cmd.GetStateIndex() || mutant("metadata-deletion-struck-off-late")) {
			c.dropDeletion(cmd.GetBroker(), id)
		}
	}
	return nil, nil
}

// setStreamMode pauses, resumes or write-protects partitions. The mode is no part of what elections depend on, so the
// partition epoch stays. A partition that has the mode already keeps the time at which it got it.
func (c *change) setStreamMode(cmd *clusterv1.SetStreamMode) (*clusterv1.Answer, *Refusal) {
	stream, refusal := c.userStream(cmd.GetUuid())
	if refusal != nil {
		return nil, refusal
	}
	if cmd.GetMode() == trestlev1.Mode_MODE_UNSPECIFIED {
		return nil, refuse(ReasonInvalid, "mode is not set; use MODE_ACTIVE, MODE_PAUSED or MODE_READ_ONLY").with("field", "mode")
	}
	numbers := slices.Clone(cmd.GetPartitions())
	if len(numbers) == 0 {
		for i := range stream.Partitions {
			numbers = append(numbers, int32(i))
		}
	}
	for _, number := range numbers {
		p, ok := c.PartitionOf(stream, number)
		if !ok {
			return nil, refuse(ReasonPartitionNotFound, "stream %q has partitions 0 to %d and no %d", stream.Name(), len(stream.Partitions)-1, number).
				with("stream", stream.Name()).with("partition", fmt.Sprint(number))
		}
		if p.Mode != cmd.GetMode() || mutant("metadata-pause-begins-again") {
			p.Mode, p.ModeSince = cmd.GetMode(), cmd.GetTime()
			c.putPartition(p)
		}
	}
	return streamAnswer(stream.ID, stream.Revision, true), nil
}

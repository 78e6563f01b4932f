package metadata

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// changeReplicas moves every partition to as many replicas as the stream is to have.
func (c *change) changeReplicas(stream *Stream, before *trestlev1.StreamConfig, _ *clusterv1.UpdateStream) *Refusal {
	if stream.Config.GetReplicas() != before.GetReplicas() {
		if refusal := c.fillReplicas(stream); refusal != nil {
			return refusal
		}
	}
	for _, id := range stream.Partitions {
		p, _ := c.Partition(id)
		if n := len(minus(p.Replicas, p.Removing)); n < p.MinISR {
			return refuse(ReasonMinISR, "partition %d of stream %q was reassigned to %d replicas, fewer than min_isr = %d; reassign it to more first", p.Number, stream.Name(), n, p.MinISR).
				with("stream", stream.Name()).with("partition", fmt.Sprint(p.Number))
		}
	}
	return nil
}

// fillReplicas gives every partition the number of replicas that its stream is to have. Replicas on brokers that were
// removed are replaced.
func (c *change) fillReplicas(stream *Stream) *Refusal {
	want := int(stream.Config.GetReplicas())
	for _, id := range stream.Partitions {
		p, _ := c.Partition(id)
		have := minus(p.Replicas, p.Removing)
		target := slices.DeleteFunc(slices.Clone(have), func(b string) bool { _, known := c.Broker(b); return !known })
		target = c.fewer(p, target, want)
		target = append(target, c.lightest(p, target, want-len(target))...)
		if len(target) < want {
			return refuse(ReasonTooFewBrokers, "stream %q asks for %d replicas and the cluster has %d brokers that can hold one of partition %d; add brokers, or use fewer replicas",
				stream.Name(), want, len(target), p.Number).with("stream", stream.Name()).with("partition", fmt.Sprint(p.Number))
		}
		if slices.Equal(target, have) {
			continue
		}
		if refusal := c.reassignTo(p, target); refusal != nil {
			return refusal
		}
	}
	return nil
}

// fewer keeps the replicas that are worth most, in order of preference: the leader, then those in sync, then those whose
// brokers are there.
func (c *change) fewer(p Partition, replicas []string, want int) []string {
	if len(replicas) <= want {
		return replicas
	}
	worth := func(b string) int {
		switch {
		case b == p.Leader:
			return 0
		case slices.Contains(p.ISR, b):
			return 1
		case holds(p.Membership, b):
			return 2
		case c.live(b):
			return 3
		default:
			return 4
		}
	}
	kept := slices.SortedStableFunc(slices.Values(replicas), func(a, b string) int { return cmp.Compare(worth(a), worth(b)) })[:want]
	return slices.DeleteFunc(slices.Clone(replicas), func(b string) bool { return !slices.Contains(kept, b) })
}

// lightest returns up to n brokers that are up and hold fewest partitions, and none of this one; of equals the first by
// name.
func (c *change) lightest(p Partition, taken []string, n int) []string {
	var found []string
	for b := range c.Brokers() {
		if b.Live() && !slices.Contains(taken, b.Name) && (slices.Contains(p.Replicas, b.Name) || c.Load(b.Name).Replicas < MaxBrokerReplicas) {
			found = append(found, b.Name)
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(c.Load(a).Replicas, c.Load(b).Replicas) })
	return found[:max(0, min(n, len(found)))]
}

// cursorsName of the stream that stores cursors (protocol.md 2.12).
const cursorsName = "__cursors"

// addInternalStreams makes the streams that brokers need for themselves as soon as there is a broker, and gives them more
// replicas as more brokers come. What cannot be had now is tried again when the next broker registers. Their UUIDs derive
// from the cluster's, so that no proposer has to choose them.
func (c *change) addInternalStreams() {
	saved := *c.State
	stream, exists := c.Stream(cursorsName)
	var refusal *Refusal
	if exists {
		refusal = c.widen(stream)
	} else {
		refusal = c.makeCursors()
	}
	if refusal != nil {
		*c.State = saved
	}
}

func (c *change) makeCursors() *Refusal {
	config, err := complete(&trestlev1.StreamConfig{
		Name: cursorsName, Compact: proto.Bool(true), SegmentBytes: proto.Int64(cursorsSegmentBytes), DedupWindow: durationpb.New(0),
	}, c.brokers.Len(), true)
	if err != nil {
		return refuseConfig(err)
	}
	id := uuid.NewSHA1(c.cluster.UUID, []byte(cursorsName))
	partition := uuid.NewSHA1(c.cluster.UUID, []byte(cursorsName+"/0"))
	stream := Stream{ID: id, Internal: true, Config: config, Revision: c.index, GrowthEpoch: c.index}
	if refusal := c.addPartitions(&stream, []*clusterv1.NewPartition{{Uuid: partition[:]}}); refusal != nil {
		return refusal
	}
	c.putStream(stream)
	return nil
}

// widen gives an internal stream up to three replicas, and replaces those on brokers that were removed.
func (c *change) widen(stream Stream) *Refusal {
	before := stream.Config
	if want := int32(min(defaultReplicas, c.brokers.Len())); want > before.GetReplicas() {
		config, err := updated(before, &trestlev1.StreamConfig{Replicas: &want, MinIsr: proto.Int32(defaultMinISR(want))}, true)
		if err != nil {
			return refuseConfig(err)
		}
		stream.Config, stream.Revision = config, c.index
		c.putStream(stream)
	}
	if refusal := c.changeMembership(&stream, before, nil); refusal != nil {
		return refusal
	}
	return c.fillReplicas(&stream)
}

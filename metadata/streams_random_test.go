package metadata

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// TestRandomStreams runs histories of commands about streams between commands about brokers, made from a seed. After each
// the state must be whole, a refused one must have changed nothing, a second copy that is restored from its snapshots must
// be the same to the byte, and no copy of a partition may be deleted while the broker is its replica (S14).
func TestRandomStreams(t *testing.T) {
	t.Parallel()
	kinds := map[string]int{}
	for seed := range *randomSeeds {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { randomStreams(t, seed, kinds) }) {
			return
		}
	}
	for _, name := range []string{"CreateStream", "UpdateStream", "DeleteStream", "SetStreamMode", "AckDeleted", "PutGroup", "DeleteGroup"} {
		if kinds[name] == 0 {
			t.Errorf("no history had a %s that was accepted", name)
		}
	}
}

func randomStreams(t *testing.T, seed uint64, kinds map[string]int) {
	c := &chaos{Rand: rand.New(rand.NewPCG(seed, 7)), story: newStory(t)}
	c.brokers = []string{"a", "b", "c", "d", "e"}[:3+c.IntN(3)]
	for _, broker := range c.brokers[:len(c.brokers)-1] {
		c.start(broker)
	}
	twin := roundTrip(t, c.s)
	for step := range 200 {
		m := c.streamCommand()
		if c.IntN(8) == 0 {
			c.spoil(m.ProtoReflect())
		}
		encoded, err := EncodeCommand(commandOf(t, m))
		if err != nil {
			t.Fatal(err)
		}
		before := c.s
		var result, twinResult Result
		c.s, result = before.Apply(before.Index()+1, encoded)
		twin, twinResult = twin.Apply(before.Index()+1, encoded)
		if err := c.s.Check(); err != nil {
			t.Fatalf("step %d: after %T %v: %v\nbefore: %v", step, m, m, err, describe(before))
		}
		c.checkGrowth(before)
		sameResult(t, result, twinResult)
		if result.Err() == nil {
			kinds[string(m.ProtoReflect().Descriptor().Name())]++
		} else if c.s.streams != before.streams || c.s.partitions != before.partitions {
			t.Fatalf("step %d: %T is refused and has changed the state: %v", step, m, result.Err())
		}
		if c.IntN(10) == 0 {
			if !bytes.Equal(snapshotOf(t, c.s), snapshotOf(t, twin)) {
				t.Fatalf("step %d: two copies differ after %T %v", step, m, m)
			}
			twin = roundTrip(t, twin)
		}
	}
}

func (c *chaos) streamCommand() proto.Message {
	if len(c.old) > 0 && c.IntN(12) == 0 {
		return proto.Clone(c.old[c.IntN(len(c.old))])
	}
	makers := []func() proto.Message{
		c.register, c.fenceSome, c.changeISR, c.changeISR, c.reassignOne, c.ofBroker, c.ofPartition, c.acknowledge,
		c.makeStream, c.updateOne, c.updateOne, c.updateOne, c.setMode, c.putOneGroup, c.putOneGroup, c.deleteOneGroup,
	}
	m := makers[c.IntN(len(makers))]()
	c.old = append(c.old, proto.Clone(m))
	return m
}

func (c *chaos) oneStream() Stream {
	all := slices.Collect(c.s.Streams())
	if len(all) == 0 {
		return Stream{}
	}
	return all[c.IntN(len(all))]
}

func (c *chaos) updateOne() proto.Message {
	stream := c.oneStream()
	m := &clusterv1.UpdateStream{Uuid: stream.ID[:], Config: &trestlev1.StreamConfig{}}
	if c.IntN(3) > 0 {
		m.Revision = stream.Revision
	}
	switch c.IntN(6) {
	case 0:
		more := c.IntN(3)
		m.Config.Partitions = proto.Int32(int32(len(stream.Partitions) + more))
		m.Added = c.newPartitions(more)
	case 1:
		m.Config.MinIsr = proto.Int32(int32(1 + c.IntN(3)))
	case 2:
		m.Config.Replicas = proto.Int32(int32(1 + c.IntN(len(c.brokers))))
	case 3:
		m.Config.Sync = trestlev1.Sync(1 + c.IntN(3))
	case 4:
		m.Config.Labels = map[string]string{fmt.Sprint(c.IntN(5)): "x", "y": fmt.Sprint(c.IntN(5))}
	case 5:
		m.Config.RetainAge = durationpb.New(1 << c.IntN(40))
		m.Config.MinIsr, m.Config.Replicas = proto.Int32(int32(1+c.IntN(3))), proto.Int32(int32(1+c.IntN(len(c.brokers))))
	}
	return m
}

func (c *chaos) setMode() proto.Message {
	stream := c.oneStream()
	m := &clusterv1.SetStreamMode{Uuid: stream.ID[:], Mode: trestlev1.Mode(1 + c.IntN(3)), Time: c.Int64N(1 << 60)}
	if c.IntN(2) == 0 {
		m.Partitions = []int32{int32(c.IntN(3))}
	}
	return m
}

func (c *chaos) putOneGroup() proto.Message {
	stream := c.oneStream()
	name := fmt.Sprint("g", c.IntN(3))
	before, _ := c.s.Group(stream.ID, name)
	return &clusterv1.PutGroup{
		Stream: stream.ID[:], Name: name, Revision: before.Revision,
		Config: &clusterv1.GroupConfig{Settings: map[string]string{"a": fmt.Sprint(c.IntN(9)), "b": "x"}},
	}
}

func (c *chaos) deleteOneGroup() proto.Message {
	for group := range c.s.allGroups() {
		return &clusterv1.DeleteGroup{Stream: group.Stream[:], Name: group.Name}
	}
	return &clusterv1.DeleteGroup{Name: "none"}
}

package metadata

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

var randomSeeds = flag.Uint64("seeds", 40, "histories of TestRandomHistories")

// TestRandomHistories runs histories of commands over 3 to 5 brokers, made from a seed: sensible ones, ones with a part
// made up, and old ones once more. After each the state must be whole, epochs must have grown, and a second copy, restored
// from a snapshot now and then, must be the same to the byte.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	kinds := map[string]int{}
	for seed := range *randomSeeds {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { randomHistory(t, seed, kinds) }) {
			return
		}
	}
	for _, row := range Table() {
		if kinds[row.Name] == 0 && !slices.Contains([]string{"InitCluster", "UpdateStream", "PutGroup", "DeleteGroup", "SetStreamMode"}, row.Name) {
			t.Errorf("no history had a %s that was accepted", row.Name)
		}
	}
	t.Logf("accepted: %v", kinds)
}

func randomHistory(t *testing.T, seed uint64, kinds map[string]int) {
	c := &chaos{Rand: rand.New(rand.NewPCG(seed, 1)), story: newStory(t)}
	c.brokers = []string{"a", "b", "c", "d", "e"}[:3+c.IntN(3)]
	for _, broker := range c.brokers {
		c.start(broker)
	}
	twin := roundTrip(t, c.s)
	for step := range 250 {
		m := c.command()
		if c.IntN(6) == 0 {
			c.spoil(m.ProtoReflect())
		}
		encoded, err := EncodeCommand(commandOf(t, m))
		if err != nil {
			t.Fatal(err)
		}
		before := c.s
		var result Result
		index := before.Index() + 1 + c.Uint64N(3)
		c.s, result = before.Apply(index, encoded)
		var twinResult Result
		twin, twinResult = twin.Apply(index, encoded)
		if err := c.s.Check(); err != nil {
			t.Fatalf("step %d: after %T %v: %v\nbefore: %v", step, m, m, err, describe(before))
		}
		c.checkGrowth(before)
		sameResult(t, result, twinResult)
		if result.Err() == nil {
			kinds[string(m.ProtoReflect().Descriptor().Name())]++
		} else if c.s.partitions != before.partitions || c.s.brokers != before.brokers || c.s.placed != before.placed {
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

func sameResult(t *testing.T, a, b Result) {
	t.Helper()
	one, errOne := EncodeResult(a)
	two, errTwo := EncodeResult(b)
	if errOne != nil || errTwo != nil || !bytes.Equal(one, two) {
		t.Fatalf("two copies answer %+v (%v) and %+v (%v)", a, errOne, b, errTwo)
	}
}

func describe(s *State) string {
	var b bytes.Buffer
	for broker := range s.Brokers() {
		fmt.Fprintf(&b, "\n%+v", broker)
	}
	for p := range s.Partitions() {
		fmt.Fprintf(&b, "\n%+v", p)
	}
	return b.String()
}

// chaos makes commands.
type chaos struct {
	*rand.Rand
	*story
	brokers []string
	old     []proto.Message
}

func (c *chaos) broker() string { return c.brokers[c.IntN(len(c.brokers))] }

// some returns some of the brokers in a random order.
func (c *chaos) some(from []string, least int) []string {
	list := slices.Clone(from)
	c.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(len(list), least+c.IntN(max(1, len(list)-least+1)))]
}

// onePartition returns one of the partitions; the zero one if there is none.
func (c *chaos) onePartition() Partition {
	all := slices.Collect(c.s.Partitions())
	if len(all) == 0 {
		return Partition{Membership: Partition{}.Membership}
	}
	return all[c.IntN(len(all))]
}

// command makes a command that is sensible in the state that is, or proposes an old one again.
func (c *chaos) command() proto.Message {
	if len(c.old) > 0 && c.IntN(12) == 0 {
		return proto.Clone(c.old[c.IntN(len(c.old))])
	}
	makers := []func() proto.Message{
		c.register, c.register, c.register, c.fenceSome, c.fenceSome, c.changeISR, c.changeISR, c.changeISR, c.changeISR,
		c.moveLeader, c.makeStream, c.damage, c.reassignOne, c.ofBroker, c.ofPartition, c.ofNumbers, c.acknowledge,
	}
	m := makers[c.IntN(len(makers))]()
	c.old = append(c.old, proto.Clone(m))
	return m
}

func (c *chaos) register() proto.Message {
	name := c.broker()
	for _, other := range c.brokers {
		if b, ok := c.s.Broker(other); !ok || b.Fenced {
			name = other // one that is away, if any
		}
	}
	before, _ := c.s.Broker(name)
	r := c.registration(name)
	r.Reports = c.reports(name, c.Uint64N(c.s.Index()+1), c.Uint64N(50))
	switch c.IntN(8) {
	case 0:
		c.storage[name]++
		r.Storage = identity('s', name, c.storage[name])
	case 1:
		r.Incarnation = before.Incarnation[:]
	case 2:
		r.Reports = r.Reports[:c.IntN(len(r.Reports)+1)]
	case 3, 4, 5:
		r.CleanEpoch = before.Epoch
	}
	for _, report := range r.Reports {
		if c.IntN(10) == 0 {
			report.State = clusterv1.CopyState(1 + c.IntN(3))
		}
	}
	if c.IntN(3) == 0 {
		r.MaxFeatureLevel = 3
	}
	if c.IntN(6) == 0 {
		r.StateIndex = 1 + c.Uint64N(c.s.Index())
	}
	return r
}

func (c *chaos) fenceSome() proto.Message {
	return &clusterv1.FenceBrokers{Brokers: c.ats(c.some(c.brokers, 1)[:1+c.IntN(2)]...)}
}

func (c *chaos) changeISR() proto.Message {
	first := c.onePartition()
	m := &clusterv1.AlterISR{Leader: c.at(first.Leader)}
	for p := range c.s.Partitions() {
		if p.Leader != first.Leader || c.IntN(3) == 0 {
			continue
		}
		members := c.some(minus(p.Replicas, []string{p.Leader}), 0)
		if c.IntN(4) > 0 {
			members = slices.DeleteFunc(members, func(b string) bool { return !c.s.live(b) })
		}
		m.Changes = append(m.Changes, &clusterv1.ISRChange{
			Partition: p.ID[:], LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Isr: c.ats(append(members, p.Leader)...),
		})
	}
	return m
}

func (c *chaos) moveLeader() proto.Message {
	p := c.onePartition()
	return &clusterv1.TransferLeaders{Transfers: []*clusterv1.LeaderTransfer{{Partition: p.ID[:], To: c.broker(), LeaderEpoch: p.LeaderEpoch}}}
}

func (c *chaos) makeStream() proto.Message {
	if c.partitions() > 12 {
		streams := slices.Collect(c.s.Streams())
		id := streams[c.IntN(len(streams))].ID
		return &clusterv1.DeleteStream{Uuid: id[:]}
	}
	id := c.uuid()
	replicas := 1 + c.IntN(len(c.brokers))
	config := &trestlev1.StreamConfig{
		Name: "s" + uuid.UUID(id).String(), Subjects: []string{"s." + uuid.UUID(id).String()},
		Replicas: proto.Int32(int32(replicas)), MinIsr: proto.Int32(int32(1 + c.IntN(replicas))), Partitions: proto.Int32(int32(1 + c.IntN(2))),
		Sync: trestlev1.Sync(1 + c.IntN(3)),
	}
	if config.GetSync() == trestlev1.Sync_SYNC_NONE && c.IntN(2) == 0 {
		config.Storage = trestlev1.Storage_STORAGE_MEMORY
	}
	m := &clusterv1.CreateStream{Uuid: id, Config: config, AcceptExisting: c.IntN(2) == 0}
	for range config.GetPartitions() {
		m.Partitions = append(m.Partitions, &clusterv1.NewPartition{Uuid: c.uuid()})
	}
	return m
}

func (c *chaos) partitions() int { return c.s.partitions.Len() }

func (c *chaos) damage() proto.Message {
	p := c.onePartition()
	return &clusterv1.ReportDamage{Broker: c.at(c.broker()), Partitions: []*clusterv1.PartitionAt{{Partition: p.ID[:], PartitionEpoch: p.PartitionEpoch}}}
}

func (c *chaos) reassignOne() proto.Message {
	p := c.onePartition()
	if len(p.Adding)+len(p.Removing) > 0 && c.IntN(3) == 0 {
		return &clusterv1.CancelReassign{Partition: p.ID[:]}
	}
	return &clusterv1.Reassign{Partition: p.ID[:], Replicas: c.some(c.brokers, max(1, p.MinISR))}
}

func (c *chaos) ofBroker() proto.Message {
	if at := c.at(c.broker()); c.IntN(4) == 0 {
		return &clusterv1.RemoveBroker{Name: at.GetName(), Epoch: at.GetEpoch(), AcceptLoss: c.IntN(2) == 0}
	}
	return &clusterv1.DrainBroker{Name: c.broker(), Cancel: c.IntN(3) == 0}
}

func (c *chaos) ofPartition() proto.Message {
	p := c.onePartition()
	for other := range c.s.Partitions() {
		if other.Leader == "" {
			p = other
		}
	}
	if c.IntN(2) == 0 {
		return &clusterv1.ElectLastKnown{Partitions: []*clusterv1.PartitionAt{{Partition: p.ID[:], PartitionEpoch: p.PartitionEpoch}}}
	}
	return &clusterv1.ElectUnclean{Partition: p.ID[:], Broker: c.broker(), PartitionEpoch: p.PartitionEpoch, AcceptLoss: true}
}

func (c *chaos) ofNumbers() proto.Message {
	switch p := c.onePartition(); c.IntN(8) {
	case 0:
		return &clusterv1.SetFeatureLevel{Level: uint32(1 + c.IntN(3))}
	case 1, 2, 3:
		return &clusterv1.ReserveProducerIDs{Count: c.Uint64N(100)}
	case 4:
		return &clusterv1.InitCluster{Uuid: c.uuid(), Secret: c.uuid(), Name: "again"}
	default:
		return &clusterv1.ReserveOffsets{Leader: c.at(p.Leader), Reservations: []*clusterv1.OffsetReservation{
			{Partition: p.ID[:], LeaderEpoch: p.LeaderEpoch, UpTo: c.Int64N(1 << 40)},
		}}
	}
}

func (c *chaos) acknowledge() proto.Message {
	broker := c.broker()
	m := &clusterv1.AckDeleted{Broker: broker, StateIndex: c.s.Index()}
	for d := range c.s.Deleted(broker) {
		if c.IntN(2) == 0 {
			m.Partitions = append(m.Partitions, d.Partition[:])
		}
	}
	return m
}

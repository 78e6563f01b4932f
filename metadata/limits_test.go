package metadata

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/metadata/names"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// protocol.md 3.5: the largest state that the limits allow is a snapshot of at most 16 MiB.
func TestLimitsBoundSnapshot(t *testing.T) {
	t.Parallel()
	const index = 1 << 48 // 9 raft entries a microsecond for a year
	id := bytes.Repeat([]byte{0xff}, 16)
	longest := strings.Repeat("n", names.MaxLength)
	places := make([]uint32, MaxReplicas)
	doubts := make([]*clusterv1.DoubtSnapshot, MaxReplicas)
	for i := range places {
		places[i] = MaxBrokers
		doubts[i] = &clusterv1.DoubtSnapshot{Broker: MaxBrokers, Epoch: index, Seq: index}
	}
	element := func(m proto.Message, n int) int { return n * (proto.Size(m) + 4) } // with tag and length
	total := element(&clusterv1.PartitionSnapshot{                                 // all unsure, and being moved: nothing is longer
		Uuid: id, LeaderEpoch: index, PartitionEpoch: index, UncleanEpoch: index, Quorum: MaxReplicas,
		Replicas: places, Elr: places, Unsure: doubts, Adding: places[:3], Removing: places[:3],
		Mode: trestlev1.Mode_MODE_PAUSED, ModeSince: 1 << 60, ReservedOffset: 1 << 40,
	}, MaxPartitions)
	total += element(&clusterv1.BrokerSnapshot{
		Name: longest, Incarnation: id, Storage: id, RaftId: strings.Repeat("a", maxAddressBytes), ClientAddress: strings.Repeat("a", maxAddressBytes),
		PeerAddress: strings.Repeat("a", maxAddressBytes), Epoch: index, Fenced: true, Stopping: true, MinFeatureLevel: 1, MaxFeatureLevel: 99,
	}, MaxBrokers)
	total += MaxBrokers * (names.MaxLength + 3)
	total += element(&clusterv1.StreamSnapshot{Uuid: id, Internal: true, Revision: index, GrowthEpoch: index, Created: 1 << 60}, MaxStreams)
	total += element(&clusterv1.GroupSnapshot{Stream: id, Revision: index}, MaxGroups)
	total += element(&clusterv1.DeletionSnapshot{Broker: MaxBrokers, Partition: id, Stream: id, Index: index}, MaxAllPendingDeletions)
	total += MaxAllConfigBytes
	t.Logf("the largest snapshot has %.1f MiB", float64(total)/(1<<20))
	if total > 16<<20 {
		t.Errorf("the largest snapshot has %d bytes, want at most 16 MiB", total)
	}
}

// full is a state in which something has been brought to its limit, without the thousands of commands that it takes.
func full(t *testing.T, fill func(*change)) *story {
	t.Helper()
	w := newStory(t, "a", "b")
	next := *w.s
	fill(&change{State: &next, index: w.s.Index()})
	w.s = &next
	return w
}

func (w *story) refusedAtLimit(limit string, m proto.Message) {
	w.t.Helper()
	_, result := w.s.Apply(w.s.Index()+1, mustEncode(w.t, m))
	if result.Refusal == nil || result.Refusal.Reason != ReasonLimit || result.Refusal.Names["limit"] != limit {
		w.t.Errorf("%T: got %+v, want a refusal for the limit of %s", m, result.Refusal, limit)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	number := func(i int) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint(i))) }
	w := full(t, func(c *change) {
		for i := range MaxStreams {
			c.putStream(Stream{ID: number(i), Config: &trestlev1.StreamConfig{Name: fmt.Sprint("s", i)}})
		}
	})
	w.refusedAtLimit("streams", w.create("more", 1))

	w = full(t, func(c *change) {
		for i := range MaxBrokerReplicas - 1 {
			p := Partition{ID: number(i)}
			p.Replicas = []string{"a"}
			c.putPartition(p)
		}
	})
	more := w.create("more", 2)
	more.Config.Replicas = proto.Int32(1)
	more.Partitions[0].Replicas, more.Partitions[1].Replicas = []string{"a"}, []string{"a"}
	w.refusedAtLimit("partitions of a broker", more)

	w = full(t, func(c *change) {
		for i := range MaxPartitions - 1 {
			c.putPartition(Partition{ID: number(i)})
		}
	})
	w.refusedAtLimit("partitions", w.create("more", 2))

	w = full(t, func(c *change) { c.streams.configBytes = MaxAllConfigBytes - 10 })
	w.refusedAtLimit("config bytes", w.create("more", 1))

	w = full(t, func(c *change) {
		for i := range MaxPendingDeletions {
			c.putDeletion("b", number(i), uuid.Nil)
		}
	})
	w.do(w.create("orders", 1))
	stream := w.named("orders")
	w.refusedAtLimit("pending deletions", &clusterv1.DeleteStream{Uuid: stream.ID[:]})
}

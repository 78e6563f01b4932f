package metadata

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// create is a command for a stream of that many partitions.
func (w *story) create(name string, partitions int) *clusterv1.CreateStream {
	m := &clusterv1.CreateStream{
		Uuid: w.uuid(), Created: 5,
		Config: &trestlev1.StreamConfig{Name: name, Subjects: []string{name + ".x"}, Partitions: proto.Int32(int32(partitions))},
	}
	m.Partitions = w.newPartitions(partitions)
	return m
}

func (w *story) newPartitions(n int) []*clusterv1.NewPartition {
	var list []*clusterv1.NewPartition
	for range n {
		list = append(list, &clusterv1.NewPartition{Uuid: w.uuid()})
	}
	return list
}

func (w *story) named(name string) Stream {
	w.t.Helper()
	stream, ok := w.s.Stream(name)
	if !ok {
		w.t.Fatalf("there is no stream %q", name)
	}
	return stream
}

func (w *story) update(name string, change *trestlev1.StreamConfig, added int) *clusterv1.UpdateStream {
	stream := w.named(name)
	return &clusterv1.UpdateStream{Uuid: stream.ID[:], Config: change, Added: w.newPartitions(added)}
}

func TestCreateStream(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	answer := w.do(w.create("orders", 4)).GetStream()
	stream := w.named("orders")
	if uuid.UUID(answer.GetUuid()) != stream.ID || answer.GetRevision() != w.s.Index() || answer.GetExisted() {
		t.Errorf("answered %v at index %d", answer, w.s.Index())
	}
	if stream.Revision != w.s.Index() || stream.GrowthEpoch != w.s.Index() || stream.Created != 5 || stream.Config.GetReplicas() != 3 {
		t.Errorf("got %+v", stream)
	}
	leaders := map[string]int{}
	for number := range int32(4) {
		p, ok := w.s.PartitionOf(stream, number)
		if !ok || p.Number != number || len(p.ISR) != 3 || p.LeaderEpoch != w.s.Index() || p.PartitionEpoch != w.s.Index() || p.Mode != trestlev1.Mode_MODE_ACTIVE {
			t.Errorf("partition %d: %+v", number, p)
		}
		if p.Leader != p.Replicas[0] {
			t.Errorf("partition %d is led by %q, preferred is %q", number, p.Leader, p.Replicas[0])
		}
		leaders[p.Leader]++
	}
	if len(leaders) != 4 {
		t.Errorf("4 partitions on 4 brokers are led by %v", leaders)
	}
}

func TestCreateStreamIsRefused(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	first := w.create("taken", 1)
	w.do(first)
	spoilt := func(spoil func(*clusterv1.CreateStream)) *clusterv1.CreateStream {
		m := w.create("new", 2)
		spoil(m)
		return m
	}
	for _, c := range []struct {
		name   string
		reason Reason
		spoil  func(*clusterv1.CreateStream)
	}{
		{"no UUID", ReasonInvalid, func(m *clusterv1.CreateStream) { m.Uuid = nil }},
		{"UUID of zeros", ReasonInvalid, func(m *clusterv1.CreateStream) { m.Uuid = make([]byte, 16) }},
		{"UUID of another", ReasonUUIDInUse, func(m *clusterv1.CreateStream) { m.Uuid = first.GetUuid() }},
		{"partition UUID short", ReasonInvalid, func(m *clusterv1.CreateStream) { m.Partitions[0].Uuid = []byte("x") }},
		{"partition UUID of another", ReasonUUIDInUse, func(m *clusterv1.CreateStream) { m.Partitions[1].Uuid = first.Partitions[0].Uuid }},
		{"partition UUID twice", ReasonUUIDInUse, func(m *clusterv1.CreateStream) { m.Partitions[1].Uuid = m.Partitions[0].Uuid }},
		{"too few UUIDs", ReasonInvalid, func(m *clusterv1.CreateStream) { m.Partitions = m.Partitions[:1] }},
		{"no configuration", ReasonInvalid, func(m *clusterv1.CreateStream) { m.Config = nil }},
		{"internal without __", ReasonInvalid, func(m *clusterv1.CreateStream) { m.Internal = true }},
		{"too many replicas", ReasonTooFewBrokers, func(m *clusterv1.CreateStream) { m.Config.Replicas = proto.Int32(3) }},
		{"replicas of some only", ReasonInvalid, func(m *clusterv1.CreateStream) { m.Partitions[0].Replicas = []string{"a", "b"} }},
		{"replica twice", ReasonInvalid, func(m *clusterv1.CreateStream) {
			m.Partitions[0].Replicas, m.Partitions[1].Replicas = []string{"a", "b"}, []string{"a", "a"}
		}},
		{"replica on nobody", ReasonBrokerNotFound, func(m *clusterv1.CreateStream) {
			m.Partitions[0].Replicas, m.Partitions[1].Replicas = []string{"a", "b"}, []string{"a", "z"}
		}},
		{"name taken", ReasonStreamExists, func(m *clusterv1.CreateStream) { m.Config.Name = "taken" }},
		{"name taken, other settings", ReasonStreamExists, func(m *clusterv1.CreateStream) { m.Config.Name, m.AcceptExisting = "taken", true }},
	} {
		before := w.s.streams
		refusal := w.refusal(c.reason, spoilt(c.spoil))
		if w.s.streams != before || refusal.Message == "" {
			t.Errorf("%s: refused with %q, and streams have changed", c.name, refusal.Message)
		}
	}
}

// A stream that exists with the same configuration is a success where asked for, also after brokers were added, which
// changes what a default is; the differences are listed otherwise.
func TestCreateStreamThatExists(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	first := w.create("orders", 1)
	w.do(first)
	w.start("b")
	w.start("c")
	again := w.create("orders", 1)
	w.refused(ReasonStreamExists, again)
	again.AcceptExisting = true
	if answer := w.do(again).GetStream(); !answer.GetExisted() || !slices.Equal(answer.GetUuid(), first.GetUuid()) {
		t.Errorf("answered %v", answer)
	}
	again.Config.Replicas = proto.Int32(3)
	again.Config.Labels = map[string]string{"team": "x"}
	refusal := w.refusal(ReasonStreamExists, again)
	if !strings.Contains(refusal.Names["replicas"], "have 1, want 3") || refusal.Names["labels"] == "" || !strings.Contains(refusal.Message, "replicas: have 1, want 3") {
		t.Errorf("differences: %q, %v", refusal.Message, refusal.Names)
	}
	// A proposal that is applied twice made the stream the first time (protocol.md 3.12).
	if answer := w.do(first).GetStream(); answer.GetExisted() {
		t.Errorf("the same command once more: %v", answer)
	}
}

// Replicas on brokers that are away never held anything: they are no members until they have caught up.
func TestCreateStreamWithAbsentBroker(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	w.fence("b")
	w.do(w.create("orders", 1))
	stream := w.named("orders")
	p, _ := w.s.PartitionOf(stream, 0)
	if p.Replicas[2] != "b" || !slices.Equal(p.ISR, p.Replicas[:2]) || len(p.ELR)+len(p.Lost) != 0 {
		t.Errorf("got %+v", p)
	}
	w.start("b") // reports nothing of it, and has lost nothing
	if p := w.partition(p.ID); len(p.Lost) != 0 || len(p.ISR) != 2 {
		t.Errorf("after b is back: %+v", p)
	}
	w.fence("a")
	w.fence("b")
	w.refused(ReasonTooFewBrokers, w.create("more", 1)) // min ISR is 2 and one broker is there
}

// S14: copies are deleted only because a command named the stream's UUID, and stay on the list until their broker has
// removed them.
func TestDeleteStreamListsEveryCopy(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	w.do(w.create("orders", 2))
	old := w.named("orders")
	w.do(&clusterv1.PutGroup{Stream: old.ID[:], Name: "g"})
	w.fence("c")
	w.do(&clusterv1.DeleteStream{Uuid: old.ID[:]})
	w.do(w.create("orders", 2)) // the name is free at once
	if _, ok := w.s.Group(w.named("orders").ID, "g"); ok || w.s.streams.groups.Len() != 0 {
		t.Error("the group of the old stream is still there")
	}
	for _, broker := range []string{"a", "b", "c"} {
		var listed []uuid.UUID
		for d := range w.s.Deleted(broker) {
			if d.Stream != old.ID {
				t.Errorf("%s is to delete a partition of %v", broker, d.Stream)
			}
			listed = append(listed, d.Partition)
		}
		want := slices.Clone(old.Partitions)
		slices.SortFunc(want, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
		if !slices.Equal(listed, want) {
			t.Errorf("%s is to delete %v, want %v", broker, listed, want)
		}
	}
	w.refused(ReasonStreamNotFound, &clusterv1.DeleteStream{Uuid: old.ID[:]})
	w.refused(ReasonUUIDInUse, &clusterv1.CreateStream{
		Uuid: w.uuid(), Config: w.create("other", 1).GetConfig(), Partitions: []*clusterv1.NewPartition{{Uuid: old.Partitions[0][:]}},
	})
	for range 2 { // the same again is fine
		w.do(&clusterv1.AckDeleted{Broker: "a", Partitions: [][]byte{old.Partitions[0][:]}, StateIndex: w.s.Index()})
	}
	if n := w.s.pendingDeletions("a"); n != 1 || w.s.pendingDeletions("c") != 2 {
		t.Errorf("after a removed one, a has %d, c %d", n, w.s.pendingDeletions("c"))
	}
	w.refused(ReasonBrokerNotFound, &clusterv1.AckDeleted{Broker: "z"})
	w.refused(ReasonInvalid, &clusterv1.AckDeleted{Broker: "a", Partitions: [][]byte{{1}}})
}

// protocol.md 2.10: the time of a pause is kept, so that whoever leads when it ends can write its gap.
func TestStreamMode(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	w.do(w.create("orders", 3))
	stream := w.named("orders")
	mode := func(mode trestlev1.Mode, time int64, partitions ...int32) *clusterv1.SetStreamMode {
		return &clusterv1.SetStreamMode{Uuid: stream.ID[:], Mode: mode, Time: time, Partitions: partitions}
	}
	w.do(mode(trestlev1.Mode_MODE_PAUSED, 10, 1))
	w.do(mode(trestlev1.Mode_MODE_PAUSED, 20))
	for number, since := range []int64{20, 10, 20} {
		p, _ := w.s.PartitionOf(stream, int32(number))
		if p.Mode != trestlev1.Mode_MODE_PAUSED || p.ModeSince != since || p.PartitionEpoch != stream.Revision {
			t.Errorf("partition %d: %+v, want paused since %d in the same partition epoch", number, p, since)
		}
	}
	w.do(mode(trestlev1.Mode_MODE_READ_ONLY, 30, 0, 2))
	if p, _ := w.s.PartitionOf(stream, 1); p.Mode != trestlev1.Mode_MODE_PAUSED {
		t.Errorf("partition 1 was not named: %+v", p)
	}
	w.refused(ReasonPartitionNotFound, mode(trestlev1.Mode_MODE_ACTIVE, 40, 0, 3))
	w.refused(ReasonPartitionNotFound, mode(trestlev1.Mode_MODE_ACTIVE, 40, -1))
	w.refused(ReasonInvalid, mode(trestlev1.Mode_MODE_UNSPECIFIED, 40))
}

func TestGroups(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	w.do(w.create("orders", 1))
	id := w.named("orders").ID
	put := func(name string, revision uint64, settings map[string]string) *clusterv1.PutGroup {
		return &clusterv1.PutGroup{Stream: id[:], Name: name, Revision: revision, Config: &clusterv1.GroupConfig{Settings: settings}}
	}
	revision := w.do(put("g", 0, map[string]string{"kind": "shared"})).GetStream().GetRevision()
	w.refused(ReasonGroupExists, put("g", 0, nil))
	w.refused(ReasonStaleRevision, put("g", revision+1, nil))
	w.refused(ReasonGroupNotFound, put("h", 3, nil))
	w.refused(ReasonInvalid, put("", 0, nil))
	w.refused(ReasonInvalid, put("h", 0, map[string]string{"x": strings.Repeat("y", 2000)}))
	w.do(put("g", revision, map[string]string{"kind": "keyed"}))
	if g, ok := w.s.Group(id, "g"); !ok || g.Config.GetSettings()["kind"] != "keyed" || g.Revision != w.s.Index() {
		t.Errorf("got %+v", g)
	}
	w.do(put("f", 0, nil))
	var list []string
	for g := range w.s.Groups(id) {
		list = append(list, g.Name)
	}
	if !slices.Equal(list, []string{"f", "g"}) {
		t.Errorf("groups are %q", list)
	}
	w.do(&clusterv1.DeleteGroup{Stream: id[:], Name: "f"})
	w.refused(ReasonGroupNotFound, &clusterv1.DeleteGroup{Stream: id[:], Name: "f"})
}

// protocol.md 2.12: the stream of cursors exists from the first broker on, is compacted, has one partition, keeps its
// records, gets more replicas as brokers come, and no user changes it.
func TestCursorsStream(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	stream := w.named(cursorsName)
	c := stream.Config
	if !stream.Internal || len(stream.Partitions) != 1 || !c.GetCompact() || c.GetRetainAge().AsDuration() != 0 || len(c.GetSubjects()) != 0 || c.GetReplicas() != 1 {
		t.Errorf("got %+v", stream)
	}
	id := stream.Partitions[0]
	if w.partition(id).Leader != "a" {
		t.Errorf("got %+v", w.partition(id))
	}
	w.start("b")
	w.join(id, "a", "b")
	w.start("c")
	w.start("d")
	p := w.partition(id)
	if len(p.Replicas) != 3 || w.named(cursorsName).Config.GetMinIsr() != 2 || !slices.Equal(p.Adding, []string{"c"}) {
		t.Errorf("with four brokers: %+v", p)
	}
	w.join(id, "a", "b", "c")
	// A broker that was removed is replaced when the next one registers.
	w.fence("b")
	w.do(&clusterv1.RemoveBroker{Name: "b", Epoch: w.at("b").GetEpoch(), AcceptLoss: true})
	w.start("e")
	if p := w.partition(id); slices.Contains(minus(p.Replicas, p.Removing), "b") || len(minus(p.Replicas, p.Removing)) != 3 {
		t.Errorf("after b was removed: %+v", p)
	}
	w.refused(ReasonInternalStream, &clusterv1.DeleteStream{Uuid: stream.ID[:]})
	w.refused(ReasonInternalStream, &clusterv1.UpdateStream{Uuid: stream.ID[:], Config: &trestlev1.StreamConfig{RetainBytes: proto.Int64(1)}})
	w.refused(ReasonInternalStream, &clusterv1.SetStreamMode{Uuid: stream.ID[:], Mode: trestlev1.Mode_MODE_PAUSED})
	w.refused(ReasonInternalStream, &clusterv1.PutGroup{Stream: stream.ID[:], Name: "g"})
	taken := w.create(cursorsName, 1)
	w.refused(ReasonStreamExists, taken)
	taken.Config.Name = "__mine"
	w.refused(ReasonInvalid, taken)
}

func TestStreamsLike(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	for _, name := range []string{"b", "orders-2", "orders-1", "a"} {
		w.do(w.create(name, 1))
	}
	for _, c := range []struct {
		glob, after string
		limit       int
		want        string
	}{
		{"", "", 10, "[__cursors a b orders-1 orders-2]"},
		{"", "a", 2, "[b orders-1]"},
		{"orders-*", "", 10, "[orders-1 orders-2]"},
		{"orders-*", "orders-1", 10, "[orders-2]"},
		{"[ab]", "", 1, "[a]"},
		{"x*", "", 10, "[]"},
		{"", "zz", 10, "[]"},
	} {
		var got []string
		found, err := w.s.StreamsLike(c.glob, c.after, c.limit)
		for _, stream := range found {
			got = append(got, stream.Name())
		}
		if fmt.Sprint(got) != c.want || err != nil {
			t.Errorf("like %q after %q: got %v, %v", c.glob, c.after, got, err)
		}
	}
	if _, err := w.s.StreamsLike("[", "", 1); err == nil {
		t.Error("a malformed pattern is accepted")
	}
}

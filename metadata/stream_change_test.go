package metadata

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func TestUpdateStreamChecksRevision(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	w.do(w.create("orders", 1))
	read := w.named("orders").Revision
	change := w.update("orders", &trestlev1.StreamConfig{RetainBytes: proto.Int64(1 << 20)}, 0)
	change.Revision = read
	w.do(change)
	if now := w.named("orders"); now.Revision != w.s.Index() || now.Config.GetRetainBytes() != 1<<20 || now.GrowthEpoch != read {
		t.Errorf("got %+v", now)
	}
	other := w.update("orders", &trestlev1.StreamConfig{RetainBytes: proto.Int64(7)}, 0)
	other.Revision = read
	if refusal := w.refusal(ReasonStaleRevision, other); refusal.Names["revision"] == "" {
		t.Errorf("names: %v", refusal.Names)
	}
	revision := w.named("orders").Revision
	w.do(w.update("orders", &trestlev1.StreamConfig{RetainBytes: proto.Int64(1 << 20)}, 0))
	if now := w.named("orders").Revision; now != revision {
		t.Errorf("a change that changes nothing raises the revision to %d", now)
	}
	w.refused(ReasonInvalid, w.update("orders", &trestlev1.StreamConfig{SegmentBytes: proto.Int64(1)}, 0))
	gone := w.update("orders", nil, 0)
	gone.Uuid = w.uuid()
	w.refused(ReasonStreamNotFound, gone)
}

// protocol.md 3.15: partitions only grow, raise the growth epoch and are led at once; not of compacted streams, nor of
// those whose subjects cannot be extended.
func TestPartitionGrowth(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	w.do(w.create("orders", 2))
	before := w.named("orders")
	w.do(w.update("orders", &trestlev1.StreamConfig{Partitions: proto.Int32(5)}, 3))
	after := w.named("orders")
	if len(after.Partitions) != 5 || !slices.Equal(after.Partitions[:2], before.Partitions) || after.GrowthEpoch != w.s.Index() {
		t.Errorf("got %+v", after)
	}
	for number := range int32(5) {
		if p, ok := w.s.PartitionOf(after, number); !ok || p.Leader == "" || p.Number != number {
			t.Errorf("partition %d: %+v", number, p)
		}
	}
	refusals := map[string]*clusterv1.UpdateStream{
		"fewer":             w.update("orders", &trestlev1.StreamConfig{Partitions: proto.Int32(4)}, 0),
		"too few UUIDs":     w.update("orders", &trestlev1.StreamConfig{Partitions: proto.Int32(7)}, 1),
		"UUIDs for nothing": w.update("orders", &trestlev1.StreamConfig{RetainBytes: proto.Int64(3)}, 1),
	}
	for name, m := range refusals {
		if r := w.refusal(ReasonInvalid, m); r.Names["field"] != "partitions" {
			t.Errorf("%s: %v", name, r)
		}
	}
	compacted := w.create("compacted", 1)
	compacted.Config.Compact = proto.Bool(true)
	w.do(compacted)
	w.refused(ReasonInvalid, w.update("compacted", &trestlev1.StreamConfig{Partitions: proto.Int32(2)}, 1))
	w.refused(ReasonInvalid, w.update("compacted", &trestlev1.StreamConfig{Partitions: proto.Int32(2), Compact: proto.Bool(false)}, 1))
	wild := w.create("wild", 1)
	wild.Config.Subjects = []string{"w.>"}
	w.do(wild)
	w.refused(ReasonInvalid, w.update("wild", &trestlev1.StreamConfig{Partitions: proto.Int32(2)}, 1))
	hashed := w.create("hashed", 1)
	hashed.Config.Subjects, hashed.Config.PartitionBy = []string{"w.>"}, &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Subject{Subject: true}}
	w.do(hashed)
	w.do(w.update("hashed", &trestlev1.StreamConfig{Partitions: proto.Int32(2)}, 1))
}

// C3 and the election rule: min ISR goes to every partition, and while the ISR is short nobody who may hold what was
// committed is forgotten.
func TestMinISRChangeKeepsELR(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	m := w.create("orders", 1)
	m.Config.MinIsr = proto.Int32(2)
	w.do(m)
	id := w.named("orders").Partitions[0]
	order := w.partition(id).Replicas
	w.fence(order[2])
	w.fence(order[1])
	if p := w.partition(id); !slices.Equal(p.ELR, order[1:2]) {
		t.Fatalf("the story should leave %q in the ELR: %+v", order[1], p)
	}
	epoch := w.partition(id).PartitionEpoch
	w.do(w.update("orders", &trestlev1.StreamConfig{MinIsr: proto.Int32(3)}, 0))
	p := w.partition(id)
	if !slices.Equal(p.ELR, order[1:2]) || p.MinISR != 3 || p.PartitionEpoch == epoch {
		t.Errorf("after min ISR 3: %+v", p)
	}
	w.do(w.update("orders", &trestlev1.StreamConfig{MinIsr: proto.Int32(1)}, 0))
	if p := w.partition(id); len(p.ELR) != 0 || p.MinISR != 1 {
		t.Errorf("after min ISR 1 the ISR alone counts: %+v", p)
	}
	w.refused(ReasonInvalid, w.update("orders", &trestlev1.StreamConfig{MinIsr: proto.Int32(4)}, 0))
}

// What sync a stream has says who may be elected after a crash, so it does not change while nobody leads.
func TestSyncChange(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	m := w.create("orders", 1)
	m.Config.Replicas = proto.Int32(1)
	w.do(m)
	id := w.named("orders").Partitions[0]
	w.do(w.update("orders", &trestlev1.StreamConfig{Sync: trestlev1.Sync_SYNC_INTERVAL}, 0))
	if w.partition(id).Durable {
		t.Error("the partition is still durable")
	}
	m = w.create("others", 1)
	m.Config.Replicas = proto.Int32(1)
	w.do(m)
	w.fence(w.partition(w.named("others").Partitions[0]).Leader)
	w.refused(ReasonNoLeader, w.update("others", &trestlev1.StreamConfig{Sync: trestlev1.Sync_SYNC_NONE}, 0))
}

// S1: what was acknowledged without an fsync does not become sure by a change of the configuration. After a power cut the
// stream knows that it may have lost some of it.
func TestSyncIsNotRaised(t *testing.T) {
	t.Parallel()
	for _, sync := range []trestlev1.Sync{trestlev1.Sync_SYNC_INTERVAL, trestlev1.Sync_SYNC_NONE} {
		w := newStory(t, "a", "b", "c")
		id := w.stream(2, sync, "a", "b", "c")
		stream, _ := w.s.StreamByID(w.partition(id).Stream)
		raise := w.update(stream.Name(), &trestlev1.StreamConfig{Sync: trestlev1.Sync_SYNC_ACK}, 0)
		if refusal := w.refusal(ReasonUnimplemented, raise); refusal.Names["field"] != "sync" || refusal.Names["stream"] != stream.Name() {
			t.Errorf("%v: %v", sync, refusal)
		}
		w.fence("a", "b", "c")
		for i, broker := range []string{"a", "b", "c"} {
			w.crashStart(broker, 4, uint64(3-i))
		}
		if p := w.partition(id); p.Leader != "a" || p.UncleanEpoch != p.LeaderEpoch {
			t.Errorf("S1: %v: a loss is not told: %+v", sync, p)
		}
	}
}

// C7 by way of the stream: more replicas are added and join through their leader, fewer go at once if enough are in sync.
func TestReplicasChange(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	m := w.create("orders", 3)
	m.Config.Replicas = proto.Int32(1)
	w.do(m)
	w.do(w.update("orders", &trestlev1.StreamConfig{Replicas: proto.Int32(3)}, 0))
	stream := w.named("orders")
	for _, id := range stream.Partitions {
		p := w.partition(id)
		if len(p.Replicas) != 3 || len(p.Adding) != 2 || len(p.ISR) != 1 {
			t.Fatalf("while they catch up: %+v", p)
		}
		w.join(id, p.Replicas...)
		if p := w.partition(id); len(p.Adding) != 0 || len(p.ISR) != 3 {
			t.Fatalf("after they joined: %+v", p)
		}
	}
	leader := w.partition(stream.Partitions[0]).Leader
	w.do(w.update("orders", &trestlev1.StreamConfig{Replicas: proto.Int32(1)}, 0))
	for i, id := range stream.Partitions {
		p := w.partition(id)
		if len(p.Replicas) != 1 || len(p.Removing) != 0 || i == 0 && p.Leader != leader {
			t.Errorf("with one replica: %+v", p)
		}
	}
	deleted := 0
	for b := range w.s.Brokers() {
		deleted += len(slices.Collect(w.s.Deleted(b.Name)))
	}
	if deleted != 6 {
		t.Errorf("%d copies are listed as deleted, want the 6 that went", deleted)
	}
	w.refused(ReasonTooFewBrokers, w.update("orders", &trestlev1.StreamConfig{Replicas: proto.Int32(5)}, 0))
}

// S1, S3: under sync ack b crashes, and its tail rots. If sync became interval now and a restarted, b alone would be eligible, and
// elected with what it has.
func TestSyncChangesWhenAllIsWell(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(2, "a", "b")
	w.fence("b")
	w.crashStart("b", 1, 3)
	stream, _ := w.s.StreamByID(w.partition(id).Stream)
	lower := &clusterv1.UpdateStream{Uuid: stream.ID[:], Config: &trestlev1.StreamConfig{Name: stream.Name(), Sync: trestlev1.Sync_SYNC_INTERVAL}}
	w.refused(ReasonMinISR, lower)
	w.fence("a")
	w.crashStart("a", 1, 50)
	if p := w.partition(id); p.Leader != "a" {
		t.Errorf("the replica that has all is not elected: %+v", p)
	}
	w.join(id, "a", "b")
	w.do(lower)
}

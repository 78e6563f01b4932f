package metadata

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

func deletions(s *State, broker string) []uuid.UUID {
	var ids []uuid.UUID
	for d := range s.Deleted(broker) {
		ids = append(ids, d.Partition)
	}
	return ids
}

// C7: those that come are added, catch up, and then those that go, go, with a new leader epoch.
func TestReassign(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	id := w.acked(2, "a", "b", "c")
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"d", "b"}})
	p := w.partition(id)
	if !slices.Equal(p.Replicas, []string{"d", "b", "a", "c"}) || !slices.Equal(p.Adding, []string{"d"}) ||
		!slices.Equal(p.Removing, []string{"a", "c"}) || p.Leader != "a" || !slices.Equal(p.ISR, []string{"b", "a", "c"}) {
		t.Fatalf("%+v", p)
	}
	if len(deletions(w.s, "a")) != 0 {
		t.Error("S14: a copy is deleted before others have it")
	}
	w.join(id, "a", "b") // who comes is missing
	if p := w.partition(id); len(p.Removing) != 2 {
		t.Fatalf("%+v", p)
	}
	before := w.partition(id)
	w.join(id, "a", "d") // without a one member is left, and min ISR is 2
	if p := w.partition(id); len(p.Removing) != 2 || p.LeaderEpoch != before.LeaderEpoch {
		t.Fatalf("C7: %+v", p)
	}
	w.join(id, "a", "b", "d")
	p = w.partition(id)
	if !slices.Equal(p.Replicas, []string{"d", "b"}) || len(p.Adding)+len(p.Removing) != 0 || p.Leader != "d" ||
		p.LeaderEpoch != w.s.Index() || !slices.Equal(p.ISR, []string{"d", "b"}) {
		t.Errorf("%+v", p)
	}
	for _, broker := range []string{"a", "c"} {
		if !slices.Contains(deletions(w.s, broker), id) {
			t.Errorf("S14: %q keeps its copy", broker)
		}
	}
	// A broker that is to hold it again is not told to delete it.
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"d", "b", "a"}})
	if slices.Contains(deletions(w.s, "a"), id) {
		t.Error("a copy is wanted and deleted")
	}
}

// The leader stays and the leader epoch is raised all the same.
func TestReassignKeepsLeader(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(1, "a", "b", "c")
	before := w.partition(id)
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"c", "a"}, PartitionEpoch: before.PartitionEpoch})
	if p := w.partition(id); !slices.Equal(p.Replicas, []string{"c", "a"}) || p.Leader != "a" || p.LeaderEpoch != w.s.Index() {
		t.Errorf("%+v", p)
	}
	w.refused(ReasonStalePartition, &clusterv1.Reassign{Partition: id[:], Replicas: []string{"c", "a"}, PartitionEpoch: before.PartitionEpoch})
}

func TestReassignRefusals(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	id := w.acked(2, "a", "b")
	w.fence("d")
	for reason, targets := range map[Reason][][]string{
		ReasonMinISR:         {{"a"}, nil, {"a", "b", "c", "d", "e", "f", "g", "h"}},
		ReasonInvalid:        {{"a", "a"}},
		ReasonBrokerNotFound: {{"a", "x"}},
		ReasonBrokerNotLive:  {{"a", "d"}},
	} {
		for _, target := range targets {
			w.refused(reason, &clusterv1.Reassign{Partition: id[:], Replicas: target})
		}
	}
	w.refused(ReasonPartitionNotFound, &clusterv1.Reassign{Partition: w.uuid(), Replicas: []string{"a", "b"}})
	w.refused(ReasonNoReassignment, &clusterv1.CancelReassign{Partition: id[:]})
}

func TestCancelReassign(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	id := w.acked(2, "a", "b")
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"c", "d"}})
	w.join(id, "a", "b", "c")
	w.do(&clusterv1.CancelReassign{Partition: id[:]})
	p := w.partition(id)
	if !slices.Equal(p.Replicas, []string{"a", "b"}) || !slices.Equal(p.ISR, []string{"a", "b"}) || p.Leader != "a" {
		t.Errorf("%+v", p)
	}
	for _, broker := range []string{"c", "d"} {
		if !slices.Contains(deletions(w.s, broker), id) {
			t.Errorf("S14: %q keeps its copy", broker)
		}
	}
}

// Those that were to come are all that there is: they stay until the others have caught up.
func TestCancelReassignTooLate(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	id := w.acked(2, "a", "b")
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"c", "d"}})
	w.join(id, "a", "b", "c")
	w.do(&clusterv1.TransferLeaders{Transfers: []*clusterv1.LeaderTransfer{{Partition: id[:], To: "c"}}})
	w.join(id, "b", "c")
	w.do(&clusterv1.CancelReassign{Partition: id[:]})
	p := w.partition(id)
	if !slices.Equal(p.Removing, []string{"c"}) || p.Leader != "c" || slices.Contains(p.Replicas, "d") {
		t.Fatalf("%+v", p)
	}
	w.join(id, "a", "b", "c")
	if p := w.partition(id); !slices.Equal(p.Replicas, []string{"a", "b"}) || p.Leader != "a" || p.LeaderEpoch != w.s.Index() {
		t.Errorf("%+v", p)
	}
}

// S1, S14: who came with a reassignment, joined, and is the last of the ELR may have the only whole copy: a reassignment
// that goes without it does not drop it before the others have what it has.
func TestReassignKeepsEligible(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	id := w.acked(1, "a", "b")
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"a", "b", "c", "d"}})
	w.join(id, "a", "b", "c")
	w.fence("a", "b") // c commits alone
	w.fence("c")
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"a", "b"}})
	p := w.partition(id)
	if !slices.Equal(p.Replicas, []string{"a", "b", "c"}) || !slices.Equal(p.ELR, []string{"c"}) || slices.Contains(deletions(w.s, "c"), id) {
		t.Fatalf("S1, S14: the only whole copy is given up: %+v", p)
	}
	w.start("a")
	w.start("b")
	if p := w.partition(id); p.Leader != "" {
		t.Fatalf("S1: %q leads and lacks what c committed alone", p.Leader)
	}
	w.start("c")
	w.join(id, "a", "b", "c")
	if p := w.partition(id); !slices.Equal(p.Replicas, []string{"a", "b"}) || !slices.Contains(deletions(w.s, "c"), id) {
		t.Errorf("%+v", p)
	}
}

// protocol.md 1.3: a lost copy counts in elections, so the replica stays until the ISR alone counts.
func TestReassignKeepsLost(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	id := w.acked(2, "a", "b")
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"a", "b", "c", "d"}})
	w.join(id, "a", "b", "c")
	w.fence("a", "b", "c")
	r := w.registration("c")
	r.Storage = identity('s', "c", 9)
	w.do(r)
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"a", "b"}})
	if p := w.partition(id); !slices.Equal(p.Lost, []string{"c"}) || !slices.Equal(p.Removing, []string{"c"}) {
		t.Fatalf("%+v", p)
	}
	w.crashStart("a", 5, 10)
	if p := w.partition(id); p.Leader != "a" {
		t.Errorf("a waits for more than b or the lost c: %+v", p)
	}
}

// A reassignment that waited for members in sync ends when an election brings them.
func TestReassignEndsWithElection(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(1, "a", "b")
	w.fence("a")
	w.fence("b") // ISR none, ELR b
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"b"}})
	if p := w.partition(id); !slices.Equal(p.Removing, []string{"a"}) {
		t.Fatalf("%+v", p)
	}
	w.start("b")
	if p := w.partition(id); p.Leader != "b" || !slices.Equal(p.Replicas, []string{"b"}) {
		t.Errorf("%+v", p)
	}
}

// S14: the word that a former copy was removed, arriving late, leaves the order to remove the present one.
func TestAckDeletedOfFormerCopy(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(1, "a", "b")
	move := func(replicas ...string) {
		w.do(&clusterv1.Reassign{Partition: id[:], Replicas: replicas})
		w.join(id, replicas...)
	}
	move("a")
	former := &clusterv1.AckDeleted{Broker: "b", Partitions: [][]byte{id[:]}, StateIndex: w.s.Index()}
	w.do(former)
	if slices.Contains(deletions(w.s, "b"), id) {
		t.Fatal("what was removed is still listed")
	}
	move("a", "b")
	move("a")
	w.do(former)
	if !slices.Contains(deletions(w.s, "b"), id) {
		t.Error("b removed a former copy, and the present one is taken for removed")
	}
}

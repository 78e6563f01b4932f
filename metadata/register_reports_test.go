package metadata

import (
	"testing"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// C5, S1: reports that were made from a state older than a placement are silent about that copy, which says nothing.
func TestRegisterWithOlderState(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	before := w.s.Index()
	id := w.acked(2, "a", "b")
	w.fence("a", "b")
	r := w.registration("a")
	r.StateIndex = before
	refusal := w.refusal(ReasonStaleState, r)
	a, _ := w.s.Broker("a")
	if refusal.Names["index"] != uitoa(a.PlacedAt) || a.PlacedAt != before+1 {
		t.Errorf("names %v: a was given a partition at %d, after %d", refusal.Names, a.PlacedAt, before)
	}
	r.StateIndex, r.Reports = a.PlacedAt, w.reports("a", 1, 1)
	w.do(r)
	w.crashStart("b", 1, 1)
	if p := w.partition(id); p.Leader == "" || len(p.Lost) != 0 {
		t.Errorf("%+v", p)
	}
	if again, _ := w.s.Broker("a"); again.PlacedAt != a.PlacedAt {
		t.Errorf("the new life was given a partition at %d, the one before at %d", again.PlacedAt, a.PlacedAt)
	}
}

// The index of a placement is that of the command by which a broker comes to hold a partition, and of no other.
func TestPlacedAt(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	placed := func(broker string) uint64 {
		b, _ := w.s.Broker(broker)
		return b.PlacedAt
	}
	id := w.acked(1, "a", "b")
	first := w.s.Index()
	w.do(&clusterv1.Reassign{Partition: id[:], Replicas: []string{"c", "a"}})
	added := w.s.Index()
	w.join(id, "a", "b", "c") // b goes
	if placed("a") != first || placed("b") != first || placed("c") != added {
		t.Errorf("a %d, b %d, c %d; placed at %d, %d", placed("a"), placed("b"), placed("c"), first, added)
	}
}

// C9, S14: what a broker finds in its folder and the state does not know stays there. Nothing lists it for deletion: not its
// report, and not the deletion of the stream while the broker was no member of the cluster.
func TestUnknownCopiesAreNotDeleted(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(1, "a", "b")
	stream := w.partition(id).Stream
	w.fence("b")
	w.do(&clusterv1.RemoveBroker{Name: "b", Epoch: w.at("b").GetEpoch(), AcceptLoss: true})
	w.do(&clusterv1.DeleteStream{Uuid: stream[:]})
	r := w.registration("b")
	for _, unknown := range [][]byte{id[:], w.uuid()} {
		r.Reports = append(r.Reports, &clusterv1.PartitionReport{Partition: unknown, State: clusterv1.CopyState_COPY_STATE_OK, LastSeq: 9})
	}
	w.do(r)
	if list := deletions(w.s, "b"); len(list) != 0 {
		t.Errorf("b is to delete %v, which nobody ordered", list)
	}
	if list := deletions(w.s, "a"); len(list) != 1 || list[0] != id {
		t.Errorf("a is to delete %v, want %v", list, id)
	}
}

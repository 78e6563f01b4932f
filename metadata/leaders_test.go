package metadata

import (
	"slices"
	"testing"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func TestTransferLeaders(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(1, "a", "b", "c")
	w.fence("c")
	move := func(to string, leaderEpoch uint64) *clusterv1.ItemResult {
		return w.judged(&clusterv1.TransferLeaders{Transfers: []*clusterv1.LeaderTransfer{{Partition: id[:], To: to, LeaderEpoch: leaderEpoch}}})
	}
	before := w.partition(id)
	if item := move("c", 0); item.GetReason() != string(ReasonNotInSync) {
		t.Errorf("to one that is not in sync: %v", item)
	}
	if item := move("b", before.LeaderEpoch-1); item.GetVerdict() != clusterv1.Verdict_VERDICT_STALE {
		t.Errorf("from another leader epoch: %v", item)
	}
	if item := move("a", 0); item.GetVerdict() != clusterv1.Verdict_VERDICT_ACCEPTED || w.partition(id).LeaderEpoch != before.LeaderEpoch {
		t.Errorf("to the one who leads: %v", item)
	}
	if item := move("b", before.LeaderEpoch); item.GetVerdict() != clusterv1.Verdict_VERDICT_ACCEPTED {
		t.Errorf("%v", item)
	}
	if p := w.partition(id); p.Leader != "b" || p.LeaderEpoch != w.s.Index() || p.PartitionEpoch != w.s.Index() ||
		p.UncleanEpoch != 0 || !p.Equal(before.Membership) {
		t.Errorf("%+v", p)
	}
	w.do(&clusterv1.DrainBroker{Name: "a"})
	if item := move("a", 0); item.GetVerdict() != clusterv1.Verdict_VERDICT_REFUSED {
		t.Errorf("to one about to stop: %v", item)
	}
}

// C4: only an operator elects uncleanly, for a partition without leader, as he saw it.
func TestElectUnclean(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	id := w.acked(2, "a", "b", "c")
	w.join(id, "a", "b")
	ask := func(broker string) *clusterv1.ElectUnclean {
		return &clusterv1.ElectUnclean{Partition: id[:], Broker: broker, PartitionEpoch: w.partition(id).PartitionEpoch, AcceptLoss: true}
	}
	w.refused(ReasonHasLeader, ask("c"))
	early := ask("c")
	w.fence("a", "b")
	w.refused(ReasonStalePartition, early)
	for reason, change := range map[Reason]func(*clusterv1.ElectUnclean){
		ReasonLossNotAccepted:   func(m *clusterv1.ElectUnclean) { m.AcceptLoss = false },
		ReasonNotReplica:        func(m *clusterv1.ElectUnclean) { m.Broker = "d" },
		ReasonBrokerNotFound:    func(m *clusterv1.ElectUnclean) { m.Broker = "x" },
		ReasonBrokerNotLive:     func(m *clusterv1.ElectUnclean) { m.Broker = "a" },
		ReasonInvalid:           func(m *clusterv1.ElectUnclean) { m.PartitionEpoch = 0 },
		ReasonPartitionNotFound: func(m *clusterv1.ElectUnclean) { m.Partition = w.uuid() },
	} {
		m := ask("c")
		change(m)
		w.refused(reason, m)
	}
	m := ask("c")
	w.do(m)
	if p := w.partition(id); p.Leader != "c" || p.UncleanEpoch != w.s.Index() || p.LeaderEpoch != w.s.Index() ||
		!slices.Equal(p.ISR, []string{"c"}) || len(p.ELR) != 0 {
		t.Errorf("%+v", p)
	}
	w.fence("c")
	w.refused(ReasonStalePartition, m)
}

// protocol.md 3.7: only streams that accept loss, and the best of those that are there.
func TestElectLastKnown(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	lossy := w.stream(1, trestlev1.Sync_SYNC_INTERVAL, "a", "b", "c")
	durable := w.acked(2, "a", "b", "c")
	w.join(lossy, "a")
	w.join(durable, "a", "b")
	w.fence("a")
	w.fence("b")
	ask := func(id [16]byte) *clusterv1.ItemResult {
		return w.judged(&clusterv1.ElectLastKnown{Partitions: []*clusterv1.PartitionAt{{Partition: id[:], PartitionEpoch: w.partition(id).PartitionEpoch}}})
	}
	if item := ask(lossy); item.GetReason() != string(ReasonNoCandidate) {
		t.Errorf("nobody is there: %v", item)
	}
	stale := &clusterv1.ElectLastKnown{Partitions: []*clusterv1.PartitionAt{{Partition: lossy[:], PartitionEpoch: w.partition(lossy).PartitionEpoch - 1}}}
	if item := w.judged(stale); item.GetVerdict() != clusterv1.Verdict_VERDICT_STALE {
		t.Errorf("%v", item)
	}
	w.crashStart("b", 5, 9)
	if item := ask(durable); item.GetReason() != string(ReasonLossNotAccepted) || w.partition(durable).Leader != "" {
		t.Errorf("sync is ack: %v", item)
	}
	w.crashStart("a", 5, 3)
	if p := w.partition(lossy); p.Leader != "a" || p.UncleanEpoch != p.LeaderEpoch {
		t.Errorf("all that were last known are back: %+v", p)
	}
	if item := ask(lossy); item.GetReason() != string(ReasonHasLeader) {
		t.Errorf("%v", item)
	}
}

// protocol.md 3.7: after its time the election waits no longer for a last known member that does not come.
func TestElectLastKnownOverdue(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.stream(2, trestlev1.Sync_SYNC_INTERVAL, "a", "b")
	w.fence("a", "b")
	w.crashStart("a", 5, 3)
	w.fence("a")
	w.crashStart("b", 5, 9)
	p := w.partition(id)
	if p.Leader != "" || !slices.Equal(p.LastKnown, []string{"a", "b"}) {
		t.Fatalf("%+v", p)
	}
	item := w.judged(&clusterv1.ElectLastKnown{Partitions: []*clusterv1.PartitionAt{{Partition: id[:], PartitionEpoch: p.PartitionEpoch}}})
	if p := w.partition(id); item.GetVerdict() != clusterv1.Verdict_VERDICT_ACCEPTED || p.Leader != "b" || p.UncleanEpoch != w.s.Index() {
		t.Errorf("%v: %+v", item, p)
	}
}

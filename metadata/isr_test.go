package metadata

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// C2: what was proposed in another leader epoch, partition epoch or life, or by another broker, is not judged.
func TestAlterISRStale(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(2, "a", "b", "c")
	for name, change := range map[string]func(*clusterv1.AlterISR){
		"leader epoch before":    func(m *clusterv1.AlterISR) { m.Changes[0].LeaderEpoch-- },
		"leader epoch after":     func(m *clusterv1.AlterISR) { m.Changes[0].LeaderEpoch++ },
		"partition epoch before": func(m *clusterv1.AlterISR) { m.Changes[0].PartitionEpoch-- },
		"partition epoch after":  func(m *clusterv1.AlterISR) { m.Changes[0].PartitionEpoch++ },
		"another broker":         func(m *clusterv1.AlterISR) { m.Leader = w.at("b") },
		"another life":           func(m *clusterv1.AlterISR) { m.Leader.Epoch-- },
		"nobody":                 func(m *clusterv1.AlterISR) { m.Leader = nil },
	} {
		before := w.partition(id)
		m := w.isr(id, "a", "b")
		change(m)
		item := w.judged(m)
		if after := w.partition(id); item.GetVerdict() != clusterv1.Verdict_VERDICT_STALE || after.PartitionEpoch != before.PartitionEpoch {
			t.Errorf("%s: %v, partition epoch %d becomes %d", name, item, before.PartitionEpoch, after.PartitionEpoch)
		}
	}
	m := w.isr(id, "a", "b")
	m.Changes[0].Partition = w.uuid()
	if item := w.judged(m); item.GetReason() != string(ReasonPartitionNotFound) {
		t.Errorf("no such partition: %v", item)
	}
}

// C2: who may be in an ISR. A judged proposal always raises the partition epoch, so that a copy of it is never accepted.
func TestAlterISRRefused(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c", "d")
	id := w.acked(1, "a", "b", "c")
	w.fence("c")
	for name, test := range map[string]struct {
		reason Reason
		isr    []*clusterv1.BrokerAt
	}{
		"without the leader":   {ReasonInvalid, w.ats("b")},
		"empty":                {ReasonInvalid, nil},
		"no replica":           {ReasonNotReplica, w.ats("a", "d")},
		"a member twice":       {ReasonInvalid, w.ats("a", "b", "b")},
		"a fenced member":      {ReasonBrokerNotLive, w.ats("a", "c")},
		"another life":         {ReasonStaleBroker, []*clusterv1.BrokerAt{w.at("a"), {Name: "b", Epoch: w.at("b").GetEpoch() - 1}}},
		"another life, leader": {ReasonStaleBroker, []*clusterv1.BrokerAt{{Name: "a"}, w.at("b")}},
	} {
		m := w.isr(id, "a")
		m.Changes[0].Isr = test.isr
		before := w.partition(id)
		item := w.judged(m)
		after := w.partition(id)
		if item.GetVerdict() != clusterv1.Verdict_VERDICT_REFUSED || item.GetReason() != string(test.reason) || !after.Equal(before.Membership) {
			t.Errorf("%s: %v", name, item)
		}
		if after.PartitionEpoch != w.s.Index() || item.GetPartitionEpoch() != after.PartitionEpoch {
			t.Errorf("%s: partition epoch %d at index %d, answered %v", name, after.PartitionEpoch, w.s.Index(), item)
		}
	}
}

// The history that keeping the partition epoch at a refusal would allow: the refused proposal arrives once more when what
// it was refused for is over, and brings a follower into the ISR that its leader has given up.
func TestAlterISRRefusedThenRepeated(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(1, "a", "b")
	w.join(id, "a")
	w.do(&clusterv1.DrainBroker{Name: "b"})
	m := w.isr(id, "a", "b")
	if item := w.judged(m); item.GetVerdict() != clusterv1.Verdict_VERDICT_REFUSED {
		t.Fatalf("%v", item)
	}
	w.do(&clusterv1.DrainBroker{Name: "b", Cancel: true})
	if item := w.judged(m); item.GetVerdict() != clusterv1.Verdict_VERDICT_STALE {
		t.Errorf("%v", item)
	}
}

// protocol.md 3.11: each item is judged and answered on its own.
func TestAlterISRList(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	one, two, three := w.acked(1, "a", "b", "c"), w.acked(1, "a", "b", "c"), w.acked(1, "b", "a", "c")
	m := w.isr(one, "a", "c")
	m.Changes = append(m.Changes, w.isr(two, "b").GetChanges()...)
	m.Changes = append(m.Changes, w.isr(three, "b").GetChanges()...)
	m.Changes = append(m.Changes, w.isr(one, "a", "b", "c").GetChanges()...)
	var verdicts []clusterv1.Verdict
	for _, item := range w.do(m).GetItems() {
		verdicts = append(verdicts, item.GetVerdict())
	}
	want := []clusterv1.Verdict{
		clusterv1.Verdict_VERDICT_ACCEPTED, clusterv1.Verdict_VERDICT_REFUSED,
		clusterv1.Verdict_VERDICT_STALE, clusterv1.Verdict_VERDICT_STALE,
	}
	if !slices.Equal(verdicts, want) {
		t.Errorf("%v", verdicts)
	}
	if p := w.partition(one); !slices.Equal(p.ISR, []string{"a", "c"}) || p.PartitionEpoch != w.s.Index() {
		t.Errorf("%+v", p)
	}
}

// C3: below min ISR who leaves stays eligible; with min ISR members only they count.
func TestAlterISRAndELR(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(2, "a", "b", "c")
	w.join(id, "a")
	if p := w.partition(id); !slices.Equal(p.ELR, []string{"b", "c"}) {
		t.Errorf("%+v", p)
	}
	w.join(id, "a", "c")
	if p := w.partition(id); len(p.ELR) != 0 {
		t.Errorf("ELR is kept: %+v", p)
	}
	w.fence("a", "c")
	if p := w.partition(id); p.Leader != "" {
		t.Errorf("S1: %+v", p)
	}
}

func TestReportDamage(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id, alone := w.acked(2, "a", "b", "c"), w.acked(1, "c")
	report := func(broker string, partitions ...uuid.UUID) *clusterv1.ReportDamage {
		m := &clusterv1.ReportDamage{Broker: w.at(broker)}
		for _, p := range partitions {
			known, _ := w.s.Partition(p)
			m.Partitions = append(m.Partitions, &clusterv1.PartitionAt{Partition: p[:], PartitionEpoch: known.PartitionEpoch})
		}
		return m
	}
	w.refused(ReasonStaleBroker, &clusterv1.ReportDamage{Broker: &clusterv1.BrokerAt{Name: "a", Epoch: 1}})
	w.refused(ReasonInvalid, &clusterv1.ReportDamage{Broker: &clusterv1.BrokerAt{Name: "a"}})
	before := w.partition(alone)
	items := w.do(report("a", id, alone, uuid.UUID(w.uuid()))).GetItems()
	if items[0].GetVerdict() != clusterv1.Verdict_VERDICT_ACCEPTED || items[1].GetReason() != string(ReasonNotReplica) ||
		items[2].GetReason() != string(ReasonPartitionNotFound) {
		t.Errorf("%v", items)
	}
	if p := w.partition(id); p.Leader != "b" || p.LeaderEpoch != w.s.Index() || !slices.Equal(p.ISR, []string{"b", "c"}) {
		t.Errorf("the leader is damaged: %+v", p)
	}
	// protocol.md 1.17: a partition without another copy stays led.
	w.do(report("c", alone))
	if p := w.partition(alone); p.Leader != "c" || p.PartitionEpoch != before.PartitionEpoch {
		t.Errorf("the only copy: %+v", p)
	}
	late := report("c", id)
	w.do(late)
	if p := w.partition(id); !slices.Equal(p.ISR, []string{"b"}) || !slices.Equal(p.Lost, []string{"c"}) {
		t.Errorf("a follower is damaged: %+v", p)
	}
	// A report that arrives once more, after the repair, takes nothing away.
	w.join(id, "b", "c")
	if item := w.judged(late); item.GetVerdict() != clusterv1.Verdict_VERDICT_STALE || len(w.partition(id).Lost) != 0 {
		t.Errorf("%v: %+v", item, w.partition(id))
	}
}

// C1: a leader asks to take in a copy that caught up; before that is decided the copy turns out damaged and is emptied. The
// older command is refused, though the copy counted for nothing when it was reported (seed 1782 of the simulation).
func TestDamageOfOneThatDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(2, "a", "b", "c")
	w.join(id, "a", "b")
	asked, p := w.isr(id, "a", "b", "c"), w.partition(id)
	w.do(&clusterv1.ReportDamage{Broker: w.at("c"), Partitions: []*clusterv1.PartitionAt{{Partition: id[:], PartitionEpoch: p.PartitionEpoch}}})
	if item := w.judged(asked); item.GetVerdict() != clusterv1.Verdict_VERDICT_STALE || slices.Contains(w.partition(id).ISR, "c") {
		t.Errorf("%v: %+v", item, w.partition(id))
	}
}

// A copy of any command that arrives later changes no role.
func TestRolesAreChangedOnce(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(2, "a", "b", "c")
	p := w.partition(id)
	commands := []proto.Message{
		w.isr(id, "a", "b"),
		&clusterv1.FenceBrokers{Brokers: w.ats("b")},
		&clusterv1.TransferLeaders{Transfers: []*clusterv1.LeaderTransfer{{Partition: id[:], To: "b", LeaderEpoch: p.LeaderEpoch}}},
	}
	w.join(id, "a", "b", "c")
	w.fence("b")
	w.start("b")
	w.do(&clusterv1.TransferLeaders{Transfers: []*clusterv1.LeaderTransfer{{Partition: id[:], To: "c"}}})
	before := w.partition(id)
	for _, m := range commands {
		w.do(m)
		after := w.partition(id)
		if !after.Equal(before.Membership) || after.Leader != before.Leader || after.PartitionEpoch != before.PartitionEpoch {
			t.Errorf("%T once more: %+v, then %+v", m, before, after)
		}
	}
}

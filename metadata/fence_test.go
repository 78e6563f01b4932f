package metadata

import (
	"slices"
	"strconv"
	"testing"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }

// C6: all at once, and none of those that are fenced is elected in between.
func TestFenceMovesAllPartitionsAtOnce(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	one, two := w.acked(1, "a", "b", "c"), w.acked(1, "b", "a", "c")
	items := w.fence("a", "b").GetItems()
	for _, id := range [][16]byte{one, two} {
		if p := w.partition(id); p.Leader != "c" || p.LeaderEpoch != w.s.Index() || !slices.Equal(p.ISR, []string{"c"}) {
			t.Errorf("%+v", p)
		}
	}
	if len(items) != 2 || items[0].GetVerdict() != clusterv1.Verdict_VERDICT_ACCEPTED {
		t.Errorf("%v", items)
	}
}

// All that were in sync are eligible when all of them go at once: nothing was committed by one of them alone.
func TestFenceAllKeepsAllEligible(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(1, "a", "b")
	w.fence("a", "b")
	if p := w.partition(id); p.Leader != "" || len(p.ISR) != 0 || !slices.Equal(p.ELR, []string{"a", "b"}) {
		t.Errorf("%+v", p)
	}
	w.start("a")
	if p := w.partition(id); p.Leader != "a" {
		t.Errorf("%+v", p)
	}
}

// C6: the life that is named is fenced and no other.
func TestFenceStaleLife(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	old := w.at("a")
	w.fence("a")
	w.start("a")
	items := w.do(&clusterv1.FenceBrokers{Brokers: []*clusterv1.BrokerAt{old, {Name: "a"}, {Name: "nobody", Epoch: 1}}}).GetItems()
	for i, item := range items {
		if item.GetVerdict() != clusterv1.Verdict_VERDICT_STALE {
			t.Errorf("item %d: %v", i, item)
		}
	}
	if b, _ := w.s.Broker("a"); b.Fenced {
		t.Error("the new life is fenced")
	}
}

func TestFenceFollower(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(2, "a", "b", "c")
	before := w.partition(id)
	w.fence("c")
	p := w.partition(id)
	if p.Leader != "a" || p.LeaderEpoch != before.LeaderEpoch || p.PartitionEpoch != w.s.Index() || !slices.Equal(p.ISR, []string{"a", "b"}) {
		t.Errorf("%+v", p)
	}
	// C3: below min ISR who leaves is still eligible.
	w.fence("b")
	if p := w.partition(id); !slices.Equal(p.ELR, []string{"b"}) {
		t.Errorf("%+v", p)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	led, followed, alone := w.acked(2, "a", "b", "c"), w.acked(2, "b", "a", "c"), w.acked(1, "a")
	answer := w.do(&clusterv1.DrainBroker{Name: "a"})
	if p := w.partition(led); p.Leader != "b" || p.LeaderEpoch != w.s.Index() || slices.Contains(p.ISR, "a") {
		t.Errorf("led: %+v", p)
	}
	if p := w.partition(followed); p.Leader != "b" || slices.Contains(p.ISR, "a") {
		t.Errorf("followed: %+v", p)
	}
	if p := w.partition(alone); p.Leader != "a" {
		t.Errorf("only it can lead: %+v", p)
	}
	if len(answer.GetStillLed()) == 0 || !slices.ContainsFunc(answer.GetStillLed(), func(id []byte) bool { return string(id) == string(alone[:]) }) {
		t.Errorf("still led: %x", answer.GetStillLed())
	}
	// C2: it does not come back into an ISR before it has stopped.
	if item := w.judged(w.isr(led, "a", "b", "c")); item.GetVerdict() != clusterv1.Verdict_VERDICT_REFUSED || item.GetReason() != string(ReasonBrokerNotLive) {
		t.Errorf("%v", item)
	}
	w.do(&clusterv1.DrainBroker{Name: "a", Cancel: true})
	w.join(led, "a", "b", "c")
	w.fence("a")
	w.refused(ReasonBrokerNotLive, &clusterv1.DrainBroker{Name: "a"})
	w.refused(ReasonBrokerNotFound, &clusterv1.DrainBroker{Name: "x"})
	w.refused(ReasonStaleBroker, &clusterv1.DrainBroker{Name: "b", Epoch: 1})
	w.start("a")
	if b, _ := w.s.Broker("a"); b.Stopping {
		t.Error("a new life is about to stop")
	}
}

// A leader that drains and had nobody to hand over to does so as soon as another has caught up.
func TestDrainHandsOverLater(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(1, "a", "b")
	w.fence("b")
	w.do(&clusterv1.DrainBroker{Name: "a"})
	w.start("b")
	if p := w.partition(id); p.Leader != "a" {
		t.Fatalf("%+v", p)
	}
	w.join(id, "a", "b")
	if p := w.partition(id); p.Leader != "b" || p.LeaderEpoch != w.s.Index() || !slices.Equal(p.ISR, []string{"b"}) {
		t.Errorf("%+v", p)
	}
}

func TestRemoveBroker(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(2, "a", "b")
	w.refused(ReasonBrokerAlive, &clusterv1.RemoveBroker{Name: "a"})
	w.fence("b")
	w.fence("a") // ISR none, ELR a and b
	w.refused(ReasonBrokerInUse, &clusterv1.RemoveBroker{Name: "a"})
	w.refused(ReasonInvalid, &clusterv1.RemoveBroker{Name: "a", AcceptLoss: true})
	w.do(&clusterv1.RemoveBroker{Name: "a", Epoch: w.at("a").GetEpoch(), AcceptLoss: true})
	if _, ok := w.s.Broker("a"); ok {
		t.Error("the broker is still known")
	}
	if p := w.partition(id); !slices.Equal(p.Lost, []string{"a"}) {
		t.Errorf("%+v", p)
	}
	w.crashStart("b", 5, 10) // with one lost and one there nobody is waited for
	if p := w.partition(id); p.Leader != "b" {
		t.Errorf("%+v", p)
	}
	// The name comes back with nothing, and catches up.
	w.storage["a"]++
	w.start("a")
	if p := w.partition(id); slices.Contains(p.ISR, "a") || slices.Contains(p.ELR, "a") {
		t.Errorf("%+v", p)
	}
	w.join(id, "a", "b")
	w.fence("c")
	w.do(&clusterv1.RemoveBroker{Name: "c", Epoch: w.at("c").GetEpoch(), AcceptLoss: true})
}

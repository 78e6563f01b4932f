package metadata

import (
	"slices"
	"testing"
	"time"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

const ms = int64(time.Millisecond)

func namesOf(m *clusterv1.FenceBrokers) []string {
	var list []string
	for _, b := range m.GetBrokers() {
		list = append(list, b.GetName())
	}
	return list
}

func wantDue(t *testing.T, got *clusterv1.FenceBrokers, want ...string) {
	t.Helper()
	if list := namesOf(got); !slices.Equal(list, want) {
		t.Errorf("to be fenced: got %q, want %q", list, want)
	}
}

// protocol.md 3.3: a session is 1.5 s from the last heartbeat.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	s := NewSessions()
	s.Lead()
	wantDue(t, s.Due(w.s, 100*ms))
	s.Heard("a", w.at("a").GetEpoch(), 1000*ms)
	wantDue(t, s.Due(w.s, 1599*ms))
	wantDue(t, s.Due(w.s, 1600*ms), "b")
	wantDue(t, s.Due(w.s, 2499*ms), "b") // asked again until the state shows it
	wantDue(t, s.Due(w.s, 2500*ms), "a", "b")
	w.do(s.Due(w.s, 2500*ms))
	wantDue(t, s.Due(w.s, 9000*ms))
}

// C6: a new raft leader grants a full session before fencing: it has heard nobody yet.
func TestNewRaftLeaderGrantsSession(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	s := NewSessions()
	wantDue(t, s.Due(w.s, 50_000*ms)) // does not lead
	s.Lead()
	wantDue(t, s.Due(w.s, 50_000*ms))
	wantDue(t, s.Due(w.s, 51_499*ms))
	wantDue(t, s.Due(w.s, 51_500*ms), "a", "b")
	s.Resign()
	wantDue(t, s.Due(w.s, 60_000*ms))
	s.Lead()
	wantDue(t, s.Due(w.s, 61_000*ms))
}

// protocol.md 3.4: a reset connection and a refused redial fence at once, also under a new raft leader; the grace is for
// the silent ones. Who is heard after that is alive.
func TestEvidenceFencesAtOnce(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	s := NewSessions()
	s.Lead()
	s.Gone("b", w.at("b").GetEpoch(), 1*ms)
	s.Gone("c", w.at("c").GetEpoch(), 1*ms)
	s.Heard("c", w.at("c").GetEpoch(), 2*ms)
	wantDue(t, s.Due(w.s, 3*ms), "b")
}

// Evidence and heartbeats of a life that is over say nothing of the one that is.
func TestSessionsTellLivesApart(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	old := w.at("b").GetEpoch()
	w.fence("b")
	w.start("b")
	s := NewSessions()
	s.Lead()
	wantDue(t, s.Due(w.s, 1*ms))
	s.Gone("b", old, 2*ms)
	wantDue(t, s.Due(w.s, 3*ms))
	s.Heard("a", w.at("a").GetEpoch(), 1400*ms)
	s.Heard("b", old, 1400*ms) // a late heartbeat of the old process keeps nobody alive
	wantDue(t, s.Due(w.s, 1501*ms), "b")
	// A registration that this raft leader has not applied yet is known by its heartbeat first.
	s.Heard("b", w.at("b").GetEpoch()+100, 2000*ms)
	wantDue(t, s.Due(w.s, 2001*ms))
}

// protocol.md 3.7: a partition that accepts loss waits 10 s for its last known replicas, then the best that is there leads.
func TestLastKnownElectionIsDue(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.stream(2, trestlev1.Sync_SYNC_INTERVAL, "a", "b")
	durable := w.acked(2, "a", "b")
	w.fence("a")
	w.fence("b")
	w.crashStart("a", 5, 5)
	w.fence("a")
	s := NewSessions()
	s.Lead()
	if m := s.DueElections(w.s, 1*ms); m != nil { // b may come back and have everything
		t.Errorf("due while a member of the ELR is awaited: %v", m)
	}
	w.crashStart("b", 5, 5)
	if p := w.partition(id); p.Leader != "" || !slices.Equal(p.LastKnown, []string{"a", "b"}) {
		t.Fatalf("the partition should wait for a: %+v", p)
	}
	for _, now := range []int64{600, 1200, 10_000, 10_500} {
		if m := s.DueElections(w.s, now*ms); m != nil {
			t.Errorf("due %v ms after it began to wait: %v", now-600, m)
		}
	}
	w.fence("b")
	if m := s.DueElections(w.s, 11_100*ms); m != nil {
		t.Errorf("due with nobody there: %v", m)
	}
	w.crashStart("b", 5, 5) // raises the partition epoch, and does not begin the wait anew
	m := s.DueElections(w.s, 11_700*ms)
	if len(m.GetPartitions()) != 1 || [16]byte(m.GetPartitions()[0].GetPartition()) != id {
		t.Fatalf("due after 10 s: %v, want %v and not %v, which accepts no loss", m, id, durable)
	}
	w.do(m)
	if p := w.partition(id); p.Leader != "b" || p.UncleanEpoch != p.LeaderEpoch {
		t.Errorf("b should lead, uncleanly: %+v", p)
	}
	if m := s.DueElections(w.s, 30_000*ms); m != nil {
		t.Errorf("due with a leader: %v", m)
	}
}

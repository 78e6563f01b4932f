package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// Three nodes: commands are applied on all of them in one order, and a follower names the leader (protocol.md 3.13).
func TestGroupAgrees(t *testing.T) {
	nodes := group(t, 3, &directory{})
	leader := leaderOf(t, nodes...)
	var proposing sync.WaitGroup
	for i := range 40 {
		proposing.Go(func() {
			if _, err := leader.Propose(t.Context(), fmt.Appendf(nil, "c%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	proposing.Wait()
	last := leader.propose(t, "last")
	for _, n := range nodes {
		n.waitApplied(t, last.Index)
		if !slices.Equal(n.journal.all(), leader.journal.all()) {
			t.Errorf("%s differs from the leader", n.ID())
		}
		if n == leader {
			continue
		}
		_, err := n.Propose(t.Context(), []byte("no"))
		var other *NotLeaderError
		if !errors.As(err, &other) || !errors.Is(err, ErrNotLeader) {
			t.Fatalf("a follower answers %v", err)
		}
		if other.ID != leader.ID() || other.Address != leader.address() {
			t.Errorf("a follower names %q at %q, want %q at %q", other.ID, other.Address, leader.ID(), leader.address())
		}
	}
	if got := len(leader.journal.all()); got != 41 {
		t.Errorf("%d commands were applied, 41 proposed", got)
	}
}

// When the leader is closed the others elect a new one, and nothing that was answered is lost.
func TestLeaderCloses(t *testing.T) {
	nodes := group(t, 3, &directory{})
	leader := leaderOf(t, nodes...)
	leader.propose(t, "before")
	followers := slices.DeleteFunc(slices.Clone(nodes), func(n *testNode) bool { return n == leader })
	leader.close(t)
	closed := time.Now()
	next := leaderOf(t, followers...)
	t.Logf("a new leader after %v with timers of %v", time.Since(closed), quick().Heartbeat)
	next.propose(t, "after")
	sameCommands(t, next, "before", "after")
}

// Every command is applied once or never, whatever its proposer was told: leaders are closed under load.
func TestAnswersHold(t *testing.T) {
	known := &directory{}
	nodes := group(t, 3, known)
	answered, refused := make(map[string]bool), make(map[string]bool)
	for round := range 3 {
		leader := leaderOf(t, nodes...)
		var mu sync.Mutex
		var proposing sync.WaitGroup
		begun := make(chan struct{}, 16)
		for worker := range 4 {
			proposing.Go(func() {
				for i := 0; ; i++ {
					command := fmt.Sprintf("%d/%d/%d", round, worker, i)
					_, err := leader.Propose(t.Context(), []byte(command))
					mu.Lock()
					answered[command] = err == nil
					refused[command] = err != nil && !errors.Is(err, ErrOutcomeUnknown)
					mu.Unlock()
					if err != nil {
						return
					}
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range cap(begun) {
			<-begun
		}
		leader.close(t)
		proposing.Wait()
		i := slices.Index(nodes, leader)
		nodes[i] = leader.reopen(t)
		known.put(nodes[i].ID(), nodes[i].address())
	}
	leader := leaderOf(t, nodes...)
	applied := make(map[string]int)
	for _, command := range leader.journal.commands() {
		applied[command]++
	}
	for command, ok := range answered {
		switch times := applied[command]; {
		case times > 1:
			t.Errorf("%s was applied %d times", command, times)
		case ok && times == 0:
			t.Errorf("%s was answered and is lost", command)
		case refused[command] && times != 0:
			t.Errorf("%s was refused and is applied", command)
		}
	}
	t.Logf("%d commands", len(answered))
}

// A follower that was away is brought up by log and by snapshot, and restarts from what it was sent.
func TestFollowerCatchesUpFromSnapshot(t *testing.T) {
	timing := quick()
	timing.SnapshotCheck, timing.SnapshotEntries, timing.TrailingEntries = 5*time.Millisecond, 20, 5
	known := &directory{}
	a := openNode(t, Options{Name: "a", Bootstrap: true, Addresses: known.find, Timing: timing})
	b := openNode(t, Options{Name: "b", Addresses: known.find, Timing: timing})
	known.put(a.ID(), a.address())
	known.put(b.ID(), b.address())
	a.waitLeading(t)
	if err := a.AddNonvoter(t.Context(), b.ID(), b.address()); err != nil {
		t.Fatal(err)
	}
	b.waitApplied(t, a.propose(t, "first").Index)
	b.close(t)
	var last Outcome
	for i := range 100 {
		last = a.propose(t, fmt.Sprint(i))
	}
	eventually(t, "a log without its beginning", func() bool {
		first, _ := a.disk.log.bounds()
		return first > 20
	})
	for range 2 {
		b = b.reopen(t)
		known.put(b.ID(), b.address())
		b.waitApplied(t, last.Index)
		if !slices.Equal(b.journal.all(), a.journal.all()) {
			t.Error("the follower differs from the leader")
		}
	}
	if b.disk.snapshots.newest() == nil {
		t.Error("the follower has no snapshot")
	}
}

// Membership: one change after the other, a removed voter no longer counts, the last voter stays (C8).
func TestMembership(t *testing.T) {
	nodes := group(t, 3, &directory{})
	leader := leaderOf(t, nodes...)
	members := leader.Configuration()
	if len(members) != 3 || !members[1].Voter || members[1].Address != nodes[1].address() {
		t.Errorf("membership %+v", members)
	}
	var changing sync.WaitGroup
	others := slices.DeleteFunc(slices.Clone(nodes), func(n *testNode) bool { return n == leader })
	for _, other := range others {
		changing.Go(func() {
			if err := leader.Remove(t.Context(), other.ID()); err != nil {
				t.Error(err)
			}
		})
	}
	changing.Wait()
	if got := leader.Configuration(); len(got) != 1 || got[0].ID != leader.ID() {
		t.Fatalf("membership %+v", got)
	}
	for _, other := range others {
		other.close(t)
	}
	leader.propose(t, "alone")
	if err := leader.Remove(t.Context(), leader.ID()); !errors.Is(err, ErrRefused) {
		t.Errorf("removal of the last voter: %v", err)
	}
	if err := leader.AddVoter(t.Context(), "", "x"); !errors.Is(err, ErrRefused) {
		t.Errorf("a node without an id: %v", err)
	}
}

// A follower makes no change of the membership.
func TestMembershipAtFollower(t *testing.T) {
	nodes := group(t, 2, &directory{})
	leader := leaderOf(t, nodes...)
	follower := nodes[0]
	if follower == leader {
		follower = nodes[1]
	}
	if err := follower.Remove(t.Context(), "x"); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower answers %v", err)
	}
}

// A broker whose address has changed is the same member: no change of the membership is needed (protocol.md 3.16).
func TestAddressChanges(t *testing.T) {
	known := &directory{}
	nodes := group(t, 3, known)
	for i, n := range nodes {
		before := n.address()
		nodes[i] = n.reopen(t)
		if nodes[i].address() == before {
			t.Skip("the system has given the same port again")
		}
		known.put(nodes[i].ID(), nodes[i].address())
		leaderOf(t, nodes...)
	}
	leader := leaderOf(t, nodes...)
	last := leader.propose(t, "moved")
	for _, n := range nodes {
		n.waitApplied(t, last.Index)
		if id, address := n.Leader(); id != leader.ID() || address != leader.address() {
			t.Errorf("%s says that %q leads at %q", n.ID(), id, address)
		}
	}
}

// Two brokers swap their addresses: nobody takes the one for the other.
func TestAddressesSwap(t *testing.T) {
	known := &directory{}
	nodes := group(t, 3, known)
	leader := leaderOf(t, nodes...)
	others := slices.DeleteFunc(slices.Clone(nodes), func(n *testNode) bool { return n == leader })
	known.put(others[0].ID(), others[1].address())
	known.put(others[1].ID(), others[0].address())
	for _, other := range others {
		other.stream.cutAll()
	}
	eventually(t, "a leader that nobody follows steps down", func() bool { return !leader.Leading() })
	ctx, cancel := context.WithTimeout(t.Context(), quick().Heartbeat)
	defer cancel()
	if _, err := leader.Propose(ctx, []byte("x")); err == nil {
		t.Error("a command was committed without a majority")
	}
	known.put(others[0].ID(), others[0].address())
	known.put(others[1].ID(), others[1].address())
	leaderOf(t, nodes...).propose(t, "y")
}

// cutAll ends all connections that the stream has accepted and dialled.
func (s *stream) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

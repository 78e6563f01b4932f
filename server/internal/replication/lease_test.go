package replication_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/trestlehq/trestle/server/internal/replication"
)

const tick = int64(10 * time.Millisecond)

// leases are three brokers between which leadership is moved by plan again and again. Each applies the moves some time after
// they were committed, and sends heartbeats, which are answered with the index of what was committed by then.
type leases struct {
	rng     *rand.Rand
	now     int64
	moves   []replication.View
	hosts   []*leaseHost
	hasty   bool // hosts believe an answer before they have applied what it names: a fault
	holders int  // most at one moment
	held    int  // moments at which somebody held the lease
}

type leaseHost struct {
	name    string
	applied int   // moves
	applies int64 // when it applies the next one
	role    *broker
	answers []leaseAnswer
}

type leaseAnswer struct {
	sent, answered, comes int64
	index                 int // moves committed when it was answered
}

func newLeases(seed uint64, hasty bool) *leases {
	l := &leases{rng: rand.New(rand.NewPCG(seed, 5)), hasty: hasty}
	for _, name := range []string{"a", "b", "c"} {
		l.hosts = append(l.hosts, &leaseHost{name: name, role: &broker{name: name, epoch: 1, log: newToyLog()}})
	}
	l.move()
	return l
}

func (l *leases) within(most time.Duration) int64 { return l.rng.Int64N(int64(most)) }

// move commits that another broker leads.
func (l *leases) move() {
	n := uint64(len(l.moves) + 1)
	l.moves = append(l.moves, viewOf(l.hosts[l.rng.IntN(3)].name, n, n, "a", "b", "c"))
}

func (l *leases) step() {
	l.now += tick
	if l.rng.IntN(150) == 0 {
		l.move()
	}
	holders := 0
	for _, h := range l.hosts {
		l.serve(h)
		if h.role.leader != nil && h.role.leader.LeaseHeld(l.now) {
			holders++
		}
	}
	l.holders = max(l.holders, holders)
	l.held += min(holders, 1)
}

// serve lets a host apply a move, send a heartbeat, and take what was answered.
func (l *leases) serve(h *leaseHost) {
	if h.applied < len(l.moves) && h.applies <= l.now {
		h.role.viewed(l.moves[h.applied], l.now)
		h.applied++
		h.applies = l.now
		if l.rng.IntN(3) == 0 {
			h.applies += l.within(3 * time.Second) // its metadata are behind
		}
	}
	if l.rng.IntN(25) == 0 {
		answered := l.now + l.within(300*time.Millisecond)
		h.answers = append(h.answers, leaseAnswer{sent: l.now, answered: answered, comes: answered + l.within(300*time.Millisecond), index: -1})
	}
	h.answers = slices.DeleteFunc(h.answers, func(a leaseAnswer) bool { return a.sent < l.now-int64(5*time.Second) })
	for i := range h.answers {
		a := &h.answers[i]
		if a.index < 0 && a.answered <= l.now {
			a.index = len(l.moves)
		}
		if a.index >= 0 && a.comes <= l.now && (l.hasty || a.index <= h.applied) && h.role.leader != nil {
			h.role.leader.Heartbeat(a.sent)
		}
	}
}

// R5, protocol.md 3.3: whatever moves leaderships, and however far behind the metadata of a broker are, no two leaders hold the
// lease at one moment. That rests on when hosts believe an answer. For a good part of the time somebody holds it.
func TestOneHoldsTheLease(t *testing.T) {
	t.Parallel()
	held, found := 0, false
	for seed := range uint64(60) {
		l, hasty := newLeases(seed, false), newLeases(seed, true)
		for range 2000 {
			l.step()
			hasty.step()
		}
		if l.holders > 1 {
			t.Fatalf("seed %d: %d brokers hold the lease at one moment", seed, l.holders)
		}
		held += l.held
		found = found || hasty.holders > 1
	}
	if held < 60*2000/10 {
		t.Errorf("somebody holds the lease in %d of %d moments", held, 60*2000)
	}
	if !found {
		t.Error("hosts that believe answers too early are not found out: the histories are too tame")
	}
	t.Logf("held in %d of %d moments", held, 60*2000)
}

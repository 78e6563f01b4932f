package replication_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/trestlehq/trestle/server/internal/replication"
)

// cluster is a partition with a controller that elects members of the ISR only, a network that loses, repeats and
// reorders, and brokers that learn of the metadata late, restart, and lose their logs.
type cluster struct {
	rng      *rand.Rand
	now      int64
	brokers  []*broker
	seen     []int    // views that each has seen
	mending  []uint64 // partition epoch that each waits for to empty its damaged log; 0: not damaged
	highest  []uint64 // commit position of each, since its log last lost something
	views    []replication.View
	network  []func()
	asked    []bool // whether a proposal of each is at the controller
	ledgers  map[uint64]*ledger
	eras     []uint64 // the ledger that the log of each is held against
	index    uint64   // of the last command
	violated error
	happened map[string]int
}

func newCluster(seed uint64) *cluster {
	c := &cluster{
		rng: rand.New(rand.NewPCG(seed, 1)), ledgers: map[uint64]*ledger{0: newLedger()}, index: 1,
		happened: map[string]int{},
	}
	n := 3 + c.rng.IntN(2)
	v := replication.View{Leader: "a", LeaderEpoch: 1, PartitionEpoch: 1, MinISR: 1 + c.rng.IntN(2), Synced: c.rng.IntN(4) > 0}
	for i := range n {
		name := string(rune('a' + i))
		c.brokers = append(c.brokers, &broker{name: name, epoch: 1, log: newToyLog(), credit: int64(c.rng.IntN(3)) * 200})
		v.Members = append(v.Members, replication.Member{Broker: name, BrokerEpoch: 1, Live: true, InSync: true})
	}
	c.seen, c.mending, c.highest, c.asked = make([]int, n), make([]uint64, n), make([]uint64, n), make([]bool, n)
	c.eras = make([]uint64, n)
	c.views = append(c.views, v)
	for i := range c.brokers {
		c.see(i, 1)
	}
	return c
}

// fail keeps the first violation.
func (c *cluster) fail(rule, format string, args ...any) {
	if c.violated == nil {
		c.violated = fmt.Errorf("%s: %s", rule, fmt.Sprintf(format, args...))
	}
}

func (c *cluster) newest() replication.View {
	v := c.views[len(c.views)-1]
	v.Members = slices.Clone(v.Members)
	return v
}

// command changes the metadata.
func (c *cluster) command(change func(v *replication.View)) {
	v := c.newest()
	c.index++
	v.PartitionEpoch = c.index
	change(&v)
	c.views = append(c.views, v)
}

func inSync(v *replication.View) (all []int) {
	for i := range v.Members {
		if v.Members[i].InSync {
			all = append(all, i)
		}
	}
	return all
}

// quietly changes what the metadata says of a broker that is not in the ISR: the partition stays as it is.
func (c *cluster) quietly(i int, change func(m *replication.Member)) {
	v := c.newest()
	change(&v.Members[i])
	c.views = append(c.views, v)
}

// leave takes a member out of the ISR, and has another one lead if it led; false: it is the last one.
func (c *cluster) leave(i int, change func(m *replication.Member)) bool {
	v := c.newest()
	if !v.Members[i].InSync {
		c.quietly(i, change)
		return true
	}
	rest := slices.DeleteFunc(inSync(&v), func(j int) bool { return i == j })
	if len(rest) == 0 {
		return false
	}
	c.command(func(v *replication.View) {
		v.Members[i].InSync = false
		change(&v.Members[i])
		if v.Leader == c.brokers[i].name {
			v.Leader, v.LeaderEpoch = c.brokers[rest[c.rng.IntN(len(rest))]].name, c.index
		}
	})
	return true
}

// see shows a broker the views up to the n-th. It takes no role before it has seen its own registration (3.6).
func (c *cluster) see(i, n int) {
	b := c.brokers[i]
	if n <= c.seen[i] {
		return
	}
	c.seen[i] = n
	v := c.views[n-1]
	switch {
	case v.Members[i].BrokerEpoch != b.epoch:
		return
	case c.mending[i] > 0 && v.PartitionEpoch < c.mending[i]:
		return
	case c.mending[i] > 0:
		c.mending[i], c.highest[i], c.eras[i] = 0, 0, v.UncleanEpoch
		b.log = newToyLog()
	}
	led := b.leader
	b.viewed(v, c.now)
	if b.leader != led {
		c.asked[i] = false
	}
	if b.leader != nil {
		c.eras[i] = v.UncleanEpoch
	}
}

// crash ends a process: what is not durable may be lost.
func (c *cluster) crash(i int) {
	b := c.brokers[i]
	if !c.leave(i, func(m *replication.Member) { m.BrokerEpoch++; m.Live = true }) {
		return
	}
	c.happened["crash"]++
	if c.newest().Synced {
		b.log.crash(b.log.durable.Seq + uint64(c.rng.IntN(3)))
	}
	b.epoch++
	b.leader, b.follower, b.view, c.asked[i], c.highest[i] = nil, nil, replication.View{}, false, b.log.committed.Seq
}

// damage has a broker find that its log is not to be believed. It says so, and when the metadata knows it empties the log.
func (c *cluster) damage(i int) {
	b := c.brokers[i]
	if c.mending[i] > 0 || !c.leave(i, func(*replication.Member) {}) {
		return
	}
	c.happened["damage"]++
	c.command(func(*replication.View) {}) // it raises the partition epoch in any case
	b.leader, b.follower, b.view, c.asked[i] = nil, nil, replication.View{}, false
	c.mending[i] = c.index
}

// judge is what the metadata does with a proposal: once judged, the partition epoch is past it.
func (c *cluster) judge(b string, p replication.Proposal) replication.Decision {
	v := c.newest()
	if v.Leader != b || v.LeaderEpoch != p.LeaderEpoch || v.PartitionEpoch != p.PartitionEpoch {
		return replication.Stale
	}
	decision := replication.Accepted
	var isr []string
	for _, m := range p.ISR {
		isr = append(isr, m.Broker)
		i := slices.IndexFunc(v.Members, func(k replication.Member) bool { return k.Broker == m.Broker })
		if !v.Members[i].Live || v.Members[i].BrokerEpoch != m.BrokerEpoch {
			decision = replication.Refused
		}
	}
	if c.rng.IntN(50) == 0 {
		decision = replication.Refused // a member was about to stop, for a moment
	}
	c.command(func(v *replication.View) {
		for i := range v.Members {
			if m := &v.Members[i]; decision == replication.Accepted {
				m.InSync = slices.Contains(isr, m.Broker)
			}
		}
	})
	c.happened[[...]string{"", "accepted", "refused"}[decision]]++
	return decision
}

// send puts a message on the network.
func (c *cluster) send(deliver func()) { c.network = append(c.network, deliver) }

// deliver lets the network do something with one of its messages.
func (c *cluster) deliver() {
	if len(c.network) == 0 {
		return
	}
	i := 0 // mostly in order
	if c.rng.IntN(4) == 0 {
		i = c.rng.IntN(len(c.network))
	}
	m := c.network[i]
	if c.rng.IntN(12) > 0 { // else it will come again
		c.network = slices.Delete(c.network, i, i+1)
	}
	if c.rng.IntN(12) > 0 {
		m()
	}
}

func (c *cluster) named(name string) *broker {
	return c.brokers[name[0]-'a']
}

// ask sends an Open; the answer comes back the same way.
func (c *cluster) ask(b *broker) {
	o, ok := b.follower.Request()
	if !ok {
		return
	}
	leader := c.named(b.view.Leader)
	c.send(func() {
		a, ok := leader.asked(o, c.now)
		if !ok {
			return
		}
		c.send(func() {
			word := b.answered(a)
			c.reconciled(b, word)
			c.did(b, word)
		})
	})
}

// did takes note of what a follower did.
func (c *cluster) did(b *broker, word string) {
	c.happened[word[:min(len(word), 8)]]++
	if word == "quarantine" {
		c.fail("R7, R8", "%s stops", b.name)
	}
}

func (c *cluster) progress(b *broker) {
	p, _ := b.follower.Progress()
	if p.Session == 0 {
		return
	}
	leader := c.named(b.view.Leader)
	c.send(func() {
		if leader.leader != nil {
			leader.leader.Progressed(p, c.now)
			leader.keepCommit()
		}
	})
}

// push sends a follower batches, or only the commit position.
func (c *cluster) push(leader *broker, to *broker) {
	session, ok := leader.leader.SessionOf(to.name)
	if !ok || to == leader {
		return
	}
	f, ok := leader.frame(to.name, 1+c.rng.IntN(4))
	commit := leader.commit(session)
	c.send(func() {
		if ok {
			c.did(to, to.receives(f))
		}
		if to.follower != nil {
			to.told(commit)
		}
	})
}

// propose sends what a leader wants; it may never hear what became of it.
func (c *cluster) propose(i int) {
	b := c.brokers[i]
	p, ok := b.leader.Proposal(c.now)
	if !ok {
		return
	}
	if c.asked[i] && c.rng.IntN(3) > 0 {
		return
	}
	c.asked[i] = true
	leader := b.leader
	c.send(func() {
		d := c.judge(b.name, p)
		c.send(func() {
			if b.leader == leader {
				leader.Decided(p, d, c.now)
				b.keepCommit()
			}
		})
	})
	if c.rng.IntN(6) == 0 {
		leader.Decided(p, replication.Unknown, c.now)
	}
}

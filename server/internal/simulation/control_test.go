package simulation_test

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// control is a model of the raft log, as protocol 3.12 has it: total order, brokers that apply it late, proposals of
// unknown outcome, applied twice or never, restarts from a snapshot. It is durable and does not lie: hashicorp/raft has
// tests of its own.
type control struct {
	w       *world
	entries [][]byte          // entries[i] has index i+1
	states  []*metadata.State // states[i] is the state after i entries
	results []metadata.Result // results[i] is that of entry i+1

	leader   *broker // who hears heartbeats and fences; nil while raft elects
	sessions *metadata.Sessions
	term     int
}

func newControl(w *world) *control {
	return &control{w: w, states: []*metadata.State{metadata.New()}}
}

// latest is the state after all that was decided.
func (c *control) latest() *metadata.State { return c.states[len(c.states)-1] }

// commit decides a command. Nobody knows of it yet.
func (c *control) commit(entry []byte) metadata.Result {
	index := uint64(len(c.entries) + 1)
	state, result := c.latest().Apply(index, entry)
	c.entries, c.states, c.results = append(c.entries, entry), append(c.states, state), append(c.results, result)
	c.w.happened("commit", index)
	c.w.tellCommand(entry, result)
	if result.Unknown {
		c.w.violate("3.10", "a command that the simulation knows is unknown to the state")
	}
	c.w.oracle.decided(state)
	for _, b := range c.w.brokers {
		b.catchUp()
	}
	return result
}

// answer is what a proposer learns: a result, or nothing at all.
type answer func(result metadata.Result, known bool)

// propose sends a command to whoever leads raft. The answer comes once the proposer itself has applied the entry, or as
// unknown after a while.
func (c *control) propose(from *broker, command *clusterv1.Command, done answer) {
	entry := c.w.encoded(command)
	process, answered := from.process, false
	reply := func(result metadata.Result, known bool) {
		if !answered && from.up && from.process == process {
			answered = true
			from.whenAwake(func() { done(result, known) })
		}
	}
	c.w.after(2*time.Second, func() { reply(metadata.Result{}, false) })
	if c.w.chance(c.w.plan.lostProposal) {
		return
	}
	c.deliver(from, entry, reply)
	if c.w.chance(c.w.plan.twiceProposed) { // a retry below the proposer, or a forwarder that had it still
		c.w.after(c.w.between(0, 8*time.Second), func() { c.deliver(from, entry, func(metadata.Result, bool) {}) })
	}
}

// deliver decides the entry if raft can, now or a little later.
func (c *control) deliver(from *broker, entry []byte, reply answer) {
	delay := c.w.between(200*time.Microsecond, 8*time.Millisecond)
	if c.w.chance(c.w.plan.lateProposal) && len(c.w.oracle.ids()) > 0 { // else it would be the making of the cluster that waits
		delay = c.w.between(0, 4*time.Second)
	}
	c.w.after(delay, func() {
		if c.leader == nil || !c.quorum() || from.up && !c.reaches(from) {
			if c.w.chance(200) { // it sits somewhere and is decided later
				c.w.after(c.w.between(0, 4*time.Second), func() {
					if c.leader != nil && c.quorum() {
						c.commit(entry)
					}
				})
			}
			return
		}
		c.commit(entry)
		index := uint64(len(c.entries))
		if c.w.chance(c.w.plan.lostAnswer) {
			return
		}
		from.whenApplied(index, func() { reply(c.results[index-1], true) })
	})
}

// quorum says whether a majority of brokers runs and is connected to the raft leader.
func (c *control) quorum() bool {
	n := 0
	for _, b := range c.w.brokers {
		if b == c.leader || b.up && !b.paused && c.w.reachable(b, c.leader) && c.w.reachable(c.leader, b) {
			n++
		}
	}
	return c.leader != nil && c.leader.up && !c.leader.paused && 2*n > len(c.w.brokers)
}

// reaches says whether a broker and the raft leader hear each other.
func (c *control) reaches(b *broker) bool {
	return c.leader != nil && (b == c.leader || c.w.reachable(b, c.leader) && c.w.reachable(c.leader, b))
}

// elect gives raft a leader that a majority can reach, after a while without one.
func (c *control) elect() {
	c.leader, c.sessions = nil, nil
	c.term++
	term := c.term
	c.w.after(c.w.between(100*time.Millisecond, 900*time.Millisecond), func() {
		if c.term != term {
			return
		}
		for _, i := range c.w.rng.Perm(len(c.w.brokers)) {
			c.leader = c.w.brokers[i]
			if c.quorum() {
				c.w.happened("raft leader", uint64(i))
				c.begin()
				return
			}
		}
		c.elect()
	})
}

// begin starts the sessions of a new raft leader, each with its full time, and keeps looking at them.
func (c *control) begin() {
	c.sessions = metadata.NewSessions()
	c.sessions.Lead()
	process := c.leader.process
	term := c.term
	c.w.every(50*time.Millisecond, func() bool {
		if c.term != term {
			return false
		}
		if !c.quorum() || c.leader.process != process {
			c.elect()
			return false
		}
		c.fence()
		return true
	})
}

// fence proposes what the sessions say is due.
func (c *control) fence() {
	ignore := func(metadata.Result, bool) {}
	if due := c.sessions.Due(c.leader.state, c.leader.monotonic()); due != nil {
		c.w.happened("fence")
		c.propose(c.leader, &clusterv1.Command{Command: &clusterv1.Command_FenceBrokers{FenceBrokers: due}}, ignore)
	}
	if due := c.sessions.DueElections(c.leader.state, c.leader.monotonic()); due != nil {
		c.w.happened("elect last known")
		c.propose(c.leader, &clusterv1.Command{Command: &clusterv1.Command_ElectLastKnown{ElectLastKnown: due}}, ignore)
	}
}

// heartbeat is a broker's sign of life. The answer tells it when it sent what was answered, and counts once it has applied
// what was decided by then (3.3).
func (c *control) heartbeat(b *broker) {
	if !c.reaches(b) || c.sessions == nil {
		return
	}
	sent, process, leader, term, epoch := b.monotonic(), b.process, c.leader, c.term, b.brokerEpoch()
	c.w.send(b, leader, func() {
		if c.term != term || c.sessions == nil {
			return
		}
		if known, ok := leader.state.Broker(b.name); ok && (known.Epoch > epoch || known.Epoch == epoch && known.Fenced) {
			return // its life is over, and it has no lease
		}
		c.sessions.Heard(b.name, epoch, leader.monotonic())
		decided := uint64(len(c.entries))
		c.w.send(leader, b, func() {
			if b.process == process {
				b.whenApplied(decided, func() { b.heartbeatAnswered(sent) })
			}
		})
	})
}

// checkReplay applies all that was decided to a fresh state and to one restored half way: apply is deterministic, and a
// snapshot stands for what it was taken of.
func (c *control) checkReplay() {
	half := len(c.entries) / 2
	var snapshot bytes.Buffer
	_, err := c.states[half].WriteTo(&snapshot)
	c.w.must(err, "writing a snapshot")
	restored, err := metadata.Restore(&snapshot)
	c.w.must(err, "restoring a snapshot")
	for i := half; i < len(c.entries); i++ {
		restored, _ = restored.Apply(uint64(i+1), c.entries[i])
	}
	var want, got bytes.Buffer
	_, err = c.latest().WriteTo(&want)
	c.w.must(err, "writing a snapshot")
	_, err = restored.WriteTo(&got)
	c.w.must(err, "writing a snapshot")
	if !bytes.Equal(want.Bytes(), got.Bytes()) {
		c.w.violate("C1", "a state that was restored from a snapshot is not what it was")
	}
}

// tellCommand adds a command to the history that a person reads.
func (w *world) tellCommand(entry []byte, result metadata.Result) {
	var command clusterv1.Command
	if w.verbose && proto.Unmarshal(entry, &command) == nil {
		w.log("decided: %v: %v", &command, result.Answer)
	}
}

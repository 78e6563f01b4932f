package simulation_test

import (
	"fmt"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// clients publish over gRPC, with acks of policy ALL, and read.
type clients struct {
	w         *world
	published int
	all       []*publish
}

// publish is one call: what became of it as the client knows.
type publish struct {
	w       *world
	ledger  *ledger
	value   string
	key     string
	offset  int64
	end     commitlog.Position
	outcome outcome
}

type outcome uint8

const (
	unknown outcome = iota // the client never learnt
	refused                // a definite no (S10)
	acked
)

func (c *clients) publish() {
	c.w.every(c.w.plan.publishEvery, func() bool {
		if ids := c.w.oracle.ids(); len(ids) > 0 {
			c.publishOne(c.w.oracle.ledgers[ids[c.w.rng.IntN(len(ids))]])
		}
		return !c.w.healed
	})
	c.w.every(c.w.plan.publishEvery, func() bool {
		c.read()
		return !c.w.healed
	})
}

// publishOne sends a record to a broker that takes itself for the leader; there may be two.
func (c *clients) publishOne(l *ledger) {
	c.published++
	p := &publish{w: c.w, ledger: l, value: fmt.Sprintf("g%d", c.published)}
	if c.w.plan.compact {
		p.key = fmt.Sprintf("k%d", c.w.rng.IntN(6))
	}
	c.all = append(c.all, p)
	var leaders []*replica
	for _, b := range c.w.brokers {
		if b.up && !b.paused && b.replicas[l.id] != nil && b.replicas[l.id].leader != nil {
			leaders = append(leaders, b.replicas[l.id])
		}
	}
	if len(leaders) > 0 {
		leaders[c.w.rng.IntN(len(leaders))].takePublish(p)
	}
}

// takePublish appends what a gRPC client sent, or refuses it before (R6).
func (r *replica) takePublish(p *publish) {
	if !r.leader.Enough() {
		p.outcome = refused
		return
	}
	record := batch.Record{Value: []byte(p.value)}
	if p.key != "" {
		record.Key = []byte(p.key)
	}
	var b batch.Builder
	b.Reset(nil)
	b.Append(&record)
	for range r.w.rng.IntN(3) { // of other keys, so that a compaction leaves parts of batches
		b.Append(&batch.Record{Key: fmt.Appendf(nil, "k%d", r.w.rng.IntN(6)), Value: []byte("filler")})
	}
	p.offset = r.log.End().Offset
	if !r.write(r.leaderEpoch(), b.Finish(0)) {
		return
	}
	p.end = r.log.End()
	r.waiting = append(r.waiting, p)
	r.pump()
}

// acknowledge answers those whose records are committed.
func (r *replica) acknowledge() {
	committed := r.leader.Committed()
	if mutant("simulation-ack-before-commit") {
		committed = r.log.End()
	}
	for len(r.waiting) > 0 && !committed.Before(r.waiting[0].end) {
		p := r.waiting[0]
		r.waiting = r.waiting[1:]
		if !r.w.chance(20) { // or the answer never arrives
			p.outcome = acked
			r.w.oracle.acked(p)
		}
	}
}

// read reads a few records from any replica, below what it knows to be committed.
func (c *clients) read() {
	b := c.w.brokers[c.w.rng.IntN(len(c.w.brokers))]
	ids := c.w.oracle.ids()
	if !b.up || b.paused || len(ids) == 0 {
		return
	}
	r := b.replicas[ids[c.w.rng.IntN(len(ids))]]
	if r == nil || r.bad != nil {
		return
	}
	start, end := r.log.Start(), r.log.Committed()
	if start >= end.Offset {
		return
	}
	from := start + c.w.rng.Int64N(end.Offset-start)
	run, err := r.log.ReadFrom(from).Read(c.w.buffer, end)
	if err != nil {
		if r.leader != nil || r.follower != nil {
			r.spoilt(err)
		}
		return
	}
	c.w.oracle.served(r, run.Bytes)
}

// waitFor is how long the world is given after it is healed.
func (w *world) waitFor() time.Duration {
	wait := w.plan.window + 7*time.Second
	if w.plan.async { // the last known replicas are waited for (3.7)
		wait += 10 * time.Second
	}
	return wait
}

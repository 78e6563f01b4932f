package replication_test

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trestlehq/trestle/server/internal/replication"
)

// TestRandomHistories checks S3, S4, S5, S7 and S12 after every step of random histories, and that each ends well once nothing
// fails any more. REPLICATION_SEEDS says how many (default 2000), REPLICATION_SEED plays one.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	seeds, one := number("REPLICATION_SEEDS", 2000), number("REPLICATION_SEED", 0)
	var next atomic.Uint64
	var mu sync.Mutex
	happened := map[string]int{}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for !t.Failed() {
				seed := next.Add(1)
				if one > 0 {
					seed = one
				}
				if seed > seeds && one == 0 || one > 0 && next.Load() > 1 {
					return
				}
				c := newCluster(seed)
				c.run(300)
				if c.violated != nil {
					t.Errorf("seed %d: %v\n%s", seed, c.violated, c)
				}
				mu.Lock()
				for what, n := range c.happened {
					happened[what] += n
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%v", happened)
	for _, what := range []string{"accepted", "refused", "crash", "damage", "truncate", "restart ", "unclean", "cut uncleanly", "stream", "reopen", "append", "drop"} {
		if happened[what] == 0 && one == 0 && !t.Failed() {
			t.Errorf("no history had %q", what)
		}
	}
}

func number(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

func (c *cluster) String() string {
	v := c.newest()
	text := fmt.Sprintf("committed below %d; %+v\n", c.ledgers[v.UncleanEpoch].top, v)
	for i, b := range c.brokers {
		role := "none"
		if b.leader != nil {
			role = fmt.Sprint("leader ", b.leader.LeaderEpoch())
		} else if b.follower != nil {
			role = "follower of " + b.view.Leader
		}
		text += fmt.Sprintf("%s/%d (%s, held against %d): %v durable %d commit %d compacted %d\n",
			b.name, b.epoch, role, c.eras[i], b.log, b.log.durable.Seq, b.log.committed.Seq, b.log.compacted)
	}
	return text
}

func (c *cluster) run(steps int) {
	for range steps {
		c.step()
		c.check()
		if c.violated != nil {
			return
		}
	}
	c.heal()
}

// step lets one thing happen.
func (c *cluster) step() {
	i := c.rng.IntN(len(c.brokers))
	b := c.brokers[i]
	c.now += int64(c.rng.IntN(20_000_000))
	switch n := c.rng.IntN(100); {
	case n < 40:
		c.deliver()
	case n < 50:
		c.see(i, c.seen[i]+c.rng.IntN(len(c.views)-c.seen[i]+1))
	case n < 58:
		b.sync(b.log.durable.Seq + uint64(c.rng.IntN(4)))
	case n < 60:
		c.upset(i)
	case b.leader != nil:
		c.leads(i)
	case b.follower != nil && c.rng.IntN(3) == 0:
		c.ask(b)
	case b.follower != nil:
		c.progress(b)
	}
}

// leads lets a leader do something.
func (c *cluster) leads(i int) {
	b := c.brokers[i]
	switch n := c.rng.IntN(20); {
	case n < 6:
		b.append(1+c.rng.IntN(2), c.rng.IntN(3) == 0)
	case n < 9:
		c.propose(i)
	case n == 9 && b.log.committed.Seq > b.log.first.Seq+2:
		b.log.expire(b.log.first.Seq + uint64(c.rng.IntN(int(b.log.committed.Seq-b.log.first.Seq))))
		b.logStart = b.log.first.Offset
	default:
		for _, to := range c.brokers {
			c.push(b, to)
		}
	}
}

// upset lets something go wrong, or the controller change its mind.
func (c *cluster) upset(i int) {
	b := c.brokers[i]
	switch c.rng.IntN(9) {
	case 0:
		c.crash(i)
	case 1:
		c.damage(i)
	case 2:
		c.leave(i, func(m *replication.Member) { m.Live = false })
	case 3:
		c.quietly(i, func(m *replication.Member) { m.Live = true })
	case 4: // another leads
		c.command(func(v *replication.View) {
			isr := inSync(v)
			v.Leader, v.LeaderEpoch = c.brokers[isr[c.rng.IntN(len(isr))]].name, c.index
		})
	case 5:
		c.command(func(v *replication.View) { v.MinISR = 1 + c.rng.IntN(3) })
	case 6:
		if b.follower != nil {
			b.follower.Disconnected()
		}
	case 7:
		if kept := min(b.log.committed.Seq, b.log.durable.Seq); kept > b.log.compacted {
			at := b.log.compacted + uint64(c.rng.IntN(int(kept-b.log.compacted)))
			b.log.compact(at, uint64(c.rng.IntN(30)), uint64(c.rng.IntN(30)), uint64(c.rng.IntN(30)))
		}
	case 8:
		if c.rng.IntN(3) == 0 {
			c.electUncleanly(i)
		}
	}
	c.now += int64(c.rng.IntN(3_000_000_000))
}

// heal ends all trouble and waits for every replica to be in sync with all there is.
func (c *cluster) heal() {
	c.network = nil // what was under way is lost, and those who waited for it hear that
	for i, b := range c.brokers {
		if b.follower != nil {
			b.follower.Disconnected()
		}
		c.command(func(v *replication.View) { v.Members[i].Live, v.MinISR = true, 1 })
	}
	for round := 0; round < 200 && c.violated == nil; round++ {
		c.now += 500_000_000
		for i, b := range c.brokers {
			c.see(i, len(c.views))
			b.sync(math.MaxUint32)
			if b.leader != nil {
				c.asked[i] = false
				c.propose(i)
				for _, to := range c.brokers {
					c.push(b, to)
				}
			}
			if b.follower != nil {
				c.ask(b)
				c.progress(b)
			}
		}
		for len(c.network) > 0 {
			m := c.network[0]
			c.network = c.network[1:]
			m()
			c.check()
		}
		if c.whole() {
			return
		}
	}
	c.fail("liveness", "not all replicas are in sync after all trouble ended")
}

// whole says whether every replica is in sync and has committed all there is.
func (c *cluster) whole() bool {
	v := c.newest()
	leader := c.named(v.Leader)
	for _, b := range c.brokers {
		if b.log.end != leader.log.end || b.committed() != leader.log.end {
			return false
		}
	}
	return len(inSync(&v)) == len(c.brokers)
}

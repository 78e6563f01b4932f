package capture

import (
	"sync"
	"sync/atomic"
	"time"
)

// gateLimits are in bytes of messages that were received and not captured yet, with their overhead.
type gateLimits struct{ shuts, opens int }

// gateLooks is how much is captured between two looks at whether to open.
const gateLooks = 1 << 20

// gate holds back the reading of a NATS connection while too much of what it brought waits to be captured. The messages
// then wait in the NATS server, which slows its publishers down, instead of being dropped here.
type gate struct {
	pending func() int // bytes that wait to be captured
	limits  gateLimits
	// onEnd is called when a connection has ended, with the time until when everything was read, and whether what waited at
	// the gate may be lost with it.
	onEnd func(until int64, held bool)

	waiting  atomic.Bool
	captured atomic.Int64 // bytes since the last look
	read     atomic.Int64 // when something was last read, unix nanoseconds
	shut     atomic.Int64 // when it shut last, and
	reopened atomic.Int64 // when it opened after that, unix nanoseconds; 0: not yet, or never shut
	// confirmed is when NATS was last asked to send all that it had for us by then, and did; unix nanoseconds. What is read
	// later may have been published long before: NATS, and the system, keep what nobody reads.
	confirmed atomic.Int64
	now       func() time.Time

	mu     sync.Mutex
	look   sync.Cond
	closed bool
}

func newGate(limits gateLimits, pending func() int) *gate {
	g := &gate{pending: pending, limits: limits, now: time.Now}
	g.look.L = &g.mu
	return g
}

// pass waits until there is room.
func (g *gate) pass() {
	if g.pending() < g.limits.shuts || mutant("capture-gate-never-shuts") {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reopened.Store(0)
	g.shut.Store(g.now().UnixNano())
	g.waiting.Store(true)
	for g.pending() > g.limits.opens && !g.closed {
		g.look.Wait()
	}
	g.waiting.Store(false)
	g.reopened.Store(g.now().UnixNano())
}

// done says that a message of so many bytes was captured. Between the limits more than gateLooks is captured, so
// whoever waits is woken.
func (g *gate) done(bytes int) {
	if !g.waiting.Load() || g.captured.Add(int64(bytes)) < gateLooks {
		return
	}
	g.captured.Store(0)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look.Broadcast()
}

// backlog is how long a NATS server may take, once it is read again, to send what it kept.
const backlog = 10 * time.Second

// held says that what was published may not all be here yet, because the gate was shut and a NATS server may still keep what
// had to wait.
func (g *gate) held() bool {
	shut, reopened := g.shut.Load(), g.reopened.Load()
	return shut != 0 && (reopened == 0 || g.now().UnixNano()-reopened < int64(backlog))
}

// heardAll notes that NATS has confirmed that we had heard all by then.
func (g *gate) heardAll(by int64) {
	for {
		before := g.confirmed.Load()
		if by <= before || g.confirmed.CompareAndSwap(before, by) {
			return
		}
	}
}

// close opens the gate for good.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.look.Broadcast()
}

// transit is how long a message may be on its way from its publisher to NATS. One that was published before NATS confirmed
// that we had all may have been lost with the connection.
const transit = 500 * time.Millisecond

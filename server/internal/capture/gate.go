package capture

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the gate, in bytes of messages that were received and not captured yet.
const (
	gateShuts = 32 << 20
	gateOpens = 16 << 20
	gateLooks = 1 << 20 // captured between two looks at whether to open
)

// gate holds back the reading of a NATS connection while too much of what it brought waits to be captured. The messages
// then wait in the NATS server, which slows its publishers down, instead of being dropped here.
type gate struct {
	pending func() int // bytes that wait to be captured

	waiting  atomic.Bool
	captured atomic.Int64 // bytes since the last look

	mu     sync.Mutex
	look   sync.Cond
	closed bool
}

func newGate(pending func() int) *gate {
	g := &gate{pending: pending}
	g.look.L = &g.mu
	return g
}

// pass waits until there is room.
func (g *gate) pass() {
	if g.pending() < gateShuts {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting.Store(true)
	for g.pending() > gateOpens && !g.closed {
		g.look.Wait()
	}
	g.waiting.Store(false)
}

// done says that a message of so many bytes was captured. Between gateShuts and gateOpens more than gateLooks is
// captured, so whoever waits is woken.
func (g *gate) done(bytes int) {
	if !g.waiting.Load() || g.captured.Add(int64(bytes)) < gateLooks {
		return
	}
	g.captured.Store(0)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look.Broadcast()
}

// close opens the gate for good.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.look.Broadcast()
}

// dialTimeout bounds a connection attempt.
const dialTimeout = 2 * time.Second

// keepAlive finds a dead peer in about ten seconds, whether the gate is open or shut.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3}

// Dial makes the gate a dialer of nats.go.
func (g *gate) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}).Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: conn, gate: g}, nil
}

type gatedConn struct {
	net.Conn
	gate *gate
}

// Read waits at the gate first.
func (c *gatedConn) Read(b []byte) (int, error) {
	c.gate.pass()
	return c.Conn.Read(b)
}

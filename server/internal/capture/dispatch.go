package capture

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// headroom of the channel is more messages than one read of a connection brings: nats.go reads 32 KiB at once, and the
// smallest message on the wire has 13 bytes. The gate is asked before each read, so nats.go never finds the channel full,
// which would make it drop messages.
const headroom = 8192

// backpressure says how much may be received and not captured yet.
type backpressure struct {
	gateLimits
	capacity int // of the channel, in messages
	// drops is from how many bytes on nobody waits for a partition that has too much to write: its messages become a gap.
	// 0: never.
	drops int
}

// slowing is for a NATS that slows its publishers down when it is not read; dropping for one that cuts its readers off.
var (
	slowing  = backpressure{gateLimits: gateLimits{shuts: 32 << 20, opens: 16 << 20}, capacity: 1 << 16}
	dropping = backpressure{gateLimits: gateLimits{shuts: 192 << 20, opens: 160 << 20}, capacity: 3 << 17, drops: 128 << 20}
)

// leastBytes is what a message counts at least: so many of them fill the channel up to its headroom.
func (b *backpressure) leastBytes() int { return b.shuts / (b.capacity - headroom) }

// dispatcher hands all messages of a connection on, one after another: what a publisher sends to several subjects of a
// stream is captured in its order, and a subscription costs no goroutine.
type dispatcher struct {
	messages chan *nats.Msg
	limits   backpressure
	gate     *gate
	room     *room // in the partitions
	conn     atomic.Pointer[nats.Conn]
	captured atomic.Int64 // payload bytes, as nats.go counts those that it received
	quit     chan struct{}
	running  sync.WaitGroup

	mu       sync.Mutex
	routes   map[*nats.Subscription]*route // guarded by mu
	barriers map[*nats.Msg]chan<- struct{} // guarded by mu
}

func newDispatcher(limits backpressure, queuedBytes int) *dispatcher {
	d := &dispatcher{
		messages: make(chan *nats.Msg, limits.capacity), limits: limits, quit: make(chan struct{}),
		room:   &room{limit: queuedBytes},
		routes: map[*nats.Subscription]*route{}, barriers: map[*nats.Msg]chan<- struct{}{},
	}
	d.gate = newGate(limits.gateLimits, d.pending)
	return d
}

// pending is how many bytes were received and not captured yet. It is called from the goroutine that reads the connection,
// which holds locks of nats.go while it connects: so it asks for a counter, and no method of the connection.
func (d *dispatcher) pending() int {
	byCount := len(d.messages) * d.limits.leastBytes()
	conn := d.conn.Load()
	if conn == nil {
		return byCount
	}
	received := int64(atomic.LoadUint64(&conn.InBytes))
	return max(byCount, int(received-d.captured.Load()))
}

// run hands messages on until quit is closed.
func (d *dispatcher) run() {
	var last *nats.Subscription
	var to *route
	for {
		select {
		case <-d.quit:
			return
		case msg := <-d.messages:
			if msg.Sub == nil {
				d.reached(msg)
				continue
			}
			if msg.Sub != last {
				last, to = msg.Sub, d.route(msg.Sub)
			}
			if to != nil {
				to.take(msg)
			}
			d.took(msg)
		}
		if len(d.messages) == 0 {
			last, to = nil, nil // and whatever they hold is free to go
		}
	}
}

// took counts a message. Messages that arrive for a subscription that has ended are received and never come here: when
// nothing waits, the count begins anew.
func (d *dispatcher) took(msg *nats.Msg) {
	received := uint64(0)
	if conn := d.conn.Load(); conn != nil {
		received = atomic.LoadUint64(&conn.InBytes)
	}
	if len(d.messages) == 0 {
		d.captured.Store(int64(received))
		d.gate.done(gateLooks)
		return
	}
	d.captured.Add(int64(msg.Size() - len(msg.Subject) - len(msg.Reply)))
	d.gate.done(max(msg.Size(), d.limits.leastBytes()))
}

// crowded says that so much waits that nobody is to wait for a partition.
func (d *dispatcher) crowded() bool { return d.limits.drops > 0 && d.pending() >= d.limits.drops }

func (d *dispatcher) route(sub *nats.Subscription) *route {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.routes[sub]
}

// passed waits until all that is in the channel now has been handed on.
func (d *dispatcher) passed(ctx context.Context) error {
	passed := make(chan struct{})
	msg := &nats.Msg{}
	d.mu.Lock()
	d.barriers[msg] = passed
	d.mu.Unlock()
	select {
	case d.messages <- msg:
	case <-d.quit:
		d.reached(msg)
	case <-ctx.Done():
		d.reached(msg)
		return fmt.Errorf("draining: %w", context.Cause(ctx))
	}
	select {
	case <-passed:
		return nil
	case <-d.quit:
		return errors.New("draining: the connection to NATS is closed")
	case <-ctx.Done():
		return fmt.Errorf("draining: %w", context.Cause(ctx))
	}
}

func (d *dispatcher) reached(msg *nats.Msg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if passed := d.barriers[msg]; passed != nil {
		close(passed)
		delete(d.barriers, msg)
	}
}

// stop ends run and waits for it.
func (d *dispatcher) stop() {
	close(d.quit)
	d.running.Wait()
}

package capture

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// backpressure says how much may be received and not captured yet.
type backpressure struct {
	gateLimits
	// drops is from how many bytes on nobody waits for a partition that has too much to write: its messages become a gap.
	// 0: never.
	drops int
}

// slowing is for a NATS that slows its publishers down when it is not read; dropping for one that cuts its readers off.
var (
	slowing  = backpressure{gateLimits: gateLimits{shuts: 32 << 20, opens: 16 << 20}}
	dropping = backpressure{gateLimits: gateLimits{shuts: 192 << 20, opens: 160 << 20}, drops: 128 << 20}
)

// dispatcher hands all messages of a connection on, one after another: what a publisher sends to several subjects of a
// stream is captured in its order, and a subscription costs no goroutine.
type dispatcher struct {
	arrivals *arrivals
	listens  *listening
	limits   backpressure
	gate     *gate
	room     *room     // in the partitions
	buffers  sync.Pool // that connections are read into
	quit     chan struct{}
	running  sync.WaitGroup
}

func newDispatcher(limits backpressure, queuedBytes int) *dispatcher {
	d := &dispatcher{arrivals: newArrivals(), listens: newListening(), limits: limits, quit: make(chan struct{}), room: &room{limit: queuedBytes}}
	d.gate = newGate(limits.gateLimits, d.pending)
	return d
}

// pending is how many bytes were received and not captured yet.
func (d *dispatcher) pending() int { return int(d.arrivals.bytes.Load()) }

// run hands messages on until quit is closed.
func (d *dispatcher) run() {
	var parcels []*parcel
	for {
		select {
		case <-d.quit:
			return
		case <-d.arrivals.some:
		}
		parcels = d.arrivals.take(parcels)
		for _, p := range parcels {
			select {
			case <-d.quit:
				return
			default:
			}
			d.hand(p)
		}
	}
}

// hand hands the messages of a parcel on.
func (d *dispatcher) hand(p *parcel) {
	for i := range p.messages {
		m := &p.messages[i]
		if m.passed != nil {
			close(m.passed)
		} else {
			m.route.take(m)
		}
		weight := m.weight()
		d.arrivals.bytes.Add(-int64(weight))
		d.gate.done(weight)
	}
	d.arrivals.release(p)
}

// crowded says that so much waits that nobody is to wait for a partition.
func (d *dispatcher) crowded() bool { return d.limits.drops > 0 && d.pending() >= d.limits.drops }

// passed waits until all that has arrived by now has been handed on.
func (d *dispatcher) passed(ctx context.Context) error {
	passed := make(chan struct{})
	d.arrivals.add(&parcel{messages: []message{{passed: passed}}}, nil)
	select {
	case <-passed:
		return nil
	case <-d.quit:
		return errors.New("draining: the connection to NATS is closed")
	case <-ctx.Done():
		return fmt.Errorf("draining: %w", context.Cause(ctx))
	}
}

// stop ends run and waits for it.
func (d *dispatcher) stop() {
	close(d.quit)
	d.running.Wait()
}

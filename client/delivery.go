package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// attemptTime bounds how long is waited for a server, or for its answer: one that has not answered by then is asked again.
const attemptTime = 30 * time.Second

// dispatch sends what is to be sent now. It is called with mu held.
func (p *Producer) dispatch(l *lane) {
	if p.id == 0 {
		p.identify()
		return
	}
	l.crowded = p.crowded > 0
	for b := l.next(); b != nil; b = l.next() {
		attempt := &shipment{count: b.count, req: &codec.PublishRequest{
			Stream: p.stream.name, Partition: &l.partition, Records: b.records, Ack: p.policy,
			ProducerID: p.id, ProducerEpoch: b.number.epoch, ProducerSequence: b.number.sequence,
		}}
		if b.mayBeRefused() {
			attempt.req.Partitions = uint32(p.partitions)
		}
		attempt.done = func(ack Ack, err error) { p.answered(l, b, attempt, ack, err) }
		b.shipped = attempt
		p.stream.client.numbered.ship(attempt)
	}
	p.growWhenLanded()
}

// answered takes the answer to an attempt, unless nobody waits for that one any more.
func (p *Producer) answered(l *lane, b *parcel, attempt *shipment, ack Ack, err error) {
	p.mu.Lock()
	if b.shipped == attempt {
		b.shipped = nil
		l.answer(b, ack, err)
		p.settle(l.stored())
		if l.unresolved() {
			p.resolve(l)
		}
		p.dispatch(l)
	}
	p.mu.Unlock()
	p.tell()
}

// resolve goes on after attempts that have failed: at once after the first, and the later the more have failed in a row.
// It is called with mu held.
func (p *Producer) resolve(l *lane) {
	p.settle(l.resolve(p.retrying()))
	if len(l.stale) > 0 {
		p.stopForGrowth()
	}
	if len(l.flight) == 0 || l.failures < 2 {
		return
	}
	l.held = true
	delay := min(leastDelay<<min(l.failures-2, 10), mostDelay)
	p.running.Go(func() {
		p.pause(delay)
		p.mu.Lock()
		l.held = false
		if r := p.retrying(); r.never && len(l.flight) > 0 {
			p.settle(l.resolve(r))
		}
		p.dispatch(l)
		p.mu.Unlock()
		p.tell()
	})
}

func (p *Producer) retrying() retrying {
	return retrying{now: time.Now(), forTime: p.cfg.RetryFor, never: p.stopping.Err() != nil || p.stream.client.isClosed()}
}

// pause waits for about the delay, or until nothing is sent again any more.
func (p *Producer) pause(delay time.Duration) {
	timer := time.NewTimer(delay/2 + rand.N(delay/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.stopping.Done():
	case <-p.stream.client.closing:
	}
}

// abandon settles everything as what it is: not sent, or of unknown outcome.
func (p *Producer) abandon() {
	p.mu.Lock()
	p.stop()
	doing := fmt.Sprintf("publish to stream %q", p.stream.name)
	no := publishError(doing, status.FromContextError(p.stopping.Err()).Err(), false)
	for _, l := range p.lanes {
		p.settle(l.abandon(no, func(b *parcel) bool {
			attempt := b.shipped
			b.shipped = nil
			return attempt != nil && p.stream.client.numbered.drop(attempt)
		}))
	}
	p.mu.Unlock()
	p.tell()
}

// settle counts batches out that have become what they will be, and has them told. It is called with mu held.
func (p *Producer) settle(batches []*parcel) {
	for _, b := range batches {
		p.messages -= b.count
		p.bytes -= b.size
		if b.err != nil {
			p.noteFailure(b.err, b.count)
		}
	}
	p.untold = append(p.untold, batches...)
	p.crowded = max(p.crowded-len(batches), 0)
	if len(batches) > 0 && p.room != nil {
		close(p.room)
		p.room = nil
		p.crowded = maxFlight * len(p.lanes)
	}
}

// tell tells those who wait for batches what became of them, in the order in which that happened: what one goroutine tells
// others leave to it.
func (p *Producer) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.telling {
		return
	}
	p.telling = true
	for len(p.untold) > 0 {
		batches := p.untold
		p.untold, p.told = nil, batches[len(batches)-1]
		p.mu.Unlock()
		for _, b := range batches {
			if b.err != nil && p.cfg.OnError != nil {
				b.each(func(m *Message) { p.cfg.OnError(m, b.err) })
			}
		}
		p.mu.Lock()
		for _, b := range batches {
			p.keepSpare(b)
			b.arrived()
		}
	}
	p.telling, p.told = false, nil
	if p.busy && p.messages == 0 {
		p.busy = false
		p.stream.client.end()
	}
}

// identify asks for the producer's id, once, and sends what waits for it. It is called with mu held.
func (p *Producer) identify() {
	if p.identifying || p.stopping.Err() != nil {
		return
	}
	p.identifying = true
	p.running.Go(func() {
		id, err := p.askForID()
		p.mu.Lock()
		p.identifying = false
		p.id = id
		for _, l := range p.lanes {
			if err != nil {
				p.settle(l.refuse(err))
			} else {
				p.dispatch(l)
			}
		}
		p.mu.Unlock()
		p.tell()
	})
}

// askForID asks until there is an answer, as often as a batch is sent.
func (p *Producer) askForID() (uint64, error) {
	s, begun := p.stream, time.Now()
	for failures := 0; ; failures++ {
		ctx, cancel := context.WithTimeout(p.stopping, attemptTime)
		resp, err := trestlev1.NewLogServiceClient(s.client.conn).NewProducer(ctx, &trestlev1.NewProducerRequest{}, grpc.WaitForReady(true))
		cancel()
		if err == nil && resp.GetProducerId() != 0 {
			return resp.GetProducerId(), nil
		}
		if err == nil {
			return 0, newError(reasonInternal, "begin a producer for stream %q: the server gave it no id", s.name)
		}
		err = callError(fmt.Sprintf("begin a producer for stream %q", s.name), err)
		r := p.retrying()
		if r.never || r.now.Sub(begun) >= r.forTime || !passes(err) {
			return 0, err
		}
		p.pause(min(leastDelay<<min(failures, 10), mostDelay))
	}
}

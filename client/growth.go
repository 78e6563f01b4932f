package client

import (
	"context"
	"slices"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
)

// A producer learns that partitions were added when a server refuses a batch that was placed among fewer
// (protocol.md 3.15). What was refused, and what waits behind it, is then placed anew. That messages of one key stay in their
// order, that none is lost and none stored twice rests on four rules:
//
//   - A batch is only sent with the number of partitions while no attempt may have stored it: a refusal is then a no to all
//     of its attempts. One that may be stored is sent again without the number, so that the server judges it by its
//     sequence: it is stored once, in the partition that it was placed in.
//   - Once one batch is refused, nothing leaves that was not on its way, in no lane, until what was has become what it
//     will be. So all that was placed among fewer partitions is stored before anything that is placed among more.
//   - What is sent meanwhile is still placed among as many as the rest, behind it. A key is then in one lane only, and its
//     messages leave that lane in their order.
//   - What stands behind a refused batch in its lane is not stored either, and waits with it. Their sequences are free: the
//     lane goes on with that of the first, or in a new epoch where attempts may still be under way.

// growth is how far a producer has come with partitions that were added.
type growth uint8

const (
	steady  growth = iota // it knows of none
	landing               // a batch was refused: what is on its way is waited for
	asking                // nothing is on its way: a server is asked how many there are
)

// stopForGrowth has nothing more leave. It is called with mu held.
func (p *Producer) stopForGrowth() {
	if p.growth != steady {
		return
	}
	p.growth = landing
	for _, l := range p.lanes {
		l.stopped = true
	}
}

// growWhenLanded goes on once nothing is on its way any more. It is called with mu held.
func (p *Producer) growWhenLanded() {
	onTheWay := func(l *lane) bool { return len(l.flight) > 0 }
	if p.growth != landing || p.stopping.Err() != nil || slices.ContainsFunc(p.lanes, onTheWay) {
		return
	}
	p.growth = asking
	p.running.Go(p.grow)
}

// grow places anew what waits, and lets it leave.
func (p *Producer) grow() {
	partitions, err := p.askPartitions()
	p.mu.Lock()
	if err != nil {
		for _, l := range p.lanes {
			p.settle(l.refuseStale(err))
		}
	} else {
		p.placeAnew(partitions)
	}
	p.growth = steady
	for _, l := range p.lanes {
		l.stopped = false
		p.dispatch(l)
	}
	p.mu.Unlock()
	p.tell()
}

// askPartitions asks how many partitions there are until they are others than the producer knows: another broker than the
// one that has refused a batch may know later.
func (p *Producer) askPartitions() (int, error) {
	s, begun := p.stream, time.Now()
	for failures := 0; ; failures++ {
		ctx, cancel := context.WithTimeout(p.stopping, attemptTime)
		known, err := s.shapeNow(ctx)
		cancel()
		if err == nil && known.partitions != p.partitions { // which nobody else changes
			s.known.Store(&known)
			return known.partitions, nil
		}
		if err == nil {
			err = newError(reasonStalePartitions, "publish to stream %q: a server says that it has other partitions than the %d that another says it has; send again", s.name, known.partitions)
		} else if !passes(err) {
			return 0, err
		}
		if r := p.retrying(); r.never || r.now.Sub(begun) >= r.forTime {
			return 0, err
		}
		p.pause(min(leastDelay<<min(failures, 10), mostDelay))
	}
}

// placeAnew shares out what waits among so many partitions. It is called with mu held.
func (p *Producer) placeAnew(partitions int) {
	p.partitions = partitions
	p.placements++
	for i := len(p.lanes); i < partitions; i++ {
		p.lanes = append(p.lanes, &lane{stream: p.stream.name, partition: int32(i)})
	}
	share := window{messages: p.cfg.MaxInFlight / partitions, bytes: p.cfg.MaxBufferedBytes / partitions}
	var waiting []*parcel
	for _, l := range p.lanes { // also those that are no longer used: they know their numbers, should they be again
		l.window = share
		waiting = append(waiting, l.moveOut()...)
	}
	for _, b := range waiting {
		b.each(func(m *Message) { p.move(b, m) })
		b.records = nil
	}
}

// move puts the next message of a batch on its way once more, behind those of its partition. It is called with mu held.
func (p *Producer) move(from *parcel, m *Message) {
	var r batch.Record
	p.scratch.fill(&r, m)
	size := r.Size()
	to, err := p.stream.partitionFor(p.cfg.Partitioner, m, p.partitions)
	if err == nil {
		from.movedTo(p.lanes[to].put(&r, size, p.takeSpare))
		return
	}
	refused := newParcel(from.partition, nil)
	refused.put(&r, size)
	refused.err = err
	from.movedTo(refused)
	p.settle([]*parcel{refused})
}

// arrived notes that a batch is settled, and so those of which it had the last messages that were not. It is called with the
// producer's mu held.
func (b *parcel) arrived() {
	close(b.settled)
	for _, from := range b.origins {
		if from.unsettled--; from.unsettled == 0 {
			from.arrived()
		}
	}
}

package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/trestlehq/trestle/proto/codec"
	"github.com/trestlehq/trestle/server/internal/host"
)

// jobOverhead is counted for a batch of a stream besides its records, so that very small ones are bounded, too.
const jobOverhead = 512

// job is a batch of a PublishStream.
type job struct {
	id    uint64
	batch *codec.PublishRequest
	cost  int // of the stream's window, given back once it is answered
}

// lane stores the batches of a PublishStream that go to one partition, in their order.
type lane struct {
	stream    string
	partition int32
}

// publishing is a PublishStream. Its goroutines: the handler, which sends answers; one that receives; and one for each lane
// that has something to do. The handler waits for the lanes, logService.receiving for the one that receives, which can only
// end when the handler has.
type publishing struct {
	service *logService
	ctx     context.Context // ends with the call
	reading context.Context // ends when nothing more is taken in
	window  *budget         // bytes
	answers answers
	lanes   sync.WaitGroup
	ended   chan struct{} // closed when nothing more comes in
	why     error         // of ended; nil: the client has sent all

	mu     sync.Mutex
	closed bool           // nothing more is taken in; guarded by mu
	queues map[lane][]job // of the lanes that work; guarded by mu
}

// PublishStream stores the batches that come, those of a partition in their order, and answers each. When the client has
// sent all, or the broker stops, what has come is answered before the call ends. What is not answered is of unknown outcome.
func (s *logService) PublishStream(stream grpc.ServerStream) error {
	if !s.ledger.publishStreams.tryTake(1) {
		return toStatus(&LimitError{What: "publish streams", Limit: s.ledger.publishStreams.total})
	}
	defer s.ledger.publishStreams.giveBack(1)
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	p := &publishing{
		service: s, ctx: ctx, reading: reading, window: newBudget(s.ledger.limits.StreamWindowBytes),
		answers: answers{ready: make(chan struct{}, 1)}, ended: make(chan struct{}), queues: map[lane][]job{},
	}
	s.receiving.Go(func() {
		p.why = p.receive(stream)
		close(p.ended)
	})
	err := p.answer(stream)
	stopReading()
	p.close()
	if err != nil { // nobody hears the answers
		cancel()
	}
	p.lanes.Wait()
	if err != nil {
		return err
	}
	if err := p.sendAnswers(stream); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return p.why
	default:
		return toStatus(context.Cause(s.running))
	}
}

// answer sends answers until nothing more comes in. An error means that they cannot be sent.
func (p *publishing) answer(stream grpc.ServerStream) error {
	for {
		select {
		case <-p.answers.ready:
			if err := p.sendAnswers(stream); err != nil {
				return err
			}
		case <-p.ended:
			return nil
		case <-p.service.running.Done():
			return nil
		}
	}
}

func (p *publishing) sendAnswers(stream grpc.ServerStream) error {
	for _, a := range p.answers.take() {
		if err := stream.SendMsg(a.response()); err != nil {
			return err
		}
		p.window.giveBack(a.cost)
	}
	return nil
}

// receive hands on what the client sends, as much as the window allows. It returns why the call ends; nil: all was sent.
func (p *publishing) receive(stream grpc.ServerStream) error {
	for n := 0; ; n++ {
		req := &codec.PublishStreamRequest{}
		err := stream.RecvMsg(req)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case stream.Context().Err() != nil:
			return toStatus(stream.Context().Err())
		case err != nil:
			return err
		}
		if err := p.check(req, n == 0); err != nil {
			return toStatus(err)
		}
		if err := p.takeIn(req); err != nil {
			return toStatus(err)
		}
	}
}

// check refuses what ends the call: answers could not be told apart.
func (p *publishing) check(req *codec.PublishStreamRequest, first bool) error {
	if req.Unknown != 0 {
		return unknownField("PublishStreamRequest", req.Unknown)
	}
	last := p.answers.lastID
	if p.answers.lastID = req.ID; !first && req.ID != last+1 {
		return &host.InvalidError{Field: "id", Problem: fmt.Sprintf("is %d and the one before it was %d; count on by one", req.ID, last)}
	}
	return nil
}

// takeIn has a batch stored, once there is room for it.
func (p *publishing) takeIn(req *codec.PublishStreamRequest) error {
	if req.Batch == nil || req.Batch.Partition == nil {
		p.answers.add(answer{first: req.ID, last: req.ID, err: &host.InvalidError{
			Field: "batch.partition", Problem: "is missing; a stream needs it, to keep the order",
		}})
		return nil
	}
	j := job{id: req.ID, batch: req.Batch, cost: len(req.Batch.Records) + jobOverhead}
	if err := p.window.take(p.reading, j.cost); err != nil {
		return err
	}
	if err := p.service.ledger.inFlight.take(p.reading, j.cost); err != nil {
		p.window.giveBack(j.cost)
		return err
	}
	to := lane{stream: j.batch.Stream, partition: *j.batch.Partition}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.service.ledger.inFlight.giveBack(j.cost)
		return errStopping
	}
	queue, works := p.queues[to]
	p.queues[to] = append(queue, j)
	if !works {
		p.lanes.Go(func() { p.work(to) })
	}
	return nil
}

// close sees that nothing more is taken in.
func (p *publishing) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// work stores the batches of a lane until there are none.
func (p *publishing) work(on lane) {
	for {
		p.mu.Lock()
		queue := p.queues[on]
		if len(queue) == 0 {
			delete(p.queues, on)
			p.mu.Unlock()
			return
		}
		j := queue[0]
		queue[0] = job{}
		p.queues[on] = queue[1:]
		p.mu.Unlock()
		a := answer{first: j.id, last: j.id, cost: j.cost}
		a.ack, a.err = p.service.publish(p.ctx, j.batch)
		p.service.ledger.inFlight.giveBack(j.cost)
		p.answers.add(a)
	}
}

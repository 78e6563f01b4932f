package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/trestlehq/trestle/proto/codec"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// jobOverhead is counted for a batch of a stream besides its records, so that very small ones are bounded, too.
const jobOverhead = 512

// publishing is a PublishStream. Its goroutines: the handler, which sends answers, and one that receives and hands batches to
// the partitions, in their order, without waiting for what becomes of them, unless the client does: then it sees the batch
// through and answers it by itself. The handler waits for the batches, logService.receiving for the one that receives, which
// can only end when the handler has.
type publishing struct {
	service *logService
	reading context.Context // ends when nothing more is taken in
	window  *budget         // bytes
	flight  *flight
	sending sync.Mutex    // held by who sends answers
	over    bool          // the handler has left: nothing can be sent; guarded by sending
	ended   chan struct{} // closed when nothing more comes in
	why     error         // of ended; nil: the client has sent all
	lastID  uint64        // of what was received; used by who receives
}

// PublishStream stores the batches that come, those of a partition in their order, and answers each. When the client has
// sent all, or the broker stops, what has come is answered before the call ends. What is not answered is of unknown outcome.
func (s *logService) PublishStream(stream grpc.ServerStream) error {
	if !s.ledger.publishStreams.tryTake(1) {
		return toStatus(&LimitError{What: "publish streams", Limit: s.ledger.publishStreams.total})
	}
	defer s.ledger.publishStreams.giveBack(1)
	ctx := stream.Context()
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	p := &publishing{
		service: s, reading: reading, window: newBudget(s.ledger.limits.StreamWindowBytes),
		flight: newFlight(s.ledger.inFlight), ended: make(chan struct{}),
	}
	s.receiving.Go(func() {
		p.why = p.receive(stream)
		close(p.ended)
	})
	defer p.leave()
	err := p.answer(stream)
	stopReading()
	p.flight.close()
	if err != nil { // nobody hears the answers
		return err
	}
	select {
	case <-p.flight.landed:
	case <-ctx.Done(): // nobody hears the answers
		return toStatus(ctx.Err())
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

// leave sees that nothing is sent any more.
func (p *publishing) leave() {
	p.sending.Lock()
	defer p.sending.Unlock()
	p.over = true
}

// answer sends answers until nothing more comes in. An error means that they cannot be sent.
func (p *publishing) answer(stream grpc.ServerStream) error {
	for {
		select {
		case <-p.flight.ready:
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
	p.sending.Lock()
	defer p.sending.Unlock()
	if p.over {
		return errStopping
	}
	answers := p.flight.take()
	for i := range answers {
		if err := stream.SendMsg(p.service.response(&answers[i])); err != nil {
			return err
		}
		p.window.giveBack(answers[i].cost)
	}
	return nil
}

// receive hands on what the client sends, as much as the window allows. It returns why the call ends; nil: all was sent.
func (p *publishing) receive(stream grpc.ServerStream) error {
	for n := 0; ; n++ {
		req := &codec.PublishStreamRequest{}
		asked := time.Now()
		err := stream.RecvMsg(req)
		alone := p.service.waitedFor > 0 && time.Since(asked) >= p.service.waitedFor && p.flight.empty()
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
		if alone {
			err = p.seeThrough(stream, req)
		} else {
			err = p.takeIn(req, (*partition.Partition).StartFor)
		}
		if err != nil {
			return toStatus(err)
		}
	}
}

// seeThrough takes in a batch that has come alone, and answers it, if it is answered without a sync: whoever publishes one
// batch at a time is then held up by no change of goroutines. When the client has more to send after all, the next batch is
// there when it is asked for, and is not seen through. From a client that does not read its answers no more is taken in while
// one is being sent.
func (p *publishing) seeThrough(stream grpc.ServerStream, req *codec.PublishStreamRequest) error {
	p.flight.attend(true)
	err := p.takeIn(req, (*partition.Partition).FinishFor)
	if p.flight.attend(false); err != nil {
		return err
	}
	return p.sendAnswers(stream)
}

// handingOn hands a batch to a partition.
type handingOn func(to *partition.Partition, b partition.Batch, listener partition.Listener, tag uint64) error

// check refuses what ends the call: answers could not be told apart.
func (p *publishing) check(req *codec.PublishStreamRequest, first bool) error {
	if req.Unknown != 0 {
		return unknownField("PublishStreamRequest", req.Unknown)
	}
	last := p.lastID
	if p.lastID = req.ID; !first && req.ID != last+1 {
		return &host.InvalidError{Field: "id", Problem: fmt.Sprintf("is %d and the one before it was %d; count on by one", req.ID, last)}
	}
	return nil
}

// takeIn hands a batch to its partition, once there is room for it.
func (p *publishing) takeIn(req *codec.PublishStreamRequest, handOn handingOn) error {
	refused := answer{first: req.ID, last: req.ID}
	if req.Batch == nil {
		refused.err = &host.InvalidError{Field: "batch", Problem: "is missing; send one with each id"}
		p.flight.refuse(refused)
		return nil
	}
	refused.cost = len(req.Batch.Records) + jobOverhead
	if err := p.window.take(p.reading, refused.cost); err != nil {
		return err
	}
	to, b, err := p.service.prepare(req.Batch)
	if err != nil {
		refused.to, refused.err = to, err
		p.flight.refuse(refused)
		return nil
	}
	if err := p.service.ledger.inFlight.take(p.reading, refused.cost); err != nil {
		return err
	}
	if !p.flight.takeOff(req.ID, job{to: to, cost: refused.cost}) {
		p.service.ledger.inFlight.giveBack(refused.cost)
		return errStopping
	}
	if err := handOn(to.at, b, p.flight, req.ID); err != nil {
		p.flight.Settled(req.ID, partition.Ack{}, err)
		p.flight.SettledGroup()
	}
	return nil
}

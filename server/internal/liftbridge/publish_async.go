package liftbridge

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// jobBytes is counted for a message besides its own bytes, so that very small ones are bounded, too.
const jobBytes = 512

// lane is what the messages of a PublishAsync that go to one partition have in common: they are stored in their order.
type lane struct {
	stream    string
	partition int32
}

// job is a message of a PublishAsync. Its cost is given back once it is answered.
type job struct {
	req  *liftbridgepb.PublishRequest
	cost int
}

// publishing is a PublishAsync. Its goroutines: the handler, which sends answers; one that receives; and one for each lane
// that has something to do. The handler waits for the lanes, Service.tasks for the one that receives, which can only end when
// the handler has.
type publishing struct {
	service *Service
	ctx     context.Context // ends with the call
	reading context.Context // ends when nothing more is taken in
	window  *room           // bytes that are not answered
	lanes   sync.WaitGroup
	ended   chan struct{} // closed when nothing more comes in
	why     error         // of ended; nil: the client has sent all
	ready   chan struct{} // holds a token while there are answers

	mu      sync.Mutex
	closed  bool           // nothing more is taken in; guarded by mu
	queues  map[lane][]job // of the lanes that work; guarded by mu
	answers []answer       // guarded by mu
}

// answer to one message; without a response, nothing is sent.
type answer struct {
	response *liftbridgepb.PublishResponse
	cost     int
}

// PublishAsync stores the messages that come, those of a partition in their order and as many at once as wait, and answers
// each. Clients hold one for as long as they are connected: errors are answers, and only the client or the end of the broker
// ends it. When the client has sent all, what has come is answered first.
func (s *Service) PublishAsync(stream grpc.BidiStreamingServer[liftbridgepb.PublishRequest, liftbridgepb.PublishResponse]) error {
	if err := s.admitPublishing(); err != nil {
		return err
	}
	defer s.releasePublishing()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	p := &publishing{
		service: s, ctx: ctx, reading: reading, window: newRoom(s.config.Limits.WindowBytes),
		ended: make(chan struct{}), ready: make(chan struct{}, 1), queues: map[lane][]job{},
	}
	s.tasks.Go(func() {
		p.why = p.receive(stream)
		close(p.ended)
	})
	err := p.answerAll(stream)
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
	if s.running.Err() != nil {
		return toRefusal(errStopping)
	}
	<-p.ended
	return p.why
}

// admitPublishing counts a PublishAsync.
func (s *Service) admitPublishing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running.Err() != nil {
		return toRefusal(errStopping)
	}
	if s.publishStreams >= s.config.Limits.PublishStreams {
		return unavailable("the broker has %d publish streams, as many as it takes on; end some, or ask another broker", s.publishStreams)
	}
	s.publishStreams++
	return nil
}

func (s *Service) releasePublishing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publishStreams--
}

// answerAll sends answers until nothing more comes in. An error means that they cannot be sent.
func (p *publishing) answerAll(stream grpc.BidiStreamingServer[liftbridgepb.PublishRequest, liftbridgepb.PublishResponse]) error {
	for {
		select {
		case <-p.ready:
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

func (p *publishing) sendAnswers(stream grpc.BidiStreamingServer[liftbridgepb.PublishRequest, liftbridgepb.PublishResponse]) error {
	p.mu.Lock()
	list := p.answers
	p.answers = nil
	p.mu.Unlock()
	for _, a := range list {
		if a.response != nil {
			if err := stream.Send(a.response); err != nil {
				return err
			}
		}
		p.window.leave(a.cost)
	}
	return nil
}

// receive hands on what the client sends, as much as the window allows. It returns why the call ends; nil: all was sent.
func (p *publishing) receive(stream grpc.BidiStreamingServer[liftbridgepb.PublishRequest, liftbridgepb.PublishResponse]) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.takeIn(req); err != nil {
			return toRefusal(err)
		}
	}
}

// takeIn has a message stored, once there is room for it.
func (p *publishing) takeIn(req *liftbridgepb.PublishRequest) error {
	j := job{req: req, cost: jobBytes + len(req.GetKey()) + len(req.GetValue()) + headerBytes(req)}
	if err := p.window.enter(p.reading, j.cost); err != nil {
		return err
	}
	if err := p.service.inFlight.enter(p.reading, j.cost); err != nil {
		p.window.leave(j.cost)
		return err
	}
	to := lane{stream: req.GetStream(), partition: req.GetPartition()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.service.inFlight.leave(j.cost)
		return errStopping
	}
	queue, works := p.queues[to]
	p.queues[to] = append(queue, j)
	if !works {
		p.lanes.Go(func() { p.work(to) })
	}
	return nil
}

func headerBytes(req *liftbridgepb.PublishRequest) (n int) {
	for name, value := range req.GetHeaders() {
		n += len(name) + len(value)
	}
	return n
}

// close sees that nothing more is taken in.
func (p *publishing) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// work stores the messages of a lane until there are none.
func (p *publishing) work(on lane) {
	for {
		p.mu.Lock()
		jobs := p.queues[on]
		if len(jobs) == 0 {
			delete(p.queues, on)
			p.mu.Unlock()
			return
		}
		p.queues[on] = nil
		p.mu.Unlock()
		p.store(on, jobs)
	}
}

// store stores messages in as few batches as they fit. What is found out about one of them answers that one alone.
func (p *publishing) store(on lane, jobs []job) {
	t, err := p.service.target(p.ctx, on.stream, on.partition)
	if err != nil {
		for _, j := range jobs {
			p.answer(j, nil, err)
		}
		return
	}
	var run []job
	var requests []*request
	size := 0
	flush := func() {
		if len(run) > 0 {
			p.storeRun(t, run, requests)
		}
		run, requests, size = nil, nil, 0
	}
	for _, j := range jobs {
		r, err := t.request(j.req)
		if err != nil {
			p.answer(j, nil, err)
			continue
		}
		if alone := t.alone(r); alone || size+len(r.record) > maxRunBytes {
			flush()
		}
		run, requests, size = append(run, j), append(requests, r), size+len(r.record)
		if t.alone(r) {
			flush()
		}
	}
	flush()
}

// maxRunBytes is how large the records of a batch of several are at most, the header of the batch left out.
const maxRunBytes = partition.MaxBatchBytes - 4096

// alone says whether a message is stored in a batch of its own: where the batch could be refused for it.
func (t *target) alone(r *request) bool {
	return t.expectsOffsets() || int64(r.summary.LargestRecord) > t.stream.Config.GetMaxMessageBytes() || len(r.record) > maxRunBytes
}

func (p *publishing) storeRun(t *target, run []job, requests []*request) {
	acks, err := p.service.publish(p.ctx, t, requests)
	for i, j := range run {
		if err != nil {
			p.answer(j, nil, err)
			continue
		}
		p.service.tellInbox(acks[i])
		p.answer(j, acks[i], nil)
	}
}

// answer puts the answer to a message where the handler finds it. One that asked for no ack hears of errors alone.
func (p *publishing) answer(j job, ack *liftbridgepb.Ack, err error) {
	p.service.inFlight.leave(j.cost)
	a := answer{cost: j.cost}
	switch {
	case err != nil:
		r := toRefusal(err)
		a.response = &liftbridgepb.PublishResponse{
			AsyncError: &liftbridgepb.PublishAsyncError{Code: r.async, Message: r.text}, CorrelationId: j.req.GetCorrelationId(),
			Ack: &liftbridgepb.Ack{}, // clients look into it
		}
	case j.req.GetAckPolicy() != liftbridgepb.AckPolicy_NONE:
		a.response = &liftbridgepb.PublishResponse{Ack: ack, CorrelationId: j.req.GetCorrelationId()}
	}
	p.mu.Lock()
	p.answers = append(p.answers, a)
	p.mu.Unlock()
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

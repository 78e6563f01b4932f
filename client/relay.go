package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// relay sends batches over a PublishStream that stands from the first batch on until the client closes: many at a time, in
// their order, and those whose answers the server has merged are told apart again. When the stream breaks, the next batch
// begins another one. Its goroutines belong to the client, which waits for them when it closes.
type relay struct {
	client *Client
	// numbered says that batches have numbers, and are shipped again by who ships them: a stream is waited for while no
	// server is there, up to attemptTime, one on which nothing is answered for as long is broken off, and a batch that was
	// not sent when the stream broke is answered so, lest it comes before one that was.
	numbered bool
	wake     chan struct{} // holds a token when something was queued

	mu       sync.Mutex
	works    bool              // the goroutine that sends exists; guarded by mu, as is what follows
	stream   grpc.ClientStream // that stands; nil: none
	inHand   *shipment         // that somebody sends: one at a time does; nil: nobody
	queue    []*shipment       // not sent yet
	flight   map[uint64]*shipment
	lastID   uint64
	answered bool // the stream has brought an answer
}

// shipment is a batch that is given to a relay.
type shipment struct {
	req   *codec.PublishRequest
	count int              // of its records
	done  func(Ack, error) // called once, from a goroutine of the relay; must not block
	id    uint64           // on the stream; 0: not sent; guarded by relay.mu
}

func newRelay(c *Client, numbered bool) *relay {
	return &relay{client: c, numbered: numbered, wake: make(chan struct{}, 1), flight: map[uint64]*shipment{}}
}

// ship puts a batch behind those that were shipped before.
func (r *relay) ship(s *shipment) {
	r.mu.Lock()
	if r.stream != nil && !r.numbered && r.inHand == nil && len(r.queue) == 0 && len(r.flight) == 0 {
		r.shipHere(s)
		return
	}
	r.queue = append(r.queue, s)
	r.driveLocked()
	r.mu.Unlock()
}

// driveLocked sees that a goroutine sends what is queued.
func (r *relay) driveLocked() {
	if !r.works {
		r.works = true
		r.client.relays.Go(r.work)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// shipHere sends a batch at once, which saves whoever publishes one at a time a change of goroutines. With nothing on its
// way there is room on the stream, and sending does not wait. It is called with mu held, and lets go of it.
func (r *relay) shipHere(s *shipment) {
	r.queue = append(r.queue, s)
	s, stream := r.departLocked(), r.stream
	r.mu.Unlock()
	taken := r.hand(stream, s)
	r.mu.Lock()
	r.inHand = nil
	lost := taken && r.stream != stream && r.flight[s.id] == s // the stream ended meanwhile, and this one was left to its sender
	if lost {
		delete(r.flight, s.id)
	}
	if len(r.queue) > 0 {
		r.driveLocked()
	}
	r.mu.Unlock()
	if lost {
		s.done(Ack{}, publishError(doing(s), status.Error(codes.Unavailable, "the stream ended"), true))
	}
}

// drop sees that a batch is not sent, if it is not yet: then its done is not called. It returns whether it was sent.
func (r *relay) drop(s *shipment) (sent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.queue, s); i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
		return false
	}
	return true
}

// work sends what is queued over one stream after the other, until one has ended and nothing is queued.
func (r *relay) work() {
	for r.more() {
		stream, cancel, err := r.open()
		if err != nil {
			r.refuse(err)
			continue
		}
		r.carry(stream, cancel)
	}
}

func (r *relay) more() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.works = len(r.queue) > 0
	return r.works
}

// open begins a stream. Without a server that is an error: at once, or when that was waited for.
func (r *relay) open() (grpc.ClientStream, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(r.client.standing)
	late := time.AfterFunc(attemptTime, cancel)
	desc := grpc.StreamDesc{StreamName: "PublishStream", ClientStreams: true, ServerStreams: true}
	wait := grpc.WaitForReady(r.numbered && !r.client.isClosed())
	stream, err := r.client.conn.NewStream(ctx, &desc, trestlev1.LogService_PublishStream_FullMethodName, wait)
	if inTime := late.Stop(); err != nil && !inTime {
		err = status.Error(codes.Unavailable, fmt.Sprintf("no server was there for %v", attemptTime))
	}
	if err != nil { // a stream that came too late is canceled, and says so when it is used
		cancel()
		return nil, nil, err
	}
	r.mu.Lock()
	r.stream, r.answered, r.lastID = stream, false, 0
	r.mu.Unlock()
	return stream, cancel, nil
}

// carry sends until the stream ends.
func (r *relay) carry(stream grpc.ClientStream, cancel context.CancelFunc) {
	ended := make(chan struct{})
	var why error
	go func() {
		defer close(ended)
		why = r.receive(stream)
		cancel()
	}()
	var watching sync.WaitGroup
	if r.numbered {
		watching.Go(func() { r.watch(ended, cancel) })
	}
	for open := r.send(stream); open; {
		select {
		case <-r.wake:
			open = r.send(stream)
		case <-ended:
			open = false
		}
	}
	cancel()
	<-ended
	watching.Wait()
	r.lose(why)
}

// watch breaks a stream off on which nothing is answered for attemptTime, also where sending waits because the server
// takes nothing more.
func (r *relay) watch(ended <-chan struct{}, cancel context.CancelFunc) {
	patience := time.NewTicker(attemptTime)
	defer patience.Stop()
	for oldest := uint64(0); ; {
		select {
		case <-patience.C:
			before := oldest
			if oldest = r.oldest(); oldest != 0 && oldest == before {
				cancel()
				return
			}
		case <-ended:
			return
		}
	}
}

// send sends what is queued. It is false when the stream takes nothing more.
func (r *relay) send(stream grpc.ClientStream) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inHand != nil {
		return true // whoever sends sees that this goes on
	}
	for len(r.queue) > 0 {
		s := r.departLocked()
		r.mu.Unlock()
		taken := r.hand(stream, s)
		r.mu.Lock()
		if r.inHand = nil; !taken {
			return false
		}
	}
	return true
}

// hand gives a batch that has departed to the stream. It is false when that takes nothing more.
func (r *relay) hand(stream grpc.ClientStream, s *shipment) bool {
	if s.req.RecordsCRC == nil {
		s.req.RecordsCRC = new(batch.Checksum(s.req.Records))
	}
	err := stream.SendMsg(&codec.PublishStreamRequest{ID: s.id, Batch: s.req})
	if err == nil {
		return true
	}
	ended := errors.Is(err, io.EOF) // before: nothing has left
	if arrested := r.arrest(s, ended); arrested && !ended {
		s.done(Ack{}, publishError(doing(s), err, false))
	}
	return false
}

// departLocked gives the next batch its id. The caller sends it.
func (r *relay) departLocked() *shipment {
	s := r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	r.lastID++
	s.id = r.lastID
	r.flight[s.id], r.inHand = s, s
	return s
}

// arrest takes back a batch that could not be sent, to the head of the queue or for good. It is false if the batch is not on
// its way any more.
func (r *relay) arrest(s *shipment, again bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight[s.id] != s {
		return false
	}
	delete(r.flight, s.id)
	s.id = 0
	if again {
		r.queue = slices.Insert(r.queue, 0, s)
	}
	return true
}

// refuse answers all that is queued: no stream can be had.
func (r *relay) refuse(err error) {
	r.mu.Lock()
	queue := r.queue
	r.queue = nil
	r.mu.Unlock()
	for _, s := range queue {
		s.done(Ack{}, publishError(doing(s), err, false))
	}
}

// oldest is the id of the batch that has waited longest for its answer; 0: none does.
func (r *relay) oldest() (oldest uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.flight {
		if oldest == 0 || id < oldest {
			oldest = id
		}
	}
	return oldest
}

// lose answers all that is on its way over a stream that has ended, but for what somebody is still about to send: only he
// knows whether it has left.
func (r *relay) lose(why error) {
	r.mu.Lock()
	r.stream = nil
	left := r.inHand
	if left != nil {
		delete(r.flight, left.id)
	}
	lost := slices.SortedFunc(maps.Values(r.flight), func(a, b *shipment) int { return cmp.Compare(a.id, b.id) })
	clear(r.flight)
	if left != nil {
		r.flight[left.id] = left
	}
	var unsent []*shipment
	if r.numbered {
		unsent, r.queue = r.queue, nil
	}
	answered := r.answered
	r.mu.Unlock()
	gone := status.Error(codes.Unavailable, status.Convert(why).Message())
	if isTooLarge(why) && len(lost) > 0 {
		// The server read up to the first batch above its limit: whichever that was, it has not read the largest.
		refused := largest(lost)
		unsent = append(lost[refused+1:], unsent...)
		s := lost[refused]
		s.done(Ack{}, publishError(doing(s), why, true))
		lost, why = lost[:refused], gone
	}
	if answered && answerIn(status.Convert(why)) == nil { // then it was a call, and not one that was refused
		why = gone
	}
	for _, s := range lost {
		s.done(Ack{}, publishError(doing(s), why, true))
	}
	for _, s := range unsent {
		s.done(Ack{}, publishError(doing(s), gone, false))
	}
}

// isTooLarge is true of what gRPC says of a message above its limit.
func isTooLarge(err error) bool {
	st := status.Convert(err)
	return st.Code() == codes.ResourceExhausted && answerIn(st) == nil && strings.Contains(st.Message(), "larger than max")
}

// largest is the index of the largest batch.
func largest(of []*shipment) (index int) {
	for i, s := range of {
		if len(s.req.Records) > len(of[index].req.Records) {
			index = i
		}
	}
	return index
}

func doing(s *shipment) string { return fmt.Sprintf("publish to stream %q", s.req.Stream) }

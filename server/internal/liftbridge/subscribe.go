package liftbridge

import (
	"context"
	"errors"
	"io"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Why a subscription ends.
var (
	errDeleted     = notFound("stream was deleted")
	errPaused      = precondition("partition was paused")
	errMoved       = unavailable("the partition is led anew; subscribe again")
	errReplaced    = errors.New("another member of the group reads the partition now")
	errFenced      = precondition("Consumer is not currently assigned this partition")
	errStop        = &refusal{codes.ResourceExhausted, asyncInternal, "Stop offset reached"}
	errEnd         = &refusal{codes.ResourceExhausted, asyncInternal, "End of readonly partition"}
	errTooMany     = unavailable("the broker has as many subscriptions as it takes on; end some, or ask another broker")
	errNoPartition = notFound("No such partition")
)

// membership is what one member of a group can have at a time.
type membership struct {
	partition uuid.UUID
	group     string
}

// subscription is a Subscribe that is under way.
type subscription struct {
	ctx       context.Context         // ends with the call, and for the reasons above
	end       context.CancelCauseFunc // ends ctx
	partition metadata.Partition      // as it was at the beginning
	member    membership
	epoch     uint64 // of the member
	reader    *partition.Reader
	span      *span
	messages  messages
}

// Subscribe sends messages from the start to the stop position, after an empty one that says that it does.
func (s *Service) Subscribe(req *liftbridgepb.SubscribeRequest, stream grpc.ServerStreamingServer[liftbridgepb.Message]) error {
	if err := checkSubscribe(req); err != nil {
		return err
	}
	if req.GetResume() {
		if err := s.resume(stream.Context(), req.GetStream(), req.GetPartition()); err != nil {
			return noSuchPartition(err)
		}
	}
	sub, err := s.begin(stream.Context(), req)
	if err != nil {
		return noSuchPartition(err)
	}
	defer s.over(sub)
	if req.GetResume() {
		s.wake(sub.partition.ID)
	}
	if err := stream.Send(&liftbridgepb.Message{}); err != nil {
		return err
	}
	return s.whyEnded(sub, sub.run(stream.Send))
}

// noSuchPartition is toRefusal with the words that Subscribe has for what is not there.
func noSuchPartition(err error) error {
	r := toRefusal(err)
	if r.code == codes.NotFound {
		return errNoPartition
	}
	return r
}

func checkSubscribe(req *liftbridgepb.SubscribeRequest) error {
	switch c := req.GetConsumer(); {
	case c.GetGroupId() == "":
		return nil
	case c.GetConsumerId() == "":
		return invalid("Consumer id cannot be empty when group id is provided")
	case req.GetReadISRReplica():
		return invalid("Consumer groups not compatible with ReadISRReplica")
	}
	return nil
}

// begin opens a subscription, which over closes.
func (s *Service) begin(ctx context.Context, req *liftbridgepb.SubscribeRequest) (*subscription, error) {
	state := s.config.Metadata.State()
	stream, ok := state.Stream(req.GetStream())
	p, found := state.PartitionOf(stream, req.GetPartition())
	if !ok || !found {
		return nil, errNoPartition
	}
	here, err := s.config.Streams.PartitionOf(req.GetStream(), req.GetPartition())
	if err != nil {
		return nil, err
	}
	sub := &subscription{partition: p, epoch: req.GetConsumer().GetGroupEpoch(), messages: messages{
		stream: req.GetStream(), partition: req.GetPartition(), subject: subjectOf(stream, req.GetPartition()),
	}}
	if group := req.GetConsumer().GetGroupId(); group != "" {
		sub.member = membership{partition: p.ID, group: group}
	}
	if sub.span, sub.reader, err = open(here, req); err != nil {
		return nil, err
	}
	sub.ctx, sub.end = context.WithCancelCause(ctx)
	if err := s.enrol(sub); err != nil {
		sub.end(nil)
		return nil, err
	}
	sub.look(s.config.Metadata.State()) // what changed meanwhile was told to nobody
	return sub, nil
}

// open begins to read. The log start may move in between: then it is asked for again.
func open(p *partition.Partition, req *liftbridgepb.SubscribeRequest) (*span, *partition.Reader, error) {
	for {
		now := p.State()
		span, err := toSpan(req, ends{logStart: now.LogStart, highWatermark: now.HighWatermark})
		if err != nil {
			return nil, nil, err
		}
		reader, err := p.Read(span.options)
		var outside *commitlog.RangeError
		if errors.As(err, &outside) && outside.Offset < p.State().LogStart && now.LogStart < p.State().LogStart {
			continue
		}
		return span, reader, err
	}
}

// enrol enters a subscription in the books. A member of a group takes the place of the one before, unless that one was
// assigned the partition later.
func (s *Service) enrol(sub *subscription) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running.Err() != nil {
		return errStopping
	}
	if len(s.subscriptions) >= s.config.Limits.Subscriptions {
		return errTooMany
	}
	if sub.member.group != "" {
		if before := s.members[sub.member]; before != nil {
			if before.epoch > sub.epoch {
				return errFenced
			}
			before.end(errReplaced)
		}
		s.members[sub.member] = sub
	}
	s.subscriptions[sub] = struct{}{}
	return nil
}

// over takes a subscription out of the books.
func (s *Service) over(sub *subscription) {
	sub.end(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscriptions, sub)
	if s.members[sub.member] == sub {
		delete(s.members, sub.member)
	}
}

// run sends messages until there are no more to send. Without an error nothing was wrong.
func (sub *subscription) run(send func(*liftbridgepb.Message) error) error {
	for {
		chunk, err := sub.reader.Next(sub.ctx)
		if err == nil {
			err = sub.messages.each(chunk.Batches, sub.span.options.Backwards, send)
		}
		if err != nil {
			return err
		}
		if cause := context.Cause(sub.ctx); errors.Is(cause, errReplaced) || errors.Is(cause, errStopping) {
			return cause // at once; others end when what was stored is delivered
		}
	}
}

// whyEnded is what a client is told of the end of its subscription.
func (s *Service) whyEnded(sub *subscription, err error) error {
	cause := context.Cause(sub.ctx)
	switch {
	case errors.Is(err, io.EOF):
		return atEnd(sub)
	case errors.Is(cause, errReplaced):
		return nil // the end of the stream, without an error
	case errors.Is(cause, context.Canceled) && sub.ctx.Err() != nil:
		return nil // the client has gone
	case cause != nil:
		return toRefusal(cause)
	case errors.Is(err, partition.ErrClosed), errors.Is(err, commitlog.ErrClosed):
		state := s.config.Metadata.State()
		if s.running.Err() == nil {
			if _, ok := state.Partition(sub.partition.ID); !ok {
				return errDeleted
			}
		}
		return errMoved
	}
	return toRefusal(err)
}

// atEnd says at which end a subscription came.
func atEnd(sub *subscription) error {
	switch {
	case sub.span.stops:
		return errStop
	case sub.span.options.Backwards:
		return nil // at the oldest message
	default:
		return errEnd
	}
}

// look ends the subscription if it cannot go on as the state is.
func (sub *subscription) look(state *metadata.State) {
	p, ok := state.Partition(sub.partition.ID)
	switch {
	case !ok:
		sub.end(errDeleted)
	case p.Mode == trestlev1.Mode_MODE_PAUSED:
		sub.end(errPaused)
	case p.LeaderEpoch != sub.partition.LeaderEpoch:
		sub.end(errMoved)
	}
}

// watch has subscriptions look at each state of the metadata, and ends all of them with End.
func (s *Service) watch() {
	for {
		changed, state := s.config.Metadata.Changed(), s.config.Metadata.State()
		s.eachSubscription(func(sub *subscription) { sub.look(state) })
		s.forgetIdle(state)
		select {
		case <-changed:
		case <-s.running.Done():
			s.eachSubscription(func(sub *subscription) { sub.end(errStopping) })
			return
		}
	}
}

func (s *Service) eachSubscription(do func(*subscription)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subscriptions {
		do(sub)
	}
}

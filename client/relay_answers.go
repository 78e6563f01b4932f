package client

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// receive tells those who wait what the server answers, until the stream ends. It returns why.
func (r *relay) receive(stream grpc.ClientStream) error {
	for {
		var res trestlev1.PublishStreamResponse
		err := stream.RecvMsg(&res)
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Unavailable, "the server has ended the stream")
		}
		if err != nil {
			return err
		}
		all, ok := r.arrived(&res)
		if !ok {
			return status.Errorf(codes.Unavailable, "the server answered the batches %d to %d, which are not those that it was sent", res.GetFirstId(), res.GetLastId())
		}
		r.tell(&res, all)
	}
}

// arrived are the batches that an answer is for; false: it is for others than those on their way.
func (r *relay) arrived(res *trestlev1.PublishStreamResponse) ([]*shipment, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, last := res.GetFirstId(), res.GetLastId()
	if first == 0 || first > last || last > r.lastID {
		return nil, false
	}
	all := make([]*shipment, 0, min(last-first+1, uint64(len(r.flight))))
	for id := first; id <= last; id++ {
		s := r.flight[id]
		if s == nil {
			return nil, false
		}
		all = append(all, s)
	}
	for _, s := range all {
		delete(r.flight, s.id)
	}
	r.answered = true
	return all, true
}

// tell tells each of the batches its part of the answer.
func (r *relay) tell(res *trestlev1.PublishStreamResponse, all []*shipment) {
	if refusal := res.GetError(); refusal != nil {
		for _, s := range all {
			s.done(Ack{}, refusalError(doing(s), refusal))
		}
		return
	}
	var before int64
	for _, s := range all {
		switch {
		case res.GetAck() != nil:
			ack := ackFromProto(s.req.Stream, res.GetAck())
			if len(all) > 1 { // of new records only, one batch behind the other
				ack.Offset += before
				ack.Count = s.count
				before += int64(s.count)
			}
			s.done(ack, nil)
		case s.req.Ack == trestlev1.AckPolicy_ACK_POLICY_NONE:
			s.done(Ack{Stream: s.req.Stream, Partition: -1, Offset: -1}, nil)
		default:
			s.done(Ack{}, newError(reasonOutcomeUnknown,
				"%s: the server answered a batch without an ack; read the stream to see what is stored", doing(s)))
		}
	}
}

// refusalError is what a server says of one batch of a stream.
func refusalError(doing string, e *trestlev1.Error) error {
	kind, known := kindOfReason[e.GetReason()]
	if !known {
		kind = ErrInternal
	}
	failure := &Error{Reason: e.GetReason(), Message: e.GetMessage(), Names: e.GetNames(), kind: kind}
	if e.GetNames() == nil {
		failure.Names = map[string]string{}
	}
	switch {
	case errors.Is(failure, ErrOutcomeUnknown):
		return failure
	case errors.Is(failure, context.Canceled):
		return outcomeUnknown(failure).because(context.Canceled)
	case errors.Is(failure, context.DeadlineExceeded):
		return outcomeUnknown(failure).because(context.DeadlineExceeded)
	case e.GetOutcomeUnknown(), known && errors.Is(kind, ErrInternal):
		return outcomeUnknown(failure).because(errors.New(doing + ": " + e.GetMessage()))
	}
	return failure
}

package client

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/proto/codec"
)

// stuckStream takes so many messages and answers none: sending another waits for as long as the stream stands.
type stuckStream struct {
	grpc.ClientStream

	ctx   context.Context
	takes int
}

func (s *stuckStream) SendMsg(any) error {
	if s.takes > 0 {
		s.takes--
		return nil
	}
	<-s.ctx.Done()
	return io.EOF
}

func (s *stuckStream) RecvMsg(any) error {
	<-s.ctx.Done()
	return status.FromContextError(s.ctx.Err()).Err()
}

// TestRelayGivesUpAServerThatTakesNothingMore: a stream on which nothing is answered is broken off, also while the server
// takes nothing more, so that what is numbered can be shipped again.
func TestRelayGivesUpAServerThatTakesNothingMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := newRelay(nil, true)
		answers := map[int]error{}
		for i := range 3 {
			r.queue = append(r.queue, &shipment{
				req: &codec.PublishRequest{Stream: "orders"}, count: 1,
				done: func(_ Ack, err error) { answers[i] = err },
			})
		}
		begun := time.Now()
		carried := make(chan struct{})
		go func() {
			defer close(carried)
			r.carry(&stuckStream{ctx: ctx, takes: 1}, cancel)
		}()
		select {
		case <-carried:
		case <-time.After(time.Hour):
			t.Fatal("the stream is waited for without end")
		}
		if took := time.Since(begun); took < attemptTime || took > 2*attemptTime {
			t.Errorf("it was broken off after %v, want one to two times %v", took, attemptTime)
		}
		if !errors.Is(answers[0], ErrOutcomeUnknown) {
			t.Errorf("got %v for the batch that was sent, want ErrOutcomeUnknown", answers[0])
		}
		for i := 1; i < 3; i++ {
			if !errors.Is(answers[i], ErrUnavailable) || errors.Is(answers[i], ErrOutcomeUnknown) {
				t.Errorf("got %v for batch %d, which was not sent, want ErrUnavailable", answers[i], i)
			}
		}
	})
}

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Sizes of responses to ask for. A server keeps to it, or says that one batch is larger.
const (
	subscriptionBytes    = 4 << 20   // that the responses held by all readers of a subscription should not exceed
	mostResponseBytes    = 1 << 20   // while no batch is larger
	leastResponseBytes   = 128 << 10 // however many readers there are
	largestResponseBytes = 72 << 20  // for the sake of one batch
	brokenResponseBytes  = 4 << 10   // where connections break before a larger one is through
)

// Delays before a call that failed is made again.
const (
	leastDelay = 10 * time.Millisecond
	mostDelay  = time.Second
)

// reader reads one partition for a subscription, by as many calls as it takes.
type reader struct {
	subscription  *Subscription
	partition     int
	place         place
	responseBytes int // to ask for while all is well
	halvings      int // of that, while calls bring nothing
	batchBytes    int // of the largest batch that was too large for what was asked for: no less will do
	failures      int // calls in a row that brought nothing

	decoder decoder
	batches []verified // of the response at hand; its memory is used again
	run     []Message  // decoded and not yet handed over
	left    int        // records of the response that are not yet decoded, as the headers say
}

// read reads until the stop position is reached, receiving is stopped, or an error ends it that a further call cannot
// mend. It tells opened once whether the server has confirmed.
func (r *reader) read(ctx context.Context, opened chan<- error) {
	call, first, err := r.open(ctx)
	opened <- r.explained(err)
	if err != nil {
		return
	}
	for err == nil {
		err = r.receive(call, first)
		if ctx.Err() == nil {
			call, first, err = r.resume(ctx, err)
		}
	}
	if ctx.Err() == nil && !errors.Is(err, io.EOF) {
		r.subscription.handOver(arrival{err: r.explained(err)})
	}
}

// receive takes responses until the call ends: io.EOF when the server has nothing more to send.
func (r *reader) receive(call grpc.ClientStream, response *codec.SubscribeResponse) error {
	for {
		if err := r.take(response); err != nil {
			return err
		}
		// A new one each time: the messages made of a response alias it.
		response = new(codec.SubscribeResponse)
		if err := call.RecvMsg(response); err != nil {
			return err
		}
		if r.failures > 0 {
			r.failures, r.halvings = 0, max(r.halvings-1, 0)
		}
	}
}

// resume makes calls until one is confirmed, if cause is what a further call can mend, and else returns it.
func (r *reader) resume(ctx context.Context, cause error) (grpc.ClientStream, *codec.SubscribeResponse, error) {
	for {
		switch {
		case r.growFor(cause):
		case !passing(cause):
			return nil, nil, cause
		case !r.pause(ctx):
			return nil, nil, ctx.Err()
		}
		if r.place.reached() {
			return nil, nil, io.EOF
		}
		call, first, err := r.open(ctx, grpc.WaitForReady(true))
		if err == nil {
			return call, first, nil
		}
		cause = err
	}
}

// open asks the server for what comes next, and returns the call with its first response, which confirms it.
func (r *reader) open(ctx context.Context, opts ...grpc.CallOption) (grpc.ClientStream, *codec.SubscribeResponse, error) {
	start, stop := r.place.positions()
	request := &trestlev1.SubscribeRequest{
		Stream: r.subscription.stream.name, Partition: int32(r.partition),
		Start: start, Stop: stop, Backwards: r.place.backwards,
		View: trestlev1.View_VIEW_BATCHES, MaxResponseBytes: uint32(r.askFor()),
		LeaderEpoch: r.place.history(),
	}
	conn := r.subscription.stream.client.conn
	call, err := conn.NewStream(ctx, &subscribeDesc, trestlev1.LogService_Subscribe_FullMethodName, opts...)
	if err != nil {
		return nil, nil, err
	}
	first := new(codec.SubscribeResponse)
	if err := errors.Join(call.SendMsg(request), call.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch err := call.RecvMsg(first); {
	case errors.Is(err, io.EOF):
		return nil, nil, newError(reasonInternal, "%s: the server ended the call before it had begun", r.doing())
	case err != nil:
		return nil, nil, err
	}
	r.place.subscribed(first.HighWatermark, first.LogStart)
	return call, first, nil
}

// askFor is how large responses may be: the smaller the more calls have brought nothing, so that something gets through
// connections that break again and again.
func (r *reader) askFor() int {
	return max(r.responseBytes>>r.halvings, brokenResponseBytes, r.batchBytes)
}

// growFor asks for larger responses, if a batch larger than those asked for is what ended the call.
func (r *reader) growFor(cause error) bool {
	answer, asked := answerIn(status.Convert(cause)), r.askFor()
	if answer == nil || answer.Reason != reasonTooLarge || asked >= largestResponseBytes {
		return false
	}
	size, err := strconv.Atoi(answer.Names["bytes"])
	if err != nil || size <= asked {
		size = 2 * asked
	}
	r.batchBytes = min(size, largestResponseBytes)
	r.responseBytes = max(r.responseBytes, r.batchBytes)
	return true
}

// pause waits before the next call, the longer the more have failed. It is false when receiving is stopped.
func (r *reader) pause(ctx context.Context) bool {
	delay := min(leastDelay<<min(r.failures, 10), mostDelay)
	if r.failures++; r.failures > 1 {
		r.halvings = min(r.halvings+1, 16)
	}
	timer := time.NewTimer(delay/2 + rand.N(delay/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// passing is true of what ends calls when connections break and servers stop.
func passing(cause error) bool {
	code := status.Code(cause)
	return code == codes.Unavailable || code == codes.Canceled
}

// explained is what the user is told of err.
func (r *reader) explained(err error) error {
	if err == nil || errors.As(err, new(*Error)) {
		return err
	}
	return callError(r.doing(), err)
}

func (r *reader) doing() string {
	return fmt.Sprintf("read partition %d of stream %q", r.partition, r.subscription.stream.name)
}

// subscribeDesc is the kind of call that Subscribe is.
var subscribeDesc = grpc.StreamDesc{ServerStreams: true}

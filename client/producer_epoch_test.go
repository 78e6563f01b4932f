package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/codec"
)

// numbersOf are the epochs and sequences of the batches that a server was asked to store.
func numbersOf(server *fakeServer) (numbers [][2]uint32) {
	server.mu.Lock()
	defer server.mu.Unlock()
	for _, req := range server.published {
		numbers = append(numbers, [2]uint32{req.ProducerEpoch, req.ProducerSequence})
	}
	return numbers
}

// sendOne sends one message and waits for it.
func sendOne(t *testing.T, p *client.Producer, value string) error {
	t.Helper()
	_, err := p.Send(within(t), client.Message{Value: []byte(value)}).Ack(within(t))
	return err
}

// TestProducerBeginsAnew: a server that has forgotten the producer, or lost batches of it, is sent what it lacks under
// numbers that it knows, once.
func TestProducerBeginsAnew(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{})
	for _, step := range []func(){
		func() {}, func() {},
		server.log(0).forgetProducers,
		func() {},
		func() { // a failover that lost the last batch
			log := server.log(0)
			log.mu.Lock()
			defer log.mu.Unlock()
			last := log.numbered[1]
			last.sequence--
			log.numbered[1] = last
		},
		func() {},
	} {
		step()
		if err := sendOne(t, p, "v"); err != nil {
			t.Error(err)
		}
	}
	if err := p.Close(within(t)); err != nil {
		t.Error(err)
	}
	want := [][2]uint32{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}}
	if got := numbersOf(server); !slices.Equal(got, want) {
		t.Errorf("got epochs and sequences %v, want %v", got, want)
	}
	if n := len(server.log(0).values()); n != 6 {
		t.Errorf("%d messages are stored, want 6", n)
	}
}

// TestProducerSaysWhatNobodyKnows: where an attempt may have stored a batch and no further one tells, the outcome is
// unknown, and of no other kind; what comes then is sent in a new epoch.
func TestProducerSaysWhatNobodyKnows(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]error{
		"it never answers":       status.Error(codes.Unavailable, "connection lost"),
		"it says no of now":      answer(codes.FailedPrecondition, "PAUSED", "it is paused", nil),
		"it has forgotten":       answer(codes.Unknown, "OUTCOME_UNKNOWN", "not known", map[string]string{"producer_id": "1"}),
		"it says what is no use": status.Error(codes.InvalidArgument, "what is this"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFakeServer("orders", 1)
			attempts := 0
			server.afterStore = func(context.Context) error {
				if attempts++; attempts == 1 {
					return status.Error(codes.Unavailable, "connection lost")
				}
				return nil
			}
			server.onPublish = func(context.Context, *codec.PublishRequest) error {
				if attempts > 0 {
					return then
				}
				return nil
			}
			p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{RetryFor: 30 * time.Millisecond})
			err := sendOne(t, p, "first")
			if !errors.Is(err, client.ErrOutcomeUnknown) || errors.Is(err, client.ErrPaused) || errors.Is(err, client.ErrUnavailable) {
				t.Errorf("got %v, want ErrOutcomeUnknown and nothing else", err)
			}
			server.with(func() { server.onPublish = nil })
			if err := sendOne(t, p, "second"); err != nil {
				t.Error(err)
			}
			numbers := numbersOf(server)
			if last := numbers[len(numbers)-1]; last != [2]uint32{1, 0} {
				t.Errorf("the second was sent as %v, want a new epoch", last)
			}
			if got, want := server.log(0).values(), []string{"first", "second"}; !slices.Equal(got, want) {
				t.Errorf("got %q stored, want %q", got, want)
			}
			if err := p.Close(within(t)); !errors.Is(err, client.ErrOutcomeUnknown) {
				t.Errorf("Close: got %v, want what nobody had looked at", err)
			}
		})
	}
}

// TestProducerWaitsForWhatPasses: what was certainly not stored is sent again under its number.
func TestProducerWaitsForWhatPasses(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	refusals := []error{
		answer(codes.Unavailable, "NO_LEADER", "nobody leads it", nil),
		answer(codes.ResourceExhausted, "TOO_MANY_IN_FLIGHT", "too much", nil),
		answer(codes.FailedPrecondition, "NOT_ENOUGH_REPLICAS", "one is away", nil),
	}
	server.onPublish = func(context.Context, *codec.PublishRequest) error {
		if len(refusals) == 0 {
			return nil
		}
		err := refusals[0]
		refusals = refusals[1:]
		return err
	}
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{})
	if err := sendOne(t, p, "v"); err != nil {
		t.Error(err)
	}
	if err := p.Close(within(t)); err != nil {
		t.Error(err)
	}
	if got, want := numbersOf(server), make([][2]uint32, 4); !slices.Equal(got, want) {
		t.Errorf("got %v, want four attempts under one number", got)
	}
}

// TestProducerCloses: Close waits for what was sent, but not for ever; what never left is certain not to be stored.
func TestProducerCloses(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	began := make(chan struct{}, 100)
	server.onPublish = func(ctx context.Context, _ *codec.PublishRequest) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	c := connect(t, server.listen(t).addr)
	p := c.Stream("orders").Producer(client.ProducerConfig{})
	first := p.Send(within(t), client.Message{Value: []byte("first")})
	<-began
	second := p.Send(within(t), client.Message{Value: []byte("second")})
	third := p.Send(within(t), client.Message{Value: []byte("third")}) // too little to leave while two are on their way
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Close(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: got %v, want that the deadline passed", err)
	}
	for _, f := range []*client.Future{first, second} {
		if _, err := f.Ack(within(t)); !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("got %v of what the server had, want ErrOutcomeUnknown", err)
		}
	}
	if _, err := third.Ack(within(t)); err == nil || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("got %v of what was never sent, want a no", err)
	}
}

// TestClientClosesUnderProducers: what was sent before is stored, if the server does its part; what comes later is refused.
func TestClientClosesUnderProducers(t *testing.T) {
	t.Parallel()
	server, began, release := newFakeServer("orders", 1), make(chan struct{}, 100), make(chan struct{})
	server.onPublish = func(context.Context, *codec.PublishRequest) error {
		began <- struct{}{}
		<-release
		return nil
	}
	c, err := client.Connect(within(t), server.listen(t).addr)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Stream("orders").Producer(client.ProducerConfig{})
	first := p.Send(within(t), client.Message{Value: []byte("first")})
	<-began
	second := p.Send(within(t), client.Message{Value: []byte("second")})
	closed := make(chan error)
	go func() { closed <- c.Close() }()
	for { // until Close has begun
		if _, err := c.Stream("orders").Info(within(t)); errors.Is(err, client.ErrClosed) {
			break
		}
	}
	if _, err := p.Send(within(t), client.Message{}).Ack(within(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("got %v of a client that is closed, want ErrClosed", err)
	}
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for _, f := range []*client.Future{first, second} {
		if _, err := f.Ack(within(t)); err != nil {
			t.Error(err)
		}
	}
	if err := p.Close(within(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Close: got %v, want the message that was refused", err)
	}
}

package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/codec"
)

// What the stream does not take is refused before it is sent, with its size and the limit; once the limit is raised, it is
// taken.
func TestTooLargeIsNotSent(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	limit := func(n int64) {
		server.with(func() { server.streams[0].Config.MaxMessageBytes = proto.Int64(n) })
	}
	limit(1 << 20)
	s := connect(t, server.listen(t).addr).Stream("orders")
	p := s.Producer(client.ProducerConfig{})
	large := client.Message{Key: []byte("key"), Value: make([]byte, 1<<20-2)}
	before := p.Send(within(t), client.Message{Value: []byte("before")})
	_, published := s.PublishMessage(within(t), large)
	_, sent := p.Send(within(t), large).Ack(within(t))
	for name, err := range map[string]error{"Publish": published, "Send": sent} {
		var e *client.Error
		if !errors.As(err, &e) || !errors.Is(err, client.ErrTooLarge) || e.Names["bytes"] != "1048577" || e.Names["limit"] != "1048576" {
			t.Errorf("%s: got %v, %+v, want ErrTooLarge with 1048577 bytes and the limit", name, err, e)
		}
	}
	if _, err := before.Ack(within(t)); err != nil {
		t.Errorf("one that was sent together with it: %v", err)
	}
	if _, err := s.PublishBatch(within(t), []client.Message{{Value: make([]byte, 1<<19)}, {Value: make([]byte, 1<<19)}}); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("got %v for a batch of more than 1 MiB, want ErrTooLarge", err)
	}
	if err := p.Flush(within(t)); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("Flush: got %v, want what was refused", err)
	}
	limit(2 << 20)
	if _, err := p.Send(within(t), large).Ack(within(t)); err != nil {
		t.Errorf("got %v once the limit was raised", err)
	}
	if err := p.Close(within(t)); err != nil {
		t.Error(err)
	}
	if n := len(server.published); n != 2 {
		t.Errorf("the server was sent %d batches, want 2", n)
	}
}

// A batch that gRPC refuses on the server's side, without a reason of ours, is a no and not sent again; what was on its way
// with it is stored, once and in order.
func TestTooLargeForTheTransport(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	s := connect(t, server.listen(t, grpc.MaxRecvMsgSize(100<<10)).addr).Stream("orders")
	if _, err := s.Publish(within(t), make([]byte, 200<<10)); !errors.Is(err, client.ErrTooLarge) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("Publish: got %v, want ErrTooLarge", err)
	}
	began, release := make(chan struct{}, 100), make(chan struct{})
	server.with(func() {
		server.onPublish = func(ctx context.Context, _ *codec.PublishRequest) error {
			began <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return ctx.Err()
		}
	})
	p := s.Producer(client.ProducerConfig{RetryFor: 20 * time.Second})
	first := p.Send(within(t), client.Message{Value: []byte("first")})
	<-began
	large := p.Send(within(t), client.Message{Value: make([]byte, 1<<20)})
	last := p.Send(within(t), client.Message{Value: []byte("last")})
	<-began // the stream broke, and the first was sent again
	close(release)
	if _, err := large.Ack(within(t)); !errors.Is(err, client.ErrTooLarge) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("Send: got %v, want ErrTooLarge", err)
	}
	for _, f := range []*client.Future{first, last} {
		if _, err := f.Ack(within(t)); err != nil {
			t.Error(err)
		}
	}
	if err := p.Close(within(t)); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("Close: got %v, want what was refused", err)
	}
	if got := server.log(0).values(); !slices.Equal(got, []string{"first", "last"}) {
		t.Errorf("got %q stored, want first and last", got)
	}
}

package client_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/codec"
)

// TestProducerFlushWaitsUntilAllIsTold: what has failed is not settled while OnError is told of it, so that neither Flush
// nor Close comes back before.
func TestProducerFlushWaitsUntilAllIsTold(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	server.onPublish = func(context.Context, *codec.PublishRequest) error {
		return answer(codes.InvalidArgument, "INVALID_ARGUMENT", "no", nil)
	}
	telling, goOn := make(chan struct{}), make(chan struct{})
	told := false
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{OnError: func(*client.Message, error) {
		close(telling)
		<-goOn
		told = true
	}})
	f := p.Send(within(t), client.Message{Value: []byte("1")})
	<-telling
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Flush(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v of Flush while OnError is told, want that it waits", err)
	}
	select {
	case <-f.Done():
		t.Error("the message is settled while OnError is told")
	default:
	}
	close(goOn)
	if err := p.Close(within(t)); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("got %v of Close, want the failure", err)
	}
	if !told {
		t.Error("Close returned before OnError did")
	}
}

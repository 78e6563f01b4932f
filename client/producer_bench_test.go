package client_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// ackEach acknowledges what comes on a PublishStream, and neither looks into it nor stores it.
func ackEach(stream grpc.ServerStream) error {
	for {
		req := new(codec.PublishStreamRequest)
		if err := stream.RecvMsg(req); err != nil {
			return err
		}
		res := &trestlev1.PublishStreamResponse{FirstId: req.ID, LastId: req.ID}
		res.Outcome = &trestlev1.PublishStreamResponse_Ack{Ack: &trestlev1.Ack{Partition: *req.Batch.Partition}}
		if err := stream.SendMsg(res); err != nil {
			return err
		}
	}
}

// BenchmarkSend is what a message of 128 bytes costs a Producer with 1024 in flight, with a server in the same process that
// does no more than acknowledge. Compare it by CPU time, and with -cpu 1: what is measured is work, not what two cores make
// of it.
func BenchmarkSend(b *testing.B) {
	const inFlight = 1024
	value, key := make([]byte, 128), []byte("customer 1234")
	for _, of := range []struct {
		name       string
		partitions int
		message    client.Message
		futures    bool // who sends looks at each
	}{
		{"value", 1, client.Message{Value: value}, false},
		{"value, future", 1, client.Message{Value: value}, true},
		{"key", 4, client.Message{Key: key, Value: value}, false},
		{"headers", 1, client.Message{Value: value, Subject: "orders.new", Headers: []client.HeaderField{{Name: "Content-Type", Value: []byte("text")}}}, false},
	} {
		b.Run(of.name, func(b *testing.B) {
			server := newFakeServer("orders", of.partitions)
			server.onStream = ackEach
			p := connect(b, server.listen(b).addr).Stream("orders").Producer(client.ProducerConfig{MaxInFlight: inFlight})
			ctx := context.Background()
			var futures [inFlight]*client.Future
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if at := n % inFlight; of.futures {
					if futures[at] != nil {
						if _, err := futures[at].Ack(ctx); err != nil {
							b.Fatal(err)
						}
					}
					futures[at] = p.Send(ctx, of.message)
				} else {
					p.Send(ctx, of.message)
				}
			}
			if err := p.Close(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}

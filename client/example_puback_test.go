package client_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trestlehq/trestle/client"
)

// How do I keep publishers that use JetStream as they are? With Reply a stream answers them as JetStream does; a sequence is
// the offset and one.
func Example_jetStreamPublisher() {
	withBroker(func(ctx context.Context, broker *exampleBroker, c *client.Client) error {
		payments, err := c.CreateStream(ctx, client.StreamConfig{
			Name: "payments", Subjects: []string{"payments.*"}, Reply: client.ReplyPuback,
		})
		if err != nil {
			return err
		}
		nc, err := nats.Connect(broker.Ready().NATS)
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		for range 2 {
			ack, err := js.Publish(ctx, "payments.new", []byte("17 EUR"), jetstream.WithMsgID("payment-17"))
			if err != nil {
				return err
			}
			fmt.Println(ack.Stream, ack.Sequence, ack.Duplicate)
		}
		m, err := payments.Get(ctx, 0, 0)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", m.Subject, m.Value)
		return nil
	})
	// Output:
	// payments 1 false
	// payments 1 true
	// payments.new: 17 EUR
}

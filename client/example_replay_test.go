package client_test

import (
	"context"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// How do I read what was published since a time?
func ExampleFromTime() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		var second client.Ack
		for i, value := range []string{"a", "b", "c"} {
			ack, err := orders.Publish(ctx, []byte(value), client.To(0))
			if err != nil {
				return err
			}
			if i == 1 {
				second = ack
			}
		}
		return orders.Handle(ctx, func(_ context.Context, m *client.Message) error {
			fmt.Printf("%s ", m.Value)
			return nil
		}, client.Partitions(0), client.FromTime(second.Time), client.UntilLatest())
	})
	// Output: b c
}

// How do I read the last messages of each partition, and go on with new ones?
func ExampleFromLast() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		if err := publishThree(ctx, orders); err != nil {
			return err
		}
		sub, err := orders.Subscribe(ctx, client.FromLast(2))
		if err != nil {
			return err
		}
		defer sub.Stop()
		if _, err := orders.Publish(ctx, []byte("new"), client.To(0)); err != nil {
			return err
		}
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				return err
			}
			fmt.Printf("%s\n", m.Value)
			if string(m.Value) == "new" {
				break
			}
		}
		return nil
	})
	// Output:
	// b
	// c
	// new
}

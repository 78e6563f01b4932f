package client_test

import (
	"context"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// publishThree publishes a, b and c to partition 0.
func publishThree(ctx context.Context, s *client.Stream) error {
	_, err := s.PublishBatch(ctx, []client.Message{{Value: []byte("a")}, {Value: []byte("b")}, {Value: []byte("c")}}, client.To(0))
	return err
}

// How do I read a stream from its beginning to its end?
func ExampleStream_Subscribe() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		if err := publishThree(ctx, orders); err != nil {
			return err
		}
		sub, err := orders.Subscribe(ctx, client.FromEarliest(), client.UntilLatest())
		if err != nil {
			return err
		}
		defer sub.Stop()
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				return err
			}
			fmt.Printf("%d@%d %s\n", m.Partition, m.Offset, m.Value)
		}
		return nil
	})
	// Output:
	// 0@0 a
	// 0@1 b
	// 0@2 c
}

// How do I see the newest messages first?
func ExampleBackwards() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		if err := publishThree(ctx, orders); err != nil {
			return err
		}
		return orders.Handle(ctx, func(_ context.Context, m *client.Message) error {
			fmt.Printf("%s ", m.Value)
			return nil
		}, client.Backwards(), client.Partitions(0))
	})
	// Output: c b a
}

// How do I read one message?
func ExampleStream_Get() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		if err := publishThree(ctx, orders); err != nil {
			return err
		}
		m, err := orders.Get(ctx, 0, 1)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", m.Value)
		return nil
	})
	// Output: b
}

// How do I learn that messages are missing?
func ExampleOnGap() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		if err := orders.Pause(ctx, 0); err != nil {
			return err
		}
		if err := orders.Resume(ctx, 0); err != nil {
			return err
		}
		if err := publishThree(ctx, orders); err != nil {
			return err
		}
		gap := client.OnGap(func(partition int, g client.Gap) {
			fmt.Printf("gap in partition %d before offset %d: %s\n", partition, g.Offset, g.Cause)
		})
		return orders.Handle(ctx, func(_ context.Context, m *client.Message) error {
			fmt.Printf("%s\n", m.Value)
			return nil
		}, client.Partitions(0), client.FromEarliest(), client.UntilOffset(1), gap)
	})
	// Output:
	// gap in partition 0 before offset 0: paused
	// a
}

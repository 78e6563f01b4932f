package client_test

import (
	"context"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// How do I publish several messages at once, each to the partition of its key?
func ExampleStream_PublishEach() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		acks, err := orders.PublishEach(ctx, []client.Message{
			{Key: []byte("user-1"), Value: []byte("first")},
			{Key: []byte("hello"), Value: []byte("second")},
			{Key: []byte("user-1"), Value: []byte("third")},
		})
		if err != nil {
			return err
		}
		for _, ack := range acks {
			fmt.Printf("partition %d, offset %d\n", ack.Partition, ack.Offset)
		}
		return nil
	})
	// Output:
	// partition 0, offset 0
	// partition 1, offset 0
	// partition 0, offset 1
}

// How do I store several messages together or not at all?
func ExampleStream_PublishBatch() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		ack, err := orders.PublishBatch(ctx, []client.Message{{Value: []byte("reserved")}, {Value: []byte("paid")}}, client.To(1))
		if err != nil {
			return err
		}
		fmt.Printf("%d messages from offset %d on\n", ack.Count, ack.Offset)
		return nil
	})
	// Output: 2 messages from offset 0 on
}

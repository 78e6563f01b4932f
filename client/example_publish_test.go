package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// How do I publish, and know that it is stored?
func ExampleStream_Publish() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		ack, err := orders.Publish(ctx, []byte(`{"id":42}`), client.Key("42"), client.Header("Trace-Id", "7f3a"), client.OnSubject("orders.new"), client.To(1))
		if err != nil {
			return err
		}
		fmt.Printf("partition %d, offset %d, durable %t\n", ack.Partition, ack.Offset, ack.Durable)
		return nil
	})
	// Output: partition 1, offset 0, durable true
}

// How do I publish again without storing a second copy?
func ExampleID() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		for range 2 {
			ack, err := orders.Publish(ctx, []byte("paid"), client.ID("payment-17"))
			if err != nil {
				return err
			}
			fmt.Printf("offset %d, duplicate %t\n", ack.Offset, ack.Duplicate())
		}
		return nil
	})
	// Output:
	// offset 0, duplicate false
	// offset 0, duplicate true
}

// How do I make sure that nobody has published in between?
func ExampleExpectNext() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		for range 2 {
			_, err := orders.Publish(ctx, []byte("mine"), client.To(0), client.ExpectNext(0))
			switch {
			case errors.Is(err, client.ErrWrongOffset):
				fmt.Println("somebody was faster")
			case err != nil:
				return err
			default:
				fmt.Println("stored")
			}
		}
		return nil
	})
	// Output:
	// stored
	// somebody was faster
}

// How do I choose the partition by the key, as other clients do?
func ExamplePartitionBy() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		for _, key := range []string{"user-1", "hello", "user-1"} {
			ack, err := orders.Publish(ctx, nil, client.Key(key), client.PartitionBy(client.ByKey()))
			if err != nil {
				return err
			}
			fmt.Println(key, "in partition", ack.Partition)
		}
		return nil
	})
	// Output:
	// user-1 in partition 0
	// hello in partition 1
	// user-1 in partition 0
}

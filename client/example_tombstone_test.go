package client_test

import (
	"context"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// How do I say that what a key names is deleted? With Compact a stream keeps the newest message of each key only; a tombstone
// is such a message, and readers can tell it from an empty value.
func ExampleMessage_tombstone() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		for _, m := range []client.Message{
			{Key: []byte("user-1"), Value: []byte("Ada")},
			{Key: []byte("user-1"), Value: []byte{}},
			{Key: []byte("user-1"), Tombstone: true},
		} {
			if _, err := orders.PublishMessage(ctx, m, client.To(0)); err != nil {
				return err
			}
		}
		return orders.Handle(ctx, func(_ context.Context, m *client.Message) error {
			fmt.Printf("%s: %q, deleted %t\n", m.Key, m.Value, m.Tombstone)
			return nil
		}, client.Partitions(0), client.FromEarliest(), client.UntilLatest())
	})
	// Output:
	// user-1: "Ada", deleted false
	// user-1: "", deleted false
	// user-1: "", deleted true
}

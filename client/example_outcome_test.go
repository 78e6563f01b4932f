package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// What do I do when nobody knows whether my message is stored? A connection that breaks while a publish waits leaves it open.
// With an ID it is safe to publish again: the ack then says where it is, whichever attempt stored it.
func Example_outcomeUnknown() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		for {
			ack, err := orders.Publish(ctx, []byte("paid"), client.ID("payment-17"))
			switch {
			case errors.Is(err, client.ErrOutcomeUnknown), errors.Is(err, client.ErrUnavailable):
				continue // once more; a Producer does this by itself
			case err != nil:
				return err // any other error is a no: nothing is stored
			}
			fmt.Println("stored at offset", ack.Offset)
			return nil
		}
	})
	// Output: stored at offset 0
}

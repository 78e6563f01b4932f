package client_test

import (
	"context"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// How do I take messages away before their time?
func ExampleStream_PurgeToOffset() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		if err := publishThree(ctx, orders); err != nil {
			return err
		}
		purged, err := orders.PurgeToOffset(ctx, 0, 2)
		if err != nil {
			return err
		}
		fmt.Println("the oldest offset was", purged[0].PreviousLogStart, "and is", purged[0].LogStart)
		return nil
	})
	// Output: the oldest offset was 0 and is 2
}

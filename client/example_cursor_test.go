package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// How do I go on where I was, after my program has ended?
func ExampleStream_Cursor() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		if err := publishThree(ctx, orders); err != nil {
			return err
		}
		cursor, enough := orders.Cursor("billing", 0), errors.New("enough for today")
		from := client.FromEarliest()
		for range 2 {
			err := orders.Handle(ctx, func(ctx context.Context, m *client.Message) error {
				fmt.Printf("%s\n", m.Value)
				if err := cursor.SetAfter(ctx, m); err != nil {
					return err
				}
				if m.Offset == 0 {
					return enough
				}
				return nil
			}, client.Partitions(0), from, client.UntilLatest())
			if err != nil && !errors.Is(err, enough) {
				return err
			}
			from = client.FromCursor("billing")
			fmt.Println("…")
		}
		return nil
	})
	// Output:
	// a
	// …
	// b
	// c
	// …
}

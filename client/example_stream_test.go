package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trestlehq/trestle/client"
)

// How do I make sure that a stream is there, and configured as I want it?
func ExampleClient_EnsureStream() {
	withOrders(func(ctx context.Context, c *client.Client, _ *client.Stream) error {
		_, err := c.EnsureStream(ctx, client.StreamConfig{Name: "orders", Subjects: []string{"orders.*"}, Partitions: 3})
		var diff *client.ConfigDiffError
		if errors.As(err, &diff) {
			for _, d := range diff.Differences {
				fmt.Printf("%s is %s, not %s\n", d.Field, d.Have, d.Want)
			}
			return nil
		}
		return err
	})
	// Output: partitions is 2, not 3
}

// How do I change a stream?
func ExampleStream_Update() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		err := orders.Update(ctx, func(cfg *client.StreamConfig) {
			cfg.RetainAge = 7 * 24 * time.Hour
			cfg.RetainBytes = client.None
		})
		if err != nil {
			return err
		}
		info, err := orders.Info(ctx)
		if err != nil {
			return err
		}
		fmt.Println("messages are kept for", info.Config.RetainAge)
		return nil
	})
	// Output: messages are kept for 168h0m0s
}

// How do I tell errors apart?
func ExampleError() {
	withOrders(func(ctx context.Context, c *client.Client, _ *client.Stream) error {
		_, err := c.Stream("returns").Publish(ctx, []byte("v"))
		var e *client.Error
		if errors.Is(err, client.ErrStreamNotFound) && errors.As(err, &e) {
			fmt.Println(e.Reason, e.Names["stream"])
			return nil
		}
		return err
	})
	// Output: STREAM_NOT_FOUND returns
}

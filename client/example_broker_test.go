package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server"
)

// exampleBroker is a broker for an example, on ports and a folder of its own. Programs have `trestle server` instead.
type exampleBroker struct {
	*server.Server
	folder string
}

func startBroker(ctx context.Context) (*exampleBroker, error) {
	folder, err := os.MkdirTemp("", "trestle-example-")
	if err != nil {
		return nil, err
	}
	config := server.DefaultConfig()
	config.DataDir = folder
	config.Listen, config.HTTPListen, config.PeerListen, config.NATSListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	config.Logger = slog.New(slog.DiscardHandler)
	s, err := server.Start(ctx, config)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return &exampleBroker{s, folder}, nil
}

func (b *exampleBroker) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(b.Shutdown(ctx), os.RemoveAll(b.folder))
}

// withBroker runs an example on a broker.
func withBroker(example func(ctx context.Context, broker *exampleBroker, c *client.Client) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	broker, err := startBroker(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := client.Connect(ctx, broker.Ready().GRPC)
	if err == nil {
		err = errors.Join(example(ctx, broker, c), c.Close())
	}
	if err = errors.Join(err, broker.stop()); err != nil {
		fmt.Println(err)
	}
}

// withOrders is withBroker with a stream orders, which records orders.* in two partitions.
func withOrders(example func(ctx context.Context, c *client.Client, orders *client.Stream) error) {
	withBroker(func(ctx context.Context, _ *exampleBroker, c *client.Client) error {
		orders, err := c.CreateStream(ctx, client.StreamConfig{Name: "orders", Subjects: []string{"orders.*"}, Partitions: 2})
		if err != nil {
			return err
		}
		return example(ctx, c, orders)
	})
}

package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
)

// How do I record what others publish on NATS, and read it back?
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	broker, err := startBroker(ctx) // `trestle server`
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := broker.stop(); err != nil {
			fmt.Println(err)
		}
	}()

	c, err := client.Connect(ctx, broker.Ready().GRPC)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	orders, err := c.EnsureStream(ctx, client.StreamConfig{Name: "orders", Subjects: []string{"orders.>"}})
	if err != nil {
		fmt.Println(err)
		return
	}

	// Any NATS client will do: it need not know of Trestle.
	nc, err := nats.Connect(broker.Ready().NATS)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	for _, value := range []string{"first", "second"} {
		if err := nc.Publish("orders.new", []byte(value)); err != nil {
			fmt.Println(err)
		}
	}

	sub, err := orders.Subscribe(ctx, client.FromEarliest())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Stop()
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d %s %s\n", m.Offset, m.Subject, m.Value)
		if m.Offset == 1 {
			break
		}
	}
	// Output:
	// 0 orders.new first
	// 1 orders.new second
}

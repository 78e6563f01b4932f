package client_test

import (
	"context"
	"fmt"

	"github.com/trestlehq/trestle/client"
)

// How do I publish very many messages?
func ExampleStream_Producer() {
	withOrders(func(ctx context.Context, _ *client.Client, orders *client.Stream) error {
		p := orders.Producer(client.ProducerConfig{OnError: func(m *client.Message, err error) {
			fmt.Printf("%s is not stored: %v\n", m.Value, err)
		}})
		var last *client.Future
		for i := range 10_000 {
			last = p.Send(ctx, client.Message{Key: []byte("user-1"), Value: fmt.Append(nil, i)})
		}
		if err := p.Close(ctx); err != nil { // waits until all of them are settled
			return err
		}
		ack, err := last.Ack(ctx)
		if err != nil {
			return err
		}
		fmt.Println("the last is at offset", ack.Offset)
		return nil
	})
	// Output: the last is at offset 9999
}

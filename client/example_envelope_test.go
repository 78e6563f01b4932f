package client_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/envelope"
)

// How do I give a message a key and have it acknowledged with nothing but a NATS client? With a frame of package envelope.
func Example_envelope() {
	withBroker(func(ctx context.Context, broker *exampleBroker, c *client.Client) error {
		sensors, err := c.CreateStream(ctx, client.StreamConfig{Name: "sensors", Subjects: []string{"sensors.*"}})
		if err != nil {
			return err
		}
		nc, err := nats.Connect(broker.Ready().NATS)
		if err != nil {
			return err
		}
		defer nc.Close()
		acks, err := nc.SubscribeSync(nats.NewInbox())
		if err != nil {
			return err
		}
		m := envelope.Message{
			Key: []byte("sensor-7"), Value: []byte("21.5"),
			AckInbox: []byte(acks.Subject), CorrelationID: []byte("42"), AckPolicy: envelope.AckAll,
		}
		frame, err := m.Marshal()
		if err != nil {
			return err
		}
		if err := nc.Publish("sensors.temperature", frame); err != nil {
			return err
		}
		answer, err := acks.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		ack, err := envelope.ParseAck(answer.Data)
		if err != nil {
			return err
		}
		fmt.Printf("%s: stored at %d of %s, error %v\n", ack.CorrelationID, ack.Offset, ack.Stream, ack.Err())
		stored, err := sensors.Get(ctx, 0, ack.Offset)
		if err != nil {
			return err
		}
		fmt.Printf("%s=%s\n", stored.Key, stored.Value)
		return nil
	})
	// Output:
	// 42: stored at 0 of sensors, error <nil>
	// sensor-7=21.5
}

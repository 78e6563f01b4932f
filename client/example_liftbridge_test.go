package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/envelope"
)

// I have a program that was written after the readme of go-liftbridge. What does it look like with this client?
//
// Above each step stands the call that was there. Without porting anything, the old program also works as it is: the
// server speaks Liftbridge's API on the same port.
func Example_portedFromLiftbridge() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	broker, err := startBroker(ctx) // `trestle server`
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := errors.Join(liftbridgeBasics(ctx, broker), liftbridgeEnvelope(ctx, broker), broker.stop()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// foo-stream is there already
	// stored at 0
	// stored in partition 1 at 0
	// 0 "" = hello
	// 0 "key" = partitioned
	// a plain message, through its wildcard: bar.baz = plain
	// envelope 42 is stored at 1 of foo-stream
}

func liftbridgeBasics(ctx context.Context, broker *exampleBroker) error {
	// lift.Connect, which takes a list: the addresses are one text with commas.
	c, err := client.Connect(ctx, broker.Ready().GRPC)
	if err != nil {
		return err
	}
	// client.Close
	defer c.Close()

	// client.CreateStream with a subject, a name and lift.Partitions(2). Once it returns the stream records.
	config := client.StreamConfig{Name: "foo-stream", Subjects: []string{"foo"}, Partitions: 2}
	foo, err := c.CreateStream(ctx, config)
	if err != nil {
		return err
	}
	// Comparing with lift.ErrStreamExists; c.EnsureStream is content with a stream that is configured the same.
	if _, err := c.CreateStream(ctx, config); errors.Is(err, client.ErrStreamExists) {
		fmt.Println(foo.Name(), "is there already")
	}

	// client.Publish of a value, which goes to partition 0. Here that is to be said: a message without a key is shared
	// out in turn. The ack means that it is fsynced.
	ack, err := foo.Publish(ctx, []byte("hello"), client.To(0))
	if err != nil {
		return err
	}
	fmt.Println("stored at", ack.Offset)

	// client.Publish with lift.Key, lift.ToPartition(1) and lift.AckPolicyAll. lift.PartitionByKey would be
	// client.PartitionBy(client.ByKeyCRC32()): the same key goes to the same partition as before.
	ack, err = foo.Publish(ctx, []byte("partitioned"), client.Key("key"), client.To(1), client.AckAll())
	if err != nil {
		return err
	}
	fmt.Println("stored in partition", ack.Partition, "at", ack.Offset)

	// client.Subscribe with a handler and lift.StartAtEarliestReceived, of partition 0 and, with lift.Partition(1), of
	// partition 1. It went on in the background; this is a loop of the caller's own, which ends at what was latest.
	for partition := range 2 {
		err := foo.Handle(ctx, func(_ context.Context, m *client.Message) error {
			fmt.Printf("%d %q = %s\n", m.Offset, m.Key, m.Value)
			return nil
		}, client.Partitions(partition), client.FromEarliest(), client.UntilLatest())
		if err != nil {
			return err
		}
	}
	return liftbridgeWildcard(ctx, c, broker)
}

// liftbridgeWildcard is a stream on a wildcard, which any NATS client feeds.
func liftbridgeWildcard(ctx context.Context, c *client.Client, broker *exampleBroker) error {
	// client.CreateStream on "bar.*"; lift.Group would be QueueGroup, lift.ReplicationFactor Replicas.
	bar, err := c.CreateStream(ctx, client.StreamConfig{Name: "bar-stream", Subjects: []string{"bar.*"}})
	if err != nil {
		return err
	}
	nc, err := nats.Connect(broker.Ready().NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.Publish("bar.baz", []byte("plain")); err != nil {
		return err
	}
	// client.Subscribe with lift.StartAtOffset(0)
	sub, err := bar.Subscribe(ctx, client.FromOffset(0))
	if err != nil {
		return err
	}
	defer sub.Stop()
	m, err := sub.Next(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("a plain message, through its wildcard: %s = %s\n", m.Subject, m.Value)
	return nil
}

// liftbridgeEnvelope publishes with a NATS client alone and gets an ack.
func liftbridgeEnvelope(ctx context.Context, broker *exampleBroker) error {
	nc, err := nats.Connect(broker.Ready().NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	inbox, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		return err
	}
	// lift.NewMessage with lift.Key, lift.AckInbox and lift.CorrelationID; it now can fail, because names are checked.
	m := envelope.Message{Key: []byte("key"), Value: []byte("in an envelope"), AckInbox: []byte(inbox.Subject), CorrelationID: []byte("42")}
	frame, err := m.Marshal()
	if err != nil {
		return err
	}
	if err := nc.Publish("foo", frame); err != nil {
		return err
	}
	reply, err := inbox.NextMsgWithContext(ctx)
	if err != nil {
		return err
	}
	// lift.UnmarshalAck; whether it is a yes says ack.Err.
	ack, err := envelope.ParseAck(reply.Data)
	if err := errors.Join(err, ack.Err()); err != nil {
		return err
	}
	fmt.Printf("envelope %s is stored at %d of %s\n", ack.CorrelationID, ack.Offset, ack.Stream)
	return nil
}

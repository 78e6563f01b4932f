package compat

import (
	"errors"
	"strings"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
)

// Options of the client itself make no difference to the broker.
func TestClientOptions(t *testing.T) {
	b := start(t)
	for name, option := range map[string]lift.ClientOption{
		"conns": lift.MaxConnsPerBroker(4), "keepalive": lift.KeepAliveTime(time.Second), //nolint:staticcheck // old programs use them
		"resubscribe": lift.ResubscribeWaitTime(time.Second),
		"ack":         lift.AckWaitTime(time.Second), "read": lift.ReadBufferSize(1 << 16), "write": lift.WriteBufferSize(1 << 16),
		"latency": lift.SetConnectToLowLatencyServer(), "workload": lift.SetConnectToLowWorkloadServer(),
	} {
		c, ctx := b.connect(option)
		create(t, ctx, c, name)
		publish(t, ctx, c, name, "x")
	}
}

// Every way to make a client.
func TestConnect(t *testing.T) {
	b := start(t)
	options := lift.DefaultClientOptions()
	options.Brokers = []string{b.grpc}
	_, ctx := b.connect()
	for name, connect := range map[string]func() (lift.Client, error){
		"addresses":            func() (lift.Client, error) { return lift.Connect([]string{b.grpc}) },
		"addresses, a context": func() (lift.Client, error) { return lift.ConnectCtx(ctx, []string{b.grpc}) },
		"options":              options.Connect,
		"options, a context":   func() (lift.Client, error) { return options.ConnectCtx(ctx) },
	} {
		c, err := connect()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := c.FetchMetadata(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: closing: %v", name, err)
		}
	}
	if c, err := lift.Connect([]string{"127.0.0.1:1"}); err == nil {
		_ = c.Close()
		t.Error("connected to nobody")
	}
}

// last is a partitioner of a user's own.
type last struct{}

func (last) Partition(stream string, _, _ []byte, metadata *lift.Metadata) int32 {
	return metadata.PartitionCountForStream(stream) - 1
}

// A partitioner of the user's own, and what an ack says of where it came from.
func TestPartitioner(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.Partitions(3))
	ack, err := c.Publish(ctx, "s", []byte("x"), lift.PartitionBy(last{}))
	if err != nil || ack.PartitionSubject() != "s.2" || ack.AckInbox() == "" && *server == "liftbridge" {
		t.Errorf("%+v, %v", ack, err)
	}
	r := subscribe(t, c, "s", lift.Partition(2), lift.StartAtEarliestReceived())
	if got := r.next(); got.err != nil || got.msg.Partition() != 2 || got.msg.Subject() != "s.2" {
		t.Errorf("%+v, %v", got.msg, got.err)
	}
}

// The envelope that the client makes is what it reads itself, and what the broker stores.
func TestOwnEnvelope(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	frame := lift.NewMessage([]byte("v"), lift.Key([]byte("k")), lift.Header("h", []byte("x")))
	m, err := lift.UnmarshalMessage(frame)
	if err != nil || string(m.Value()) != "v" || string(m.Key()) != "k" || string(m.Headers()["h"]) != "x" {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := b.plain().PublishRequest("s", "reply.here", frame); err != nil {
		t.Fatal(err)
	}
	got := subscribe(t, c, "s", lift.StartAtEarliestReceived()).next()
	if got.err != nil || string(got.msg.Value()) != "v" || string(got.msg.Key()) != "k" || got.msg.ReplySubject() != "reply.here" ||
		string(got.msg.Headers()["reply"]) != "reply.here" {
		t.Errorf("%+v, %v", got.msg, got.err)
	}
	if _, err := lift.UnmarshalAck(frame); err == nil {
		t.Error("a message was read as an ack")
	}
}

// What a member of a group is told of goes to its handler as the client's own kind of error.
func TestConsumerError(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	one, err := c.CreateConsumer("group", lift.AutoOffsetNone(), lift.ConsumerID("one"), once)
	if err != nil {
		t.Fatal(err)
	}
	m := &consumer{one, &reader{t: t, got: make(chan received, 1000)}}
	if err := one.Subscribe(ctx, []string{"s"}, func(msg *lift.Message, err error) { m.got <- received{msg, err} }); err != nil {
		t.Fatal(err)
	}
	var told *lift.ConsumerError
	if got := m.next(); !errors.As(got.err, &told) || !strings.Contains(told.Error(), "offset") {
		t.Errorf("got %v", got.err)
	}
	m.leave()
}

package compat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
	"github.com/nats-io/nats.go"
)

// Every option of a message, and both ways to publish.
func TestPublishOptions(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.Partitions(4))
	for name, option := range map[string]lift.MessageOption{
		"key": lift.Key([]byte("k")), "inbox": lift.AckInbox("ack.me"), "correlation": lift.CorrelationID("id"), "leader": lift.AckPolicyLeader(),
		"all": lift.AckPolicyAll(), "none": lift.AckPolicyNone(), "header": lift.Header("a", []byte("b")),
		"headers": lift.Headers(map[string][]byte{"a": nil, "": []byte("x")}), "partition": lift.ToPartition(3),
	} {
		ack, err := c.Publish(ctx, "s", []byte(name), option)
		if err != nil || (ack == nil) != (name == "none") {
			t.Errorf("%s: %v, %v", name, ack, err)
		}
	}
	for range 8 {
		if _, err := c.Publish(ctx, "s", []byte("turn"), lift.PartitionByRoundRobin()); err != nil {
			t.Fatal(err)
		}
	}
	first, err := c.Publish(ctx, "s", []byte("a"), lift.Key([]byte("same")), lift.PartitionByKey())
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Publish(ctx, "s", []byte("b"), lift.Key([]byte("same")), lift.PartitionByKey())
	if err != nil || first.PartitionSubject() != second.PartitionSubject() {
		t.Errorf("%v, %v, %v", first, second, err)
	}
	if _, err := c.Publish(ctx, "nope", []byte("x")); !errors.Is(err, lift.ErrNoSuchPartition) {
		t.Errorf("no stream: %v", err)
	}
	if _, err := c.Publish(ctx, "s", []byte("x"), lift.ToPartition(9)); !errors.Is(err, lift.ErrNoSuchPartition) {
		t.Errorf("no partition: %v", err)
	}
}

// Thousands at once keep their order and are each acked with the offset that they have.
func TestPublishAsync(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	const n = 5000
	offsets, wrong := make([]int64, n), make(chan error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Add(1)
		err := c.PublishAsync(ctx, "s", fmt.Append(nil, i), func(ack *lift.Ack, err error) {
			defer all.Done()
			if err != nil {
				wrong <- err
				return
			}
			offsets[i] = ack.Offset()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	select {
	case err := <-wrong:
		t.Fatal(err)
	default:
	}
	r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
	for i := range n {
		got := r.next()
		if got.err != nil || string(got.msg.Value()) != fmt.Sprint(i) || got.msg.Offset() != offsets[i] || offsets[i] != int64(i) {
			t.Fatalf("message %d: got %v, %v; acked at %d", i, got.msg, got.err, offsets[i])
		}
	}
}

// A message that is too large is refused, those beside it are not; and what is stored can be read, by a client that receives 4 MiB.
func TestTooLarge(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	answers := make(chan error, 3)
	for _, size := range []int{1, 8<<20 + 1<<16, 2} {
		if err := c.PublishAsync(ctx, "s", make([]byte, size), func(_ *lift.Ack, err error) { answers <- err }); err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	for range 3 {
		if err := <-answers; err != nil {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d were refused", refused)
	}
	stored := []int{1, 2}
	for _, size := range []int{1 << 20, 4<<20 - 64<<10 - 16, 4 << 20, 5 << 20, 3} {
		if _, err := c.Publish(ctx, "s", make([]byte, size)); err == nil {
			stored = append(stored, size)
		}
	}
	if len(stored) != 5 {
		t.Errorf("stored: %v bytes; want all below 4 MiB", stored)
	}
	r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
	for _, size := range stored {
		if got := r.next(); got.err != nil || len(got.msg.Value()) != size {
			t.Fatalf("a message of %d bytes: %v", size, got.err)
		}
	}
}

// With optimistic concurrency the offset that is expected must be the next one (protocol.md 2.5).
func TestExpectedOffset(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.OptimisticConcurrencyControl(true))
	create(t, ctx, c, "free")
	expect := func(n int64) lift.MessageOption { return lift.ExpectedOffset(n) }
	for i, step := range []struct {
		expected int64
		ok       bool
	}{{0, true}, {0, false}, {5, false}, {1, true}, {-1, true}, {2, false}, {3, true}} {
		if _, err := c.Publish(ctx, "s", []byte("x"), expect(step.expected)); (err == nil) != step.ok {
			t.Errorf("step %d: expecting offset %d: %v", i, step.expected, err)
		}
	}
	if _, err := c.Publish(ctx, "free", []byte("x"), expect(7)); err != nil {
		t.Errorf("a stream without it: %v", err)
	}
	if _, err := c.PublishToSubject(ctx, "s", []byte("x")); err != nil {
		t.Errorf("to the subject, expecting nothing: %v", err)
	}
}

func TestPublishToSubject(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	if err := c.CreateStream(ctx, "wide.>", "wide"); err != nil {
		t.Fatal(err)
	}
	ack, err := c.PublishToSubject(ctx, "s", []byte("0"), lift.Key([]byte("k")), lift.CorrelationID("id"), lift.AckPolicyAll())
	if err != nil || ack.Offset() != 0 || ack.Stream() != "s" || ack.CorrelationID() != "id" || ack.MessageSubject() != "s" {
		t.Errorf("%+v, %v", ack, err)
	}
	ack, err = c.PublishToSubject(ctx, "wide.a.b", []byte("1"))
	if err != nil || ack.Stream() != "wide" || ack.MessageSubject() != "wide.a.b" || ack.PartitionSubject() != "wide.>" {
		t.Errorf("%+v, %v", ack, err)
	}
	subscribe(t, c, "s", lift.StartAtEarliestReceived()).expect("0")
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := c.PublishToSubject(short, "nobody.listens", []byte("x")); !errors.Is(err, lift.ErrAckTimeout) {
		t.Errorf("nobody listens: %v", err)
	}
	// The ack goes to the publisher's own inbox, too.
	nc := b.plain()
	inbox, err := nc.SubscribeSync("my.inbox")
	if err != nil || nc.Flush() != nil {
		t.Fatal(err)
	}
	if _, err := c.PublishToSubject(ctx, "s", []byte("2"), lift.AckInbox("my.inbox")); err != nil {
		t.Fatal(err)
	}
	if got, err := acked(inbox); err != nil || got.Offset() != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// acked is the next ack that comes to the inbox.
func acked(inbox *nats.Subscription) (*lift.Ack, error) {
	msg, err := inbox.NextMsg(patience)
	if err != nil {
		return nil, err
	}
	return lift.UnmarshalAck(msg.Data)
}

// Those who publish with a plain NATS client: envelopes get their acks, one of each stream; what is none is a message.
func TestPlainPublishers(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "a")
	if err := c.CreateStream(ctx, "a", "b"); err != nil {
		t.Fatal(err)
	}
	nc := b.plain()
	inbox, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	frame := lift.NewMessage([]byte("enveloped"), lift.Key([]byte("k")), lift.AckInbox(inbox.Subject), lift.CorrelationID("c1"), lift.Header("h", []byte("v")))
	for _, payload := range [][]byte{[]byte("plain"), frame, {}} {
		if err := nc.Publish("a", payload); err != nil {
			t.Fatal(err)
		}
	}
	streams := map[string]bool{}
	for range 2 {
		ack, err := acked(inbox)
		if err != nil || ack.Offset() != 1 || ack.CorrelationID() != "c1" {
			t.Fatalf("%+v, %v", ack, err)
		}
		streams[ack.Stream()] = true
	}
	if !streams["a"] || !streams["b"] {
		t.Errorf("acks of %v", streams)
	}
	for _, stream := range []string{"a", "b"} {
		r := subscribe(t, c, stream, lift.StartAtEarliestReceived())
		r.expect("plain")
		if got := r.next(); got.err != nil || string(got.msg.Key()) != "k" || string(got.msg.Headers()["h"]) != "v" || string(got.msg.Value()) != "enveloped" {
			t.Errorf("%s: %+v, %v", stream, got.msg, got.err)
		}
		r.expect("")
	}
}

// A publisher to one of several streams on a subject gets the ack of that stream and no other's (protocol.md 4.8).
func TestSharedSubject(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "a")
	if err := c.CreateStream(ctx, "a", "b"); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		ack, err := c.Publish(ctx, "a", []byte("x"))
		if err != nil || ack.Stream() != "a" || ack.Offset() != int64(i) {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
	// What is published to a is fanned out on its subject, which b records: at most once.
	r := subscribe(t, c, "b", lift.StartAtEarliestReceived())
	r.values(20)
}

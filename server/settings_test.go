package server_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/envelope"
)

func (k *kit) createAs(t *testing.T, config client.StreamConfig) *client.Stream {
	t.Helper()
	s, err := k.client.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A stream with reply puback answers a JetStream client; it may be asked to later, and to stop (interfaces.md 3.11).
func TestStreamAnswersAsJetStream(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.createAs(t, client.StreamConfig{Name: "orders", Subjects: []string{"orders"}})
	js, err := jetstream.New(k.nats)
	if err != nil {
		t.Fatal(err)
	}
	set := func(reply client.Reply) {
		if err := s.Update(t.Context(), func(c *client.StreamConfig) { c.Reply = reply }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.nats.Request("orders", []byte("0"), 50*time.Millisecond); err == nil {
		t.Error("answered without being asked to")
	}
	set(client.ReplyPuback)
	if ack, err := js.Publish(t.Context(), "orders", []byte("1"), jetstream.WithExpectLastSequence(1)); err != nil || ack.Sequence != 2 {
		t.Errorf("%+v, %v", ack, err)
	}
	var refused *jetstream.APIError
	if _, err := js.Publish(t.Context(), "orders", nil, jetstream.WithExpectLastSequence(1)); !errors.As(err, &refused) || refused.ErrorCode != 10071 {
		t.Errorf("wrong sequence: %v", err)
	}
	set(client.ReplyNone)
	if _, err := k.nats.Request("orders", []byte("2"), 50*time.Millisecond); err == nil {
		t.Error("answered still")
	}
	if got := values(read(t, s, 3, client.FromEarliest())); fmt.Sprint(got) != "[0 1 2]" {
		t.Errorf("stored %q", got)
	}
}

// Expected offsets and sizes of messages are the stream's settings.
func TestStreamRefusesEnvelopes(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.createAs(t, client.StreamConfig{Name: "orders", Subjects: []string{"orders"}, RequireExpectedOffset: true, MaxMessageBytes: 2000})
	acks, err := k.nats.SubscribeSync("acks")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		size   int
		expect int64
		err    envelope.AckError
	}{{10, 0, 0}, {10, 0, envelope.IncorrectOffset}, {3000, 1, envelope.TooLarge}, {10, 1, 0}} {
		m := envelope.Message{
			Value: make([]byte, want.size), AckInbox: []byte("acks"), AckPolicy: envelope.AckAll, Expect: envelope.ExpectOffset(want.expect),
		}
		frame, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		k.publish(t, &nats.Msg{Subject: "orders", Data: frame})
		msg, err := acks.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if ack, err := envelope.ParseAck(msg.Data); err != nil || ack.Error != want.err {
			t.Errorf("message %d: %+v, %v", i, ack, err)
		}
	}
	if _, err := k.client.Stream("orders").Publish(t.Context(), make([]byte, 2000)); err != nil {
		t.Errorf("the largest: %v", err)
	}
	if _, err := k.client.Stream("orders").Publish(t.Context(), make([]byte, 4000)); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if gap := lastGap(t, k.client, "orders"); gap == nil || gap.Cause != "too_large" || gap.AtLeast != 1 {
		t.Errorf("gap %+v", gap)
	}
}

// Plain messages are shared out to the partitions of one stream on the same subjects; after a restart each is where it was,
// and so is what comes next.
func TestStreamSharesOut(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.createAs(t, client.StreamConfig{
		Name: "orders", Subjects: []string{"orders.*", "more.>"}, Partitions: 3, PartitionBy: client.PartitionRule{Subject: true},
	})
	publish := func(value string) {
		for i := range 9 {
			k.publish(t, &nats.Msg{Subject: fmt.Sprintf("orders.%d", i), Data: []byte(value)}, &nats.Msg{Subject: fmt.Sprintf("more.%d", i), Data: []byte(value)})
		}
	}
	publish("1")
	first := read(t, s, 18, client.FromEarliest())
	k.Brokers[0].Stop()
	k.Brokers[0].Start()
	k.connect(t)
	publish("2")
	where := map[string]int{}
	count := map[int]int{}
	for _, m := range first {
		where[m.Subject] = m.Partition
	}
	for _, m := range read(t, k.client.Stream("orders"), 36, client.FromEarliest()) {
		if where[m.Subject] != m.Partition {
			t.Errorf("subject %s is in partitions %d and %d", m.Subject, where[m.Subject], m.Partition)
		}
		count[m.Partition]++
	}
	if len(count) != 3 {
		t.Errorf("messages in partitions %v", count)
	}
}

// A stream with fan-out publishes on NATS what clients publish to it: others hear it, another stream records it, and the
// stream itself does not record it again (2.1).
func TestStreamFansOut(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.createAs(t, client.StreamConfig{Name: "orders", Subjects: []string{"orders"}, Fanout: true})
	other := k.createAs(t, client.StreamConfig{Name: "all", Subjects: []string{">"}})
	heard, err := k.nats.SubscribeSync("orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.nats.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := s.Publish(t.Context(), fmt.Appendf(nil, "%d", i), client.Key("k")); err != nil {
			t.Fatal(err)
		}
		if msg, err := heard.NextMsg(patience); err != nil || string(msg.Data) != fmt.Sprint(i) {
			t.Fatalf("heard %+v, %v", msg, err)
		}
	}
	k.publish(t, &nats.Msg{Subject: "orders", Data: []byte("plain")})
	for name, stream := range map[string]*client.Stream{"orders": s, "all": other} {
		got := read(t, stream, 4, client.FromEarliest())
		if fmt.Sprint(values(got)) != "[0 1 2 plain]" || string(got[0].Key) != "k" || got[3].Key != nil || len(got[0].Headers) != 0 {
			t.Errorf("stream %s: %+v", name, got)
		}
	}
}

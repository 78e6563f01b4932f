package capture_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trestlehq/trestle/server/internal/capture"
)

// answering is a stream that answers as JetStream does.
func answering(stream, subject string) capture.Target {
	t := target(stream, subject)
	t.Settings.Set(capture.Settings{Stream: stream, PubAck: true, MaxMessageBytes: 1000})
	return t
}

func (w *world) jetStream() jetstream.JetStream {
	w.t.Helper()
	js, err := jetstream.New(w.client)
	if err != nil {
		w.t.Fatal(err)
	}
	return js
}

// An unmodified JetStream client publishes to a NATS without JetStream, and gets what it knows (interfaces.md 3.11).
func TestPubAck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.subscribe(answering("s", "orders"), w.lead())
	js := w.jetStream()
	for _, step := range []struct {
		options []jetstream.PublishOpt
		want    jetstream.PubAck
		err     jetstream.ErrorCode
	}{
		{nil, jetstream.PubAck{Stream: "s", Sequence: 1}, 0},
		{[]jetstream.PublishOpt{jetstream.WithMsgID("a")}, jetstream.PubAck{Stream: "s", Sequence: 2}, 0},
		{[]jetstream.PublishOpt{jetstream.WithMsgID("a")}, jetstream.PubAck{Stream: "s", Sequence: 2, Duplicate: true}, 0},
		{[]jetstream.PublishOpt{jetstream.WithExpectLastSequence(2)}, jetstream.PubAck{Stream: "s", Sequence: 3}, 0},
		{[]jetstream.PublishOpt{jetstream.WithExpectLastSequence(2)}, jetstream.PubAck{}, 10071},
		{[]jetstream.PublishOpt{jetstream.WithExpectStream("s")}, jetstream.PubAck{Stream: "s", Sequence: 4}, 0},
		{[]jetstream.PublishOpt{jetstream.WithExpectStream("other")}, jetstream.PubAck{}, 10060},
		{[]jetstream.PublishOpt{jetstream.WithExpectLastMsgID("a")}, jetstream.PubAck{}, 10003},
		{[]jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(1)}, jetstream.PubAck{}, 10003},
		{nil, jetstream.PubAck{Stream: "s", Sequence: 5}, 0},
	} {
		got, err := js.Publish(t.Context(), "orders", []byte("v"), step.options...)
		var refused *jetstream.APIError
		if step.err != 0 {
			if !errors.As(err, &refused) || refused.ErrorCode != step.err {
				t.Errorf("want error %d: %v", step.err, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("want %+v: %v", step.want, err)
			continue
		}
		if diff := cmp.Diff(step.want, *got); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
	}
	var refused *jetstream.APIError
	if _, err := js.Publish(t.Context(), "orders", make([]byte, 1001)); !errors.As(err, &refused) || refused.ErrorCode != 10054 {
		t.Errorf("too large: %v", err)
	}
}

// What a publisher asks JetStream for and is not done here is refused, lest it is believed (interfaces.md 3.11). Where no
// answer is asked for the message is stored as it came, unless it is a part of an atomic batch.
func TestPubAckRefusesWishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kept := newMemory()
	w.subscribe(answering("s", "orders"), kept)
	js := w.jetStream()
	for _, name := range []string{
		"Nats-TTL", "Nats-Rollup", "Nats-Incr", "Nats-Schedule", "Nats-Schedule-Target", "Nats-Batch-Id", "Nats-Batch-Sequence",
		"Nats-Batch-Commit", "Nats-Expected-Last-Msg-Id", "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject",
	} {
		var refused *jetstream.APIError
		_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "orders", Header: nats.Header{name: {"1"}}})
		if !errors.As(err, &refused) || refused.ErrorCode != 10003 || !strings.Contains(refused.Description, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.publish(
		&nats.Msg{Subject: "orders", Header: nats.Header{"Nats-Batch-Id": {"b"}}},
		&nats.Msg{Subject: "orders", Data: []byte("stored"), Header: nats.Header{"Nats-TTL": {"1s"}}},
	)
	if got := kept.awaitRecords(t, 1); got[0].value != "stored" {
		t.Errorf("stored: %+v", got)
	}
}

// The same for many at once: each answer is for its message.
func TestPubAckAsync(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.subscribe(answering("s", "orders"), w.lead())
	js := w.jetStream()
	var futures []jetstream.PubAckFuture
	const n = 2000
	for i := range n {
		f, err := js.PublishAsync("orders", fmt.Appendf(nil, "%d", i))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	<-js.PublishAsyncComplete()
	for i, f := range futures {
		select {
		case ack := <-f.Ok():
			if ack.Sequence != uint64(i+1) {
				t.Fatalf("message %d has sequence %d", i, ack.Sequence)
			}
		case err := <-f.Err():
			t.Fatal(err)
		}
	}
}

// A stream that is not asked to does not answer: real responders may be there; nor are NATS's own subjects answered.
func TestNoPubAck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	quiet, loud := newMemory(), newMemory()
	w.subscribe(target("quiet", "q"), quiet)
	w.subscribe(answering("loud", "l"), loud)
	w.publish(
		&nats.Msg{Subject: "q", Reply: "answers"}, &nats.Msg{Subject: "q", Reply: "a", Header: nats.Header{"Nats-Expected-Stream": {"x"}}},
		&nats.Msg{Subject: "l"}, &nats.Msg{Subject: "l", Reply: "$X.y"}, &nats.Msg{Subject: "l", Reply: "answers"},
	)
	for i, got := range append(quiet.awaitRecords(t, 2), loud.awaitRecords(t, 3)...) {
		if asks := got.captured.OnAck != nil; asks != (i == 4) {
			t.Errorf("message %d is answered: %v", i, asks)
		}
	}
}

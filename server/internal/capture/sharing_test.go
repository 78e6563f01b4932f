package capture_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/capture"
)

// What one publisher sends to several subjects of a stream is captured in its order.
func TestOrderOverSubjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sink := newMemory()
	w.subscribe(target("s", "a.>", "b.*", "c"), sink)
	const n = 5000
	for i := range n {
		if err := w.client.Publish([]string{"a.x.y", "b.z", "c"}[i%3], fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range sink.awaitRecords(t, n) {
		if r.value != fmt.Sprint(i) {
			t.Fatalf("message %s came as number %d", r.value, i)
		}
	}
}

// shared is a stream of n partitions that share their subjects.
func shared(n int32, by capture.Sharing, subjects ...string) []capture.Target {
	settings := &capture.Live{}
	settings.Set(capture.Settings{Stream: "s", Partitions: n})
	var all []capture.Target
	for i := range n {
		t := target("s", subjects...)
		t.Partition, t.Shared, t.By, t.Settings = i, true, by, settings
		all = append(all, t)
	}
	return all
}

// A broker subscribes once per stream and subject and shares out; which partition a message is for is the same for ever: the
// vectors are those of other clients (interfaces.md 3.3, 3.8).
func TestSharing(t *testing.T) {
	t.Parallel()
	hash := []string{"", "key", "2ndPartition", "user-1", "order:42", "hello"}
	of3 := []int{2, 1, 1, 2, 0, 2}
	header := func(name, value string) nats.Header { return nats.Header{name: {value}} }
	for name, c := range map[string]struct {
		by  capture.Sharing
		msg func(key string) *nats.Msg
	}{
		"subject": {capture.Sharing{Subject: true}, func(key string) *nats.Msg {
			return &nats.Msg{Subject: key, Header: header(batch.MessageIDHeader, "id")}
		}},
		"token":            {capture.Sharing{Token: 2}, func(key string) *nats.Msg { return &nats.Msg{Subject: "x." + key + ".y"} }},
		"header":           {capture.Sharing{Header: "h"}, func(key string) *nats.Msg { return &nats.Msg{Subject: "x", Header: header("h", key)} }},
		"no header but id": {capture.Sharing{Header: "h"}, func(key string) *nats.Msg { return &nats.Msg{Subject: "x", Header: header(batch.MessageIDHeader, key)} }},
		"no header, no id": {capture.Sharing{Header: "h"}, func(key string) *nats.Msg { return &nats.Msg{Subject: key} }},
		"no header but key": {capture.Sharing{Header: "h"}, func(key string) *nats.Msg {
			return &nats.Msg{Subject: "x", Data: frame(t, envelope.Message{Key: []byte(key)})}
		}},
		"no token but a key": {capture.Sharing{Token: 9}, func(key string) *nats.Msg {
			return &nats.Msg{Subject: "x", Data: frame(t, envelope.Message{Key: []byte(key)})}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			sinks := []*memory{newMemory(), newMemory(), newMemory()}
			for i, target := range shared(3, c.by, ">") {
				w.subscribe(target, sinks[i])
			}
			if n := w.server.NumSubscriptions(); n != 1 {
				t.Errorf("%d subscriptions", n)
			}
			want := make([]int, 3)
			for i, key := range hash {
				if key == "" && !strings.HasPrefix(name, "header") {
					continue
				}
				w.publish(c.msg(key))
				want[of3[i]]++
			}
			for i, sink := range sinks {
				sink.awaitRecords(t, want[i])
			}
		})
	}
}

// While partitions of a stream come and go, those that stay capture what is theirs; the last one ends the subscription.
func TestSharedSubscriptionLastsAsLongAsOneNeedsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sinks := []*memory{newMemory(), newMemory()}
	var subs []*capture.Subscription
	targets := shared(2, capture.Sharing{Subject: true}, "*")
	for i, target := range targets {
		subs = append(subs, w.subscribe(target, sinks[i]))
	}
	publish := func() {
		for i := range 10 {
			w.publish(&nats.Msg{Subject: fmt.Sprint(i)})
		}
	}
	publish()
	w.drain(subs[0])
	first := len(sinks[0].records)
	publish()
	sinks[1].awaitRecords(t, 2*(10-first))
	if first == 0 || first == 10 || len(sinks[0].records) != first {
		t.Errorf("partition 0 had %d records when it left, and has %d", first, len(sinks[0].records))
	}
	subs[0] = w.subscribe(targets[0], sinks[0])
	publish()
	w.drain(subs[1])
	w.drain(subs[0])
	if len(sinks[0].records) != 2*first || len(sinks[1].records) != 3*(10-first) {
		t.Errorf("%d and %d records", len(sinks[0].records), len(sinks[1].records))
	}
	if n := w.server.NumSubscriptions(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
	if c := w.Counters(); c.Unrouted != uint64(first) {
		t.Errorf("counters %+v", c)
	}
}

// Drain returns when all is captured that was published before, under load and with others beside it.
func TestDrainLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for round := range 5 {
		sink, other := newMemory(), newMemory()
		sub, beside := w.subscribe(target("s", "orders"), sink), w.subscribe(target("o", "others"), other)
		const n = 20_000
		for i := range n {
			if err := w.client.Publish([]string{"orders", "others"}[i%2], nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.client.Flush(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { w.drain(beside) })
		w.drain(sub)
		wg.Wait()
		if len(sink.records) != n/2 || len(other.records) != n/2 {
			t.Fatalf("round %d: %d and %d captured", round, len(sink.records), len(other.records))
		}
	}
}

// Of several streams in a queue group each message reaches one (2.6).
func TestQueueGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	both := newMemory()
	for _, name := range []string{"a", "b"} {
		s := target(name, "work.>")
		s.Group = "workers"
		w.subscribe(s, both)
	}
	alone := newMemory()
	w.subscribe(target("c", "work.*"), alone)
	const n = 200
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%03d", i))
		w.publish(&nats.Msg{Subject: "work.x", Data: []byte(want[i])})
	}
	for _, sink := range []*memory{both, alone} {
		var got []string
		for _, r := range sink.awaitRecords(t, n) {
			got = append(got, r.value)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("captured (-want +got):\n%s", diff)
		}
	}
}

// A drain that is given up says so.
func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sub := w.subscribe(target("s", "orders"), newMemory())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sub.Drain(ctx); err == nil {
		t.Error("drained")
	}
}

// A stream that grows shares out among its new partitions once they capture; until then nothing is lost (3.15).
func TestSharedStreamGrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sinks := []*memory{newMemory(), newMemory(), newMemory()}
	for i, target := range shared(1, capture.Sharing{Subject: true}, "*") {
		w.subscribe(target, sinks[i])
	}
	total := func() (n int) {
		for _, sink := range sinks {
			sink.mu.Lock()
			n += len(sink.records)
			sink.mu.Unlock()
		}
		return n
	}
	published := 0
	publish := func() {
		for i := range 30 {
			w.publish(&nats.Msg{Subject: fmt.Sprint(i)})
		}
		published += 30
	}
	publish()
	grown := shared(3, capture.Sharing{Subject: true}, "*")
	late := w.subscribe(grown[2], sinks[2])
	publish()
	sinks[0].awaitRecords(t, published) // partition 1 is not there yet: nothing of it can be missed
	w.subscribe(grown[1], sinks[1])
	publish()
	w.drain(late)
	if total() != published || len(sinks[1].records) == 0 || len(sinks[2].records) == 0 {
		t.Errorf("%d of %d captured: %d, %d, %d", total(), published, len(sinks[0].records), len(sinks[1].records), len(sinks[2].records))
	}
}

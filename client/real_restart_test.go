package client_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/trestlehq/trestle/client"
)

// TestRealProducerOutlivesItsBroker is S11 over restarts: what was on its way when the broker stopped is sent again when
// it is back, and stored once, in order; readers go on where they were.
func TestRealProducerOutlivesItsBroker(t *testing.T) {
	t.Parallel()
	const rounds, each = 4, 3000
	cluster, s := stream(t, 1)
	broker, ctx := cluster.Brokers[0], within(t)
	sub := subscribe(t, s, client.FromEarliest(), client.UntilOffset(rounds*each))
	p := s.Producer(client.ProducerConfig{MaxBufferedBytes: 4 << 10})
	var want []string
	for i := range rounds * each {
		want = append(want, fmt.Sprintf("message %d", i))
	}
	middle, sent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		for i, value := range want {
			if i%each == each/2 {
				middle <- struct{}{}
			}
			p.Send(ctx, client.Message{Value: []byte(value)})
		}
	}()
	for range rounds { // while messages are on their way
		<-middle
		broker.Stop()
		broker.Start()
	}
	<-sent
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	if got, err := collect(ctx, sub); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d messages (%v), want these %d in order", len(got), err, len(want))
	}
	if info, err := s.Info(ctx); err != nil || info.Partitions[0].NextOffset != rounds*each {
		t.Errorf("got %+v, %v, want %d messages", info.Partitions, err, rounds*each)
	}
}

// TestRealSubscriptionOverALinkThatBreaks: a reader with much to catch up with gets on, though no connection lives for one
// response of the usual size.
func TestRealSubscriptionOverALinkThatBreaks(t *testing.T) {
	t.Parallel()
	const batches, each = 60, 10
	cluster, s := stream(t, 1)
	ctx := within(t)
	for i := range batches {
		messages := make([]client.Message, each)
		for j := range messages {
			messages[j].Value = fmt.Appendf(make([]byte, 0, 1200), "%01200d", i*each+j)
		}
		if _, err := s.PublishBatch(ctx, messages); err != nil {
			t.Fatal(err)
		}
	}
	proxy := newProxy(t, cluster.Addrs(), func() int64 { return 24 << 10 })
	sub, err := connect(t, proxy.addr).Stream("orders").Subscribe(ctx, client.FromEarliest(), client.UntilLatest())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	n := 0
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			t.Fatalf("%v, after %d messages", err, n)
		}
		if want := fmt.Sprintf("%01200d", n); string(m.Value) != want || m.Offset != int64(n) {
			t.Fatalf("message %d is at offset %d", n, m.Offset)
		}
		n++
	}
	if n != batches*each || proxy.connections() < 3 {
		t.Errorf("got %d messages over %d connections, want %d over several", n, proxy.connections(), batches*each)
	}
}

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
	var got []string
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d messages, want these %d in order", len(got), len(want))
	}
	if info, err := s.Info(ctx); err != nil || info.Partitions[0].NextOffset != rounds*each {
		t.Errorf("got %+v, %v, want %d messages", info.Partitions, err, rounds*each)
	}
}

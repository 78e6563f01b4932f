package client_test

import (
	"testing"

	"github.com/trestlehq/trestle/client"
)

// TestSendCosts: a message that is sent costs much less than one allocation, its future and what the server does included,
// also where it has text.
func TestSendCosts(t *testing.T) {
	value := make([]byte, 128)
	for name, m := range map[string]client.Message{
		"value": {Value: value},
		"text": {
			Value: value, Subject: "orders.new", Reply: "answers",
			Headers: []client.HeaderField{{Name: "Content-Type", Value: []byte("text")}, {Name: "Trace", Value: []byte("1")}},
		},
	} {
		server := newFakeServer("orders", 1)
		p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{})
		ctx := within(t)
		const messages = 5000
		perRun := testing.AllocsPerRun(5, func() {
			for range messages {
				p.Send(ctx, m)
			}
			if err := p.Flush(ctx); err != nil {
				t.Error(err)
			}
		})
		if each := perRun / messages; each > 0.5 {
			t.Errorf("%s: %.2f allocations a message, want 0.5 at most", name, each)
		} else {
			t.Logf("%s: %.2f allocations a message", name, each)
		}
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

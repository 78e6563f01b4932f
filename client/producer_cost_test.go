package client_test

import (
	"testing"

	"github.com/trestlehq/trestle/client"
)

// TestSendCosts: a message that is sent costs less than one allocation, its future and what the server does included.
func TestSendCosts(t *testing.T) {
	server := newFakeServer("orders", 1)
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{})
	ctx, value := within(t), make([]byte, 128)
	const messages = 5000
	perRun := testing.AllocsPerRun(5, func() {
		for range messages {
			p.Send(ctx, client.Message{Value: value})
		}
		if err := p.Flush(ctx); err != nil {
			t.Error(err)
		}
	})
	if each := perRun / messages; each > 1 {
		t.Errorf("%.2f allocations a message, want 1 at most", each)
	} else {
		t.Logf("%.2f allocations a message", each)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

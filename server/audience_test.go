package server

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
)

// audience is an embedded NATS with subscriptions, and as many subjects that it remembers as it can.
func audience(tb testing.TB, subscriptions int) *embeddedNATS {
	tb.Helper()
	n, err := startNATS(tb.Context(), "127.0.0.1:0", "n", slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(n.stop)
	nc, err := nats.Connect("nats://" + n.address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	for i := range subscriptions {
		if _, err := nc.Subscribe(fmt.Sprintf("a.%d", i), func(*nats.Msg) {}); err != nil {
			tb.Fatal(err)
		}
		if err := nc.Publish(fmt.Sprintf("a.%d", i), nil); err != nil {
			tb.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		tb.Fatal(err)
	}
	return n
}

// All that is subscribed to is told, whatever its number, and each change of it.
func TestAudience(t *testing.T) {
	t.Parallel()
	const subscriptions = 3000
	n := audience(t, subscriptions)
	all, before, err := n.Subscriptions()
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, s := range all {
		told[s.Subject] = s.Client > 0 && s.Number != ""
	}
	for i := range subscriptions {
		if subject := fmt.Sprintf("a.%d", i); !told[subject] {
			t.Fatalf("%s is not told, of %d", subject, len(all))
		}
	}
	nc, err := nats.Connect("nats://" + n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("b")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{nc.Flush, sub.Unsubscribe} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		after, err := n.State()
		if err != nil || after.Begun+after.Ended != before.Begun+before.Ended+1 {
			t.Errorf("after a change %+v (%v), before %+v", after, err, before)
		}
		before = after
	}
}

// What fan-out asks of each chunk, and what it costs when somebody has come or gone.
func BenchmarkAudience(b *testing.B) {
	const subscriptions = 10_000
	n := audience(b, subscriptions)
	b.Run("state", func(b *testing.B) {
		for b.Loop() {
			if _, err := n.State(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(fmt.Sprintf("subscriptions-%d", subscriptions), func(b *testing.B) {
		for b.Loop() {
			if _, _, err := n.Subscriptions(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server"
)

// besideNATS starts a NATS server that is not the broker's, and says how a broker is to use it.
func besideNATS(t *testing.T) (*natsserver.Server, server.Config) {
	t.Helper()
	n, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoSystemAccount: true})
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(func() { n.Shutdown(); n.WaitForShutdown() })
	if !n.ReadyForConnections(patience) {
		t.Fatal("NATS did not start")
	}
	config := server.DefaultConfig()
	config.DataDir, config.NATSURLs = t.TempDir(), []string{n.ClientURL()}
	config.Listen, config.HTTPListen, config.PeerListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	return n, config
}

// run starts a broker and connects to it. What it returns ends both.
func run(t *testing.T, config server.Config) (*client.Client, func()) {
	t.Helper()
	s, err := server.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(t.Context(), s.Ready().GRPC)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() {
		_ = c.Close()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

func lastGap(t *testing.T, c *client.Client, stream string) *client.Gap {
	t.Helper()
	info, err := c.Stream(stream).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.Partitions[0].LastGap
}

// What is published to a NATS of its own while the broker is stopped is missing: a gap says from when to when, and the first
// message after the start is recorded (2.9, S13).
func TestMessagesMissedWhileStopped(t *testing.T) {
	t.Parallel()
	n, config := besideNATS(t)
	publisher, err := nats.Connect(n.ClientURL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	publish := func(value string) time.Time {
		if err := publisher.Publish("orders", []byte(value)); err != nil {
			t.Fatal(err)
		}
		if err := publisher.FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	c, stop := run(t, config)
	if _, err := c.CreateStream(t.Context(), client.StreamConfig{Name: "orders", Subjects: []string{"orders"}}); err != nil {
		t.Fatal(err)
	}
	publish("before")
	if gap := lastGap(t, c, "orders"); gap != nil {
		t.Errorf("gap %+v", gap)
	}
	stop()
	first := publish("missed")
	last := publish("missed, too")
	c, stop = run(t, config)
	defer stop()
	ready := time.Now()
	publish("after")
	got := read(t, c.Stream("orders"), 2, client.FromEarliest())
	if got[0].Offset != 0 || string(got[0].Value) != "before" || got[1].Offset != 1 || string(got[1].Value) != "after" {
		t.Errorf("stored %q", values(got))
	}
	gap := lastGap(t, c, "orders")
	if gap == nil || gap.Cause != "restart" {
		t.Fatalf("gap %+v", gap)
	}
	info, err := c.Stream("orders").Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Partitions[0].Gaps != 2 || gap.From.Before(last) || gap.To.After(ready) || gap.To.Before(gap.From) {
		t.Errorf("%d gaps, the last %+v; messages are missing from %v to %v", info.Partitions[0].Gaps, gap, first, last)
	}
}

// Also where everything was deleted before, gaps say what is missing (S13).
func TestMessagesMissedAfterAllWereDeleted(t *testing.T) {
	t.Parallel()
	n, config := besideNATS(t)
	publisher, err := nats.Connect(n.ClientURL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	c, stop := run(t, config)
	orders, err := c.CreateStream(t.Context(), client.StreamConfig{Name: "orders", Subjects: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orders.Publish(t.Context(), []byte("deleted")); err != nil {
		t.Fatal(err)
	}
	if _, err := orders.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := errors.Join(publisher.Publish("orders", []byte("missed")), publisher.FlushTimeout(patience)); err != nil {
		t.Fatal(err)
	}
	c, stop = run(t, config)
	defer stop()
	info, err := c.Stream("orders").Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := info.Partitions[0]; p.Gaps != 2 || p.LastGap.Cause != "restart" {
		t.Errorf("%d gaps, the last %+v; want one up to the start and one until it captures", p.Gaps, p.LastGap)
	}
}

// Somebody who publishes to the embedded NATS before the broker captures is told of by a gap; otherwise a start after a clean
// stop writes none.
func TestMessagesMissedWhileStarting(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "orders", "orders")
	k.publish(t, &nats.Msg{Subject: "orders", Data: []byte("before")})
	k.nats.Close()
	k.Brokers[0].Stop()
	k.Brokers[0].Start()
	k.connect(t)
	if gap := lastGap(t, k.client, "orders"); gap != nil {
		t.Errorf("gap %+v", gap)
	}
	for attempt := range 20 {
		if missedEarly(t, k, fmt.Sprintf("early %d", attempt)) {
			if gap := lastGap(t, k.client, "orders"); gap == nil || gap.Cause != "restart" {
				t.Errorf("attempt %d: gap %+v", attempt, gap)
			}
			return
		}
	}
	t.Error("the publisher was never early enough: none of its messages was missed")
}

// missedEarly starts the broker again while somebody publishes as soon as that can be, and says whether NATS took the message
// and the broker missed it. The kit is connected to the broker then.
func missedEarly(t *testing.T, k *kit, message string) bool {
	t.Helper()
	k.nats.Close()
	k.Brokers[0].Stop()
	quit, published := make(chan struct{}), make(chan bool, 1)
	address := k.NATS()[len("nats://"):]
	go func() { published <- publishEarly(address, message, quit) }()
	k.Brokers[0].Start()
	close(quit)
	taken := <-published
	k.connect(t)
	k.publish(t, &nats.Msg{Subject: "orders", Data: []byte("after " + message)})
	return taken && !slices.Contains(k.storedUntil(t, "orders", "after "+message), message)
}

// storedUntil waits until a stream has stored a value, and returns those before it: all that came first is stored by then.
func (k *kit) storedUntil(t *testing.T, stream, last string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sub, err := k.client.Stream(stream).Subscribe(ctx, client.FromEarliest())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	for stored := []string(nil); ; {
		m, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("%q is not stored behind %q: %v", last, stored, err)
		}
		if string(m.Value) == last {
			return stored
		}
		stored = append(stored, string(m.Value))
	}
}

// publishEarly publishes as soon as somebody listens, until quit is closed. It says whether NATS has taken the message.
func publishEarly(address, message string, quit <-chan struct{}) bool {
	for {
		select {
		case <-quit:
			return false
		default:
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprintf(conn, "CONNECT {\"verbose\":false}\r\nPUB orders %d\r\n%s\r\nPING\r\n", len(message), message)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			if lines.Text() == "PONG" {
				return true
			}
		}
		return false
	}
}

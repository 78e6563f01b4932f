package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

// patience is how long anything may take that a test waits for, on a machine that has no time for it.
const patience = time.Minute

// kit is a broker with a client of each kind.
type kit struct {
	*servertest.Cluster
	client *client.Client
	nats   *nats.Conn
}

func start(t *testing.T) *kit {
	t.Helper()
	k := &kit{Cluster: servertest.Start(t, 1)}
	k.connect(t)
	return k
}

func (k *kit) connect(t *testing.T) {
	t.Helper()
	var err error
	if k.client, err = client.Connect(t.Context(), k.Addrs()); err != nil {
		t.Fatal(err)
	}
	c := k.client
	t.Cleanup(func() { _ = c.Close() }) // closed twice where a test does it itself
	closed := make(chan struct{})
	if k.nats, err = nats.Connect(k.NATS(), nats.Timeout(patience), nats.ClosedHandler(func(*nats.Conn) { close(closed) })); err != nil {
		t.Fatal(err)
	}
	n := k.nats
	t.Cleanup(func() { n.Close(); <-closed })
}

func (k *kit) create(t *testing.T, name string, subjects ...string) *client.Stream {
	t.Helper()
	s, err := k.client.CreateStream(t.Context(), client.StreamConfig{Name: name, Subjects: subjects})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (k *kit) publish(t *testing.T, msgs ...*nats.Msg) {
	t.Helper()
	for _, m := range msgs {
		if err := k.nats.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.nats.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
}

// publishRaw publishes a message with a header block that NATS clients refuse to make, over a connection of its own.
func (k *kit) publishRaw(t *testing.T, subject, headers, payload string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(k.NATS(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB %s %d %d\r\n%s%s\r\nPING\r\n",
		subject, len(headers), len(headers)+len(payload), headers, payload)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if lines.Text() == "PONG" {
			return
		}
	}
	t.Fatalf("NATS did not answer: %v", lines.Err())
}

// read reads n messages, or all up to the stop position if n is negative.
func read(t *testing.T, s *client.Stream, n int, opts ...client.SubscribeOption) []client.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sub, err := s.Subscribe(ctx, opts...)
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	defer sub.Stop()
	var got []client.Message
	for len(got) != n {
		m, err := sub.Next(ctx)
		if errors.Is(err, io.EOF) && n < 0 {
			break
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", len(got), err)
		}
		got = append(got, *m)
	}
	return got
}

func values(msgs []client.Message) []string {
	var all []string
	for _, m := range msgs {
		all = append(all, string(m.Value))
	}
	return all
}

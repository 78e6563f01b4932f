// Package servertest runs real brokers in tests: ports of their own, folders of their own, an embedded NATS.
//
//	cluster := servertest.Start(t, 1)
//	c, err := client.Connect(t.Context(), cluster.Addrs())
package servertest

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/trestlehq/trestle/server"
)

// shutdownTimeout is how long a broker may take to stop.
const shutdownTimeout = 10 * time.Second

// Cluster is a number of brokers that belong together.
type Cluster struct {
	Brokers []*Broker
}

// Broker of a cluster. Its folder lasts as long as the test, so it can be stopped and started again.
type Broker struct {
	*server.Server
	t      testing.TB
	config server.Config
}

// Start starts n brokers, which is 1 as long as there is no cluster, and stops them when the test ends.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	if n != 1 {
		t.Fatalf("servertest: %d brokers: a cluster is not built yet; start 1", n)
	}
	config := server.DefaultConfig()
	config.DataDir = t.TempDir()
	config.Listen, config.HTTPListen, config.PeerListen, config.NATSListen = FreeAddress(t), FreeAddress(t), FreeAddress(t), FreeAddress(t)
	config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	b := &Broker{t: t, config: config}
	b.Start()
	t.Cleanup(b.Stop)
	return &Cluster{Brokers: []*Broker{b}}
}

// Addrs is what a client connects to.
func (c *Cluster) Addrs() string {
	addrs := make([]string, len(c.Brokers))
	for i, b := range c.Brokers {
		addrs[i] = b.Ready().GRPC
	}
	return strings.Join(addrs, ",")
}

// NATS is the URL that publishers connect to.
func (c *Cluster) NATS() string { return c.Brokers[0].Ready().NATS }

// Start starts the broker on its folder, with the same ports each time.
func (b *Broker) Start() {
	b.t.Helper()
	s, err := server.Start(b.t.Context(), b.config)
	if err != nil {
		b.t.Fatalf("starting a broker: %v", err)
	}
	b.Server = s
}

// Stop stops the broker and waits for it. Stopping twice is no error.
func (b *Broker) Stop() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.t.Context()), shutdownTimeout)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		b.t.Errorf("stopping a broker: %v", err)
	}
}

// DataDir is the folder of the broker.
func (b *Broker) DataDir() string { return b.config.DataDir }

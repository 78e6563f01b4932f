package server_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/server"
)

// A broker that cannot start says what is in its way and what to do about it, and holds on to nothing.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	k := start(t)
	taken := k.Brokers[0].Ready()
	base := server.DefaultConfig()
	base.DataDir, base.Logger = t.TempDir(), slog.New(slog.DiscardHandler)
	base.Listen, base.HTTPListen, base.PeerListen, base.NATSListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	for name, c := range map[string]struct {
		change func(*server.Config)
		want   []string
	}{
		"gRPC port":      {func(c *server.Config) { c.Listen = taken.GRPC }, []string{taken.GRPC, "in use", "--listen"}},
		"HTTP port":      {func(c *server.Config) { c.HTTPListen = taken.HTTP }, []string{taken.HTTP, "in use", "--http"}},
		"peer port":      {func(c *server.Config) { c.PeerListen = taken.Peer }, []string{taken.Peer, "in use", "--peer"}},
		"NATS port":      {func(c *server.Config) { c.NATSListen = strings.TrimPrefix(taken.NATS, "nats://") }, []string{"in use", "--nats-listen", taken.NATS}},
		"second process": {func(c *server.Config) { c.DataDir = taken.DataDir }, []string{taken.DataDir, "another process", "--data-dir"}},
		"a WebSocket":    {func(c *server.Config) { c.NATSURLs = []string{"ws://127.0.0.1:1"} }, []string{"ws://127.0.0.1:1", "WebSocket", "tls://HOST:PORT"}},
		"no NATS":        {func(c *server.Config) { c.NATSURLs = []string{"nats://127.0.0.1:1"} }, []string{"nats://127.0.0.1:1", "is a NATS server listening there"}},
	} {
		config := base
		c.change(&config)
		s, err := server.Start(t.Context(), config)
		if err == nil {
			_ = s.Shutdown(context.WithoutCancel(t.Context()))
			t.Errorf("%s: it started", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want %q in it", name, err, want)
			}
		}
	}
	s, err := server.Start(t.Context(), base) // nothing that was refused is in its way
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/trestlehq/trestle/server"
)

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A broker that starts and stops in order warns of nothing.
func TestQuietStart(t *testing.T) {
	t.Parallel()
	config := server.DefaultConfig()
	config.DataDir = t.TempDir()
	config.Listen, config.HTTPListen, config.PeerListen, config.NATSListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	for _, life := range []string{"first", "second"} {
		var log, all lockedBuffer
		config.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if life == "second" {
			config.Logger = slog.New(slog.NewTextHandler(&all, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		s, err := server.Start(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); got != "" {
			t.Errorf("the %s life warned:\n%s", life, got)
		}
		if life == "second" && !strings.Contains(all.String(), `level=DEBUG msg="heartbeat timeout reached`) {
			t.Errorf("the election is not in the log of all:\n%s", all.String())
		}
	}
}

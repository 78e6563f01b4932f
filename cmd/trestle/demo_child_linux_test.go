package main

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestServerDiesWithTheDemo: not even kill -9 of a demo leaves its server behind.
func TestServerDiesWithTheDemo(t *testing.T) {
	t.Parallel()
	tryDemos(t, killDemo)
}

func killDemo(t *testing.T) bool {
	t.Helper()
	demo := startDemo(t, "NATS on nats://")
	// A connection of ours ends when the server does.
	conn, refused := net.Dial("tcp", demo.server)
	if refused == nil {
		defer conn.Close()
	}
	if !demo.end(os.Kill) {
		return false
	}
	if refused != nil {
		t.Fatal(refused)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("got %v, want the end of the connection", err)
	}
	if demo.cmd.ProcessState.Success() {
		t.Error("got exit code 0 of a demo that was killed")
	}
	return true
}

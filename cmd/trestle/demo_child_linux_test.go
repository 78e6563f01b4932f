package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestServerDiesWithTheDemo: not even kill -9 of a demo leaves its server behind.
func TestServerDiesWithTheDemo(t *testing.T) {
	t.Parallel()
	for range demosTried {
		if killDemo(t) {
			return
		}
	}
	t.Errorf("each of %d demos came to its end", demosTried)
}

// killDemo says whether the demo was not over before.
func killDemo(t *testing.T) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), "demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	address := ""
	for address == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if _, rest, ok := strings.Cut(line, "NATS on nats://"); ok {
			address = strings.TrimSpace(rest)
		}
	}
	// A connection of ours ends when the server does.
	conn, refused := net.Dial("tcp", address)
	if refused == nil {
		defer conn.Close()
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(lines)
	if err != nil {
		t.Error(err)
	}
	ended := cmd.Wait()
	if strings.Contains(string(said), overInTime) {
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
	if ended == nil {
		t.Error("got exit code 0 of a demo that was killed")
	}
	return true
}

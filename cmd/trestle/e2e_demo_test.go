package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestDemoAsAProcess: all of it, and nothing left behind.
func TestDemoAsAProcess(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), binary(t), "demo")
	// A configuration of the user's own is not the demo's.
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "TRESTLE_NATS=nats://"+nobody, "TRESTLE_ADDR="+nobody)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"5,001 published", "every byte as published", "kill -9", "acked at their offsets", "exit code 0", overInTime} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got\n%s\nwant %q in it", out, want)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v left behind, want nothing", left, err)
	}
}

// demosTried is how many demos are run at most until one is not over before it is told to end: each takes half a second, and a
// busy machine may be as late as that.
const demosTried = 10

// overInTime is what a demo says last.
const overInTime = "Nothing acked was lost"

// TestDemoInterrupted: Ctrl-C in the middle leaves neither a folder nor a server.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for range demosTried {
		if interruptDemo(t) {
			return
		}
	}
	t.Errorf("each of %d demos came to its end", demosTried)
}

// interruptDemo says whether the demo was not over before.
func interruptDemo(t *testing.T) bool {
	t.Helper()
	tmp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), binary(t), "demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	var address string
	for address == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if _, rest, ok := strings.Cut(line, "gRPC on "); ok {
			address, _, _ = strings.Cut(rest, ",")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
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
	if cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("got %v, want exit code 1", ended)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v left behind, want nothing", left, err)
	}
	if got := call(t, nil, "stream", "ls", "--addr", address); got.code != exitFailed {
		t.Errorf("got %+v of the server of a demo that was interrupted, want none", got)
	}
	return true
}

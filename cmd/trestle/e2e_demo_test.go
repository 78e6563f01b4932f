package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
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

// overInTime is what a demo says last.
const overInTime = "Nothing acked was lost"

// TestDemoInterrupted: Ctrl-C in the middle leaves neither a folder nor a server.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	tryDemos(t, interruptDemo)
}

func interruptDemo(t *testing.T) bool {
	t.Helper()
	demo := startDemo(t, "gRPC on ")
	if !demo.end(os.Interrupt) {
		return false
	}
	if ended := demo.cmd.ProcessState; ended.ExitCode() != exitFailed {
		t.Errorf("got %v, want exit code 1", ended)
	}
	if left, err := os.ReadDir(demo.tmp); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v left behind, want nothing", left, err)
	}
	if got := call(t, nil, "stream", "ls", "--addr", demo.server); got.code != exitFailed {
		t.Errorf("got %+v of the server of a demo that was interrupted, want none", got)
	}
	return true
}

// tryDemos runs demos until one was ended before it was over, which end says: each takes half a second, and a busy machine may
// be as late as that.
func tryDemos(t *testing.T, end func(*testing.T) bool) {
	t.Helper()
	const most = 10
	for range most {
		if end(t) {
			return
		}
	}
	t.Errorf("each of %d demos came to its end", most)
}

// runningDemo is a demo as a process, which has started its server.
type runningDemo struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Reader
	tmp    string // where it makes its folder
	server string // the address of its server
}

// startDemo starts a demo and waits for the line that says behind mark where its server serves.
func startDemo(t *testing.T, mark string) *runningDemo {
	t.Helper()
	d := &runningDemo{t: t, tmp: t.TempDir(), cmd: exec.CommandContext(t.Context(), binary(t), "demo")}
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp)
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.stdout = bufio.NewReader(stdout)
	for d.server == "" {
		line, err := d.stdout.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(line, mark)
		d.server, _, _ = strings.Cut(strings.TrimSpace(rest), ",")
	}
	return d
}

// end sends a signal, waits for the end of the demo and says whether it had not told its story before.
func (d *runningDemo) end(signal os.Signal) bool {
	d.t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil {
		d.t.Fatal(err)
	}
	said, err := io.ReadAll(d.stdout)
	if err != nil {
		d.t.Error(err)
	}
	_ = d.cmd.Wait() // how it ended is in its state
	return !strings.Contains(string(said), overInTime)
}

package main

import (
	"context"
	"io"
	"strings"
	"testing"
)

// startInProcess runs the server command here and returns its ready line and what ends it and returns the exit code.
func startInProcess(t *testing.T, env []string, args ...string) (map[string]string, func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	ready := &firstLine{line: make(chan string, 1)}
	log := &tailWriter{limit: logTail}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		// The pipe ends without an error when the server has.
		_, _ = io.Copy(ready, stdout)
	}()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"server"}, args...), strings.NewReader(""), w, log, env)
		_ = w.Close()
	}()
	stop := func() int {
		cancel()
		<-copied
		return <-code
	}
	select {
	case line := <-ready.line:
		fields, err := parseReadyLine(line)
		if err != nil {
			stop()
			t.Fatal(err)
		}
		return fields, stop
	case <-copied:
		cancel()
		t.Fatalf("got exit code %d and no ready line: %s", <-code, log)
		return nil, nil
	}
}

// TestSettingsPrecedence: a flag goes before the environment, which goes before the default; and the end of the
// context is the end of the server, with 0 and nothing left running.
func TestSettingsPrecedence(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	ready, stop := startInProcess(t, []string{
		"TRESTLE_DATA_DIR=/nowhere", "TRESTLE_DATA_DIR=" + data, "TRESTLE_ID=from-env", "TRESTLE_LISTEN=127.0.0.1:0",
		"TRESTLE_HTTP=127.0.0.1:0", "TRESTLE_PEER=nonsense", "TRESTLE_NATS_LISTEN=127.0.0.1:0", "TRESTLE_CLUSTER=",
	}, "--peer", "127.0.0.1:0", "--id", "from-flag")
	if ready["id"] != "from-flag" || ready["data"] != data {
		t.Errorf("got %v, want the id of the flag and the folder of the environment", ready)
	}
	for _, name := range []string{"grpc", "http", "peer", "nats"} {
		if address := ready[name]; !strings.Contains(address, "127.0.0.1:") || strings.HasSuffix(address, ":0") {
			t.Errorf("got %s=%s, want a port that was taken", name, address)
		}
	}
	if got := call(t, []string{"TRESTLE_ADDR=" + ready["grpc"]}, "stream", "ls"); got.code != exitDone || !strings.Contains(got.stdout, "no streams") {
		t.Errorf("got %+v of a server without streams", got)
	}
	if code := stop(); code != exitDone {
		t.Errorf("got exit code %d, want %d", code, exitDone)
	}
}

// TestSubEndsWithItsContext: as with Ctrl-C, 0 and quietly.
func TestSubEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ready, stop := startInProcess(t, nil, "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--peer", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	defer stop()
	env := []string{"TRESTLE_ADDR=" + ready["grpc"]}
	for _, args := range [][]string{words("stream create s --subject s"), words("pub s hello")} {
		if got := call(t, env, args...); got.code != exitDone {
			t.Fatalf("%v: got %+v", args, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	first := &firstLine{line: make(chan string, 1)}
	go func() {
		_, _ = io.Copy(first, stdout)
	}()
	var stderr strings.Builder
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, words("sub s --from earliest"), strings.NewReader(""), w, &stderr, env)
		_ = w.Close()
	}()
	if line := <-first.line; !strings.HasSuffix(line, " s hello") && !strings.HasSuffix(line, " - hello") {
		t.Errorf("got %q, want hello", line)
	}
	cancel()
	if got := <-code; got != exitDone || stderr.Len() > 0 {
		t.Errorf("got exit code %d and %q, want 0 and nothing", got, stderr.String())
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/server/servertest"
)

// patience is how long anything may take that a test waits for, on a machine that has no time for it.
const patience = time.Minute

// built is the program, for all tests.
var built servertest.Program

func binary(t *testing.T) string {
	t.Helper()
	return built.Path(t)
}

// e2eServer is a server process; it is killed when the test ends, if it still runs.
type e2eServer struct {
	*childServer
	t    *testing.T
	data string
}

func launch(t *testing.T, data string, flags ...string) *e2eServer {
	t.Helper()
	args := []string{"server", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0"}
	if !slices.Contains(flags, "--nats") {
		args = append(args, "--nats-listen", "127.0.0.1:0")
	}
	program := binary(t) // compiled first: that takes its time, and the server has its own
	// The data folder comes by the environment, as it may.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	child, err := startChild(ctx, program, append(args, flags...), append(os.Environ(), "TRESTLE_DATA_DIR="+data))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		child.kill()
		cancel()
		if t.Failed() {
			t.Logf("the log of the server ends:\n%s", child.log)
		}
	})
	return &e2eServer{childServer: child, t: t, data: data}
}

// command is the program, to be run against the server.
func (s *e2eServer) command(args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), binary(s.t), args...)
	cmd.Env = append(os.Environ(), "TRESTLE_ADDR="+s.ready["grpc"])
	return cmd
}

// run runs the program to its end and wants that exit code.
func (s *e2eServer) run(stdin io.Reader, code int, args ...string) result {
	s.t.Helper()
	cmd := s.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		s.t.Fatalf("trestle %s: got exit code %d (%v), want %d; stderr: %s", strings.Join(args, " "), got, err, code, &stderr)
	}
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// connectNATS connects a client of the server's NATS, which the caller closes.
func (s *e2eServer) connectNATS() *nats.Conn {
	s.t.Helper()
	conn, err := nats.Connect(s.ready["nats"], nats.Timeout(patience))
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// overNATS publishes values on a subject as any NATS client does.
func (s *e2eServer) overNATS(subject string, values ...string) {
	s.t.Helper()
	conn := s.connectNATS()
	defer conn.Close()
	for _, value := range values {
		if err := conn.Publish(subject, []byte(value)); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := conn.FlushTimeout(patience); err != nil {
		s.t.Fatal(err)
	}
}

// waitFor returns when the stream orders holds so many messages.
func (s *e2eServer) waitFor(messages int) {
	s.t.Helper()
	s.run(nil, exitDone, "sub", "orders", "--from", "earliest", "--count", fmt.Sprint(messages))
}

// liveTail starts sub and returns the lines that it prints.
func (s *e2eServer) liveTail(args ...string) (*exec.Cmd, *bufio.Reader) {
	s.t.Helper()
	cmd := s.command(append([]string{"sub", "orders"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd, bufio.NewReader(stdout)
}

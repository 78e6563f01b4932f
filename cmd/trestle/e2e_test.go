package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/server/servertest"
)

// The tests of this file run the program as users do: processes, signals, pipes.

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := launch(t, data)
	if s.ready["data"] != data {
		t.Errorf("got data=%s, want %s, from the environment", s.ready["data"], data)
	}

	created := decodeLine(t, s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>", "-o", "json").stdout)
	if created["name"] != "orders" || created["existed"] != false {
		t.Errorf("got %v, want a new stream orders", created)
	}
	again := decodeLine(t, s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>", "-o", "json").stdout)
	if again["uuid"] != created["uuid"] || again["existed"] != true {
		t.Errorf("got %v, want the stream that existed", again)
	}
	differs := s.run(nil, exitFailed, "stream", "create", "orders", "--subject", "other")
	for _, word := range []string{"subject", "orders.>", "other"} {
		if !strings.Contains(differs.stderr, word) {
			t.Errorf("got %q, want the difference, with %s", differs.stderr, word)
		}
	}

	// In over NATS and over gRPC.
	s.overNATS("orders.1", "plain 1", "plain 2")
	s.waitFor(2)
	ack := decodeLine(t, s.run(nil, exitDone, "pub", "orders", "acked", "--subject", "orders.2", "--key", "k", "--header", "A:b:c", "--expect", "2", "-o", "json").stdout)
	if ack["offset"] != 2.0 || ack["partition"] != 0.0 || ack["duplicate"] != false {
		t.Errorf("got %v, want offset 2", ack)
	}
	if got := s.run(nil, exitFailed, "pub", "orders", "x", "--expect", "2").stderr; !strings.Contains(got, "3") {
		t.Errorf("got %q, want an error that names the next offset", got)
	}
	if got := s.run(strings.NewReader("a\n\nb"), exitDone, "pub", "orders", "--lines").stdout; !strings.Contains(got, "orders/0@3-5") {
		t.Errorf("got %q, want three lines at 3 to 5", got)
	}
	picture := bytes.Repeat([]byte("\x00\xff\n"), 1<<20)
	if got := s.run(bytes.NewReader(picture), exitDone, "pub", "orders", "-").stdout; !strings.Contains(got, "orders/0@6 ") {
		t.Errorf("got %q, want offset 6", got)
	}
	s.run(nil, exitDone, "pub", "orders", "many", "--count", "2500")

	// Out again, every byte.
	want := "plain 1plain 2ackedab" + string(picture) + strings.Repeat("many", 2500)
	if got := s.run(nil, exitDone, "sub", "orders", "--from", "earliest", "--to", "latest", "-o", "raw").stdout; got != want {
		t.Errorf("got %d bytes, want the %d that were published", len(got), len(want))
	}
	message := decodeLine(t, s.run(nil, exitDone, "sub", "orders", "--from", "offset=2", "--to", "offset=3", "-o", "json", "--utf8").stdout)
	if message["value"] != "acked" || message["key"] != "k" || message["subject"] != "orders.2" || message["timestamp"] != ack["timestamp"] {
		t.Errorf("got %v, want what was acked: %v", message, ack)
	}
	if headers := fmt.Sprint(message["headers"]); headers != "map[A:[b:c]]" {
		t.Errorf("got headers %s, want A: b:c", headers)
	}

	// Everything acked outlives a kill -9.
	before := s.run(nil, exitDone, "sub", "orders", "--from", "earliest", "--to", "latest", "-o", "json").stdout
	s.kill()
	if got := s.run(nil, exitFailed, "stream", "ls", "-o", "json").stderr; !strings.Contains(got, "UNAVAILABLE") {
		t.Errorf("got %q of a server that is gone, want UNAVAILABLE", got)
	}
	s = launch(t, data)
	if after := s.run(nil, exitDone, "sub", "orders", "--from", "earliest", "--to", "latest", "-o", "json").stdout; after != before {
		t.Errorf("got %d bytes after the crash, want the same %d as before", len(after), len(before))
	}
	info := decodeLine(t, s.run(nil, exitDone, "stream", "info", "orders", "-o", "json").stdout)
	if info["messages"] != 2507.0 || info["uuid"] != created["uuid"] {
		t.Errorf("got %v, want 2507 messages", info)
	}
	if got := s.run(nil, exitDone, "stream", "ls", "-o", "json").stdout; got != s.run(nil, exitDone, "stream", "info", "orders", "-o", "json").stdout {
		t.Errorf("got %q of ls, want the line of info", got)
	}
	if err := s.stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLiveTailUntilInterrupted: a message is there at once, in a pipe as well; Ctrl-C is the end, with 0.
func TestLiveTailUntilInterrupted(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "pub", "orders", "first")
	cmd, lines := s.liveTail("--from", "earliest")
	for i, value := range []string{"first", "second", "third"} {
		if i > 0 {
			s.overNATS("orders.1", value)
		}
		line, err := lines.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, fmt.Sprintf("0@%d ", i)) || !strings.HasSuffix(line, value+"\n") {
			t.Fatalf("got %q, %v, want offset %d with %s", line, err, i, value)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v, want nothing more", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v for Ctrl-C, want exit code 0", err)
	}
}

// TestReaderThatHasEnough: sub in a pipe that is closed ends by itself, quietly, with 0.
func TestReaderThatHasEnough(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "pub", "orders", strings.Repeat("x", 1000), "--count", "10000")
	cmd := s.command("sub", "orders", "--from", "earliest")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.HasPrefix(line, "0@0 ") {
		t.Errorf("got %q, %v, want the first message", line, err)
	}
	if err := stdout.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("got %v and stderr %q, want exit code 0 and nothing", err, &stderr)
	}
}

// TestSubOutlivesItsServer: a live tail goes on where it was when the server comes back, without a word.
func TestSubOutlivesItsServer(t *testing.T) {
	t.Parallel()
	data, address := t.TempDir(), servertest.FreeAddress(t)
	s := launch(t, data, "--listen", address)
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "pub", "orders", "before")
	cmd, lines := s.liveTail("--from", "earliest", "--count", "2", "-o", "json", "--utf8")
	before, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s.kill()
	s = launch(t, data, "--listen", address)
	s.run(nil, exitDone, "pub", "orders", "after")
	after, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if got := []any{decodeLine(t, before)["value"], decodeLine(t, after)["value"], decodeLine(t, after)["offset"]}; !slices.Equal(got, []any{"before", "after", 1.0}) {
		t.Errorf("got %v, want before, and after at offset 1", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit code 0 after --count", err)
	}
}

// TestServerStopsUnderReaders: an open tail does not keep a server from its end within the time that it has.
func TestServerStopsUnderReaders(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "pub", "orders", "hello")
	cmd, lines := s.liveTail("--from", "earliest")
	if line, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("got %q, %v, want a message", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience) // it has a few seconds, and says with its exit code if they were not enough
	defer cancel()
	if err := s.stop(ctx); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v from a tail that was told to end, want exit code 0", err)
	}
}

// TestServersRefuse: what keeps a server from starting is said on stderr, with exit code 1 and no ready line.
func TestServersRefuse(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	free := []string{"server", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"}
	for name, args := range map[string][]string{
		"the folder of another": append(free[:len(free):len(free)], "--data-dir", s.data),
		"a port that is taken":  append(free[:len(free):len(free)], "--data-dir", t.TempDir(), "--listen", s.ready["grpc"]),
		"NATS that is not there": {
			"server", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--data-dir", t.TempDir(), "--nats", "nats://" + nobody,
		},
	} {
		if got := s.run(nil, exitFailed, args...); got.stdout != "" || !strings.Contains(got.stderr, "error: ") {
			t.Errorf("%s: got %+v, want no ready line and an error", name, got)
		}
	}
}

// TestServerUsesAnotherNATS: what is published there is recorded, and the ready line names it.
func TestServerUsesAnotherNATS(t *testing.T) {
	t.Parallel()
	natsHolder := launch(t, t.TempDir())
	s := launch(t, t.TempDir(), "--nats", natsHolder.ready["nats"])
	if s.ready["nats"] != natsHolder.ready["nats"] {
		t.Errorf("got nats=%s, want %s", s.ready["nats"], natsHolder.ready["nats"])
	}
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	natsHolder.overNATS("orders.1", "hello")
	if got := s.run(nil, exitDone, "sub", "orders", "--from", "earliest", "--count", "1", "-o", "raw").stdout; got != "hello" {
		t.Errorf("got %q, want hello", got)
	}
}

// TestStdinTrulyClosed: no descriptor 0 at all is nobody's problem but that of who reads it.
func TestStdinTrulyClosed(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "orders.trestle")
	commands := [][]string{
		words("stream create orders --subject orders.>"), words("stream ls"), words("stream info orders"), words("pub orders hello"),
		words("sub orders --from earliest --count 1"), words("get orders 0 0"), words("cursor set billing orders 0 1"),
		words("cursor get billing orders 0"), words("cursor ls orders"), words("cluster status"), words("stream edit orders --retain-age 7d"),
		words("stream pause orders"), words("stream resume orders"), words("stream export orders " + file),
		words("stream import copy " + file), words("stream purge orders"), words("stream readonly orders"), words("stream rm orders"),
		words("cursor set billing copy 0 1"), words("cursor rm billing copy 0"), words("config print"), words("config validate"), words("version"),
		words("--help"), words("completion bash"), words("log inspect " + s.data), words("log verify " + s.data),
	}
	for _, args := range commands {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", `exec "$0" "$@" <&-`, binary(t)}, args...)...)
		cmd.Env = append(os.Environ(), "TRESTLE_ADDR="+s.ready["grpc"])
		if out, err := cmd.CombinedOutput(); err != nil || len(out) == 0 {
			t.Errorf("trestle %s: got %v and %q, want exit code 0 and some output", strings.Join(args, " "), err, out)
		}
	}
	// Those that run for long have tests of their own, in which nobody types either.
	own := []string{"server", "demo", "bench", "completion", "help"}
	for _, leaf := range leaves(newRootCommand(&invocation{})) {
		if !slices.Contains(own, words(leaf)[0]) && !slices.ContainsFunc(commands, func(args []string) bool { return strings.HasPrefix(strings.Join(args, " ")+" ", leaf+" ") }) {
			t.Errorf("trestle %s is not among the commands that are run here", leaf)
		}
	}
}

// leaves are the commands that do something, without the name of the program.
func leaves(cmd *cobra.Command) []string {
	if !cmd.HasSubCommands() {
		return []string{strings.TrimPrefix(cmd.CommandPath(), "trestle ")}
	}
	var paths []string
	for _, sub := range cmd.Commands() {
		paths = append(paths, leaves(sub)...)
	}
	return paths
}

// TestIDsNeedADedupWindow: an id is refused where a second copy would be stored all the same.
func TestIDsNeedADedupWindow(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>", "--dedup-window", "0")
	got := s.run(nil, exitFailed, "pub", "orders", "once", "--id", "a", "-o", "json").stderr
	if answer, ok := decodeLine(t, got)["error"].(map[string]any); !ok || answer["reason"] != reasonNoDedup {
		t.Errorf("got %q, want %s", got, reasonNoDedup)
	}
	if info := decodeLine(t, s.run(nil, exitDone, "stream", "info", "orders", "-o", "json").stdout); info["messages"] != 0.0 {
		t.Errorf("got %v, want nothing stored", info)
	}
}

func TestBase64IsWhatScriptsDecode(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	value := "\x00\x01\xfe\xff\n\x80"
	s.overNATS("orders.1", value)
	message := decodeLine(t, s.run(nil, exitDone, "sub", "orders", "--from", "earliest", "--count", "1", "-o", "json").stdout)
	if message["value"] != base64.StdEncoding.EncodeToString([]byte(value)) || message["key"] != nil {
		t.Errorf("got %v, want the value in base64 and no key", message)
	}
}

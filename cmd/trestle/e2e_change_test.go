package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestStreamsAreChanged: edit, pause, resume, readonly and rm, as a script sees them.
func TestStreamsAreChanged(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "stream", "create", "returns", "--subject", "returns")

	edited := decodeLine(t, s.run(nil, exitDone, "stream", "edit", "orders", "--retain-age", "7d", "--retain-messages", "5", "-o", "json").stdout)
	config, ok := edited["config"].(map[string]any)
	if !ok || config["retain_age"] != "168h0m0s" || config["retain_messages"] != 5.0 {
		t.Errorf("got %v, want both limits", edited)
	}
	if got := s.run(nil, exitDone, "stream", "edit", "orders", "--retain-age", "0", "--subject", "orders.*").stdout; !strings.Contains(got, "retention   per partition 5 messages") || !strings.Contains(got, "subjects    orders.*\n") {
		t.Errorf("got %q, want no age and another subject", got)
	}
	if got := s.run(nil, exitFailed, "stream", "edit", "orders", "--partitions", "3", "--compact").stderr; !strings.Contains(got, "error: ") {
		t.Errorf("got %q for a compacted stream that grows, want an error", got)
	}

	if got, want := s.run(nil, exitDone, "stream", "pause", "orders").stdout, "stream orders is paused: it records nothing until trestle stream resume orders\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	refused := decodeLine(t, s.run(nil, exitFailed, "pub", "orders", "x", "-o", "json").stderr)
	if reason := refused["error"].(map[string]any)["reason"]; reason != "PAUSED" {
		t.Errorf("got %v of a stream that is paused, want PAUSED", refused)
	}
	if got, want := s.run(nil, exitDone, "stream", "resume", "orders", "--partition", "0").stdout, "stream orders is active: it records and is read\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.overNATS("orders.1", "recorded again")
	s.waitFor(1)
	s.run(nil, exitDone, "stream", "readonly", "orders")
	if got := s.run(nil, exitDone, "sub", "orders", "--from", "earliest", "-o", "raw").stdout; got != "recorded again" {
		t.Errorf("got %q of a stream that is read-only, want all and the end", got)
	}
	s.run(nil, exitDone, "stream", "readonly", "orders", "--off")
	s.run(nil, exitDone, "pub", "orders", "y")

	if got, want := s.run(nil, exitDone, "__complete", "sub", "o").stdout, "orders\n:4\n"; got != want {
		t.Errorf("got %q for Tab behind sub o, want %q", got, want)
	}
	if got := s.run(nil, exitDone, "stream", "ls", "ret*", "-o", "json").stdout; decodeLine(t, got)["name"] != "returns" {
		t.Errorf("got %q, want returns only", got)
	}
	if got := s.run(nil, exitDone, "stream", "rm", "orders").stdout; !strings.HasPrefix(got, "deleted stream orders with 2 messages; ") {
		t.Errorf("got %q, want that it is deleted", got)
	}
	gone := decodeLine(t, s.run(nil, exitFailed, "stream", "rm", "orders", "-o", "json").stderr)
	if reason := gone["error"].(map[string]any)["reason"]; reason != "STREAM_NOT_FOUND" {
		t.Errorf("got %v of a stream that is gone, want STREAM_NOT_FOUND", gone)
	}
	if got := decodeLine(t, s.run(nil, exitDone, "stream", "rm", "returns", "-o", "json").stdout); got["deleted"] != true || got["name"] != "returns" {
		t.Errorf("got %v, want that returns is deleted", got)
	}
}

// TestReadersKeepTheirPlace: get, cursors, and every position of sub.
func TestReadersKeepTheirPlace(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders")
	s.run(strings.NewReader("a\nb\nc\nd\ne"), exitDone, "pub", "orders", "--lines", "--key", "k")

	if got := s.run(nil, exitDone, "get", "orders", "0", "2", "-o", "raw").stdout; got != "c" {
		t.Errorf("got %q, want c", got)
	}
	if got := decodeLine(t, s.run(nil, exitDone, "get", "orders", "0", "1", "-o", "json", "--utf8").stdout); got["value"] != "b" || got["key"] != "k" || got["offset"] != 1.0 {
		t.Errorf("got %v, want b at 1", got)
	}
	if got := s.run(nil, exitDone, "get", "orders", "0", "4").stdout; !strings.HasPrefix(got, "0@4 ") || !strings.HasSuffix(got, " e\n") {
		t.Errorf("got %q, want e at 4", got)
	}
	if got := decodeLine(t, s.run(nil, exitFailed, "get", "orders", "0", "5", "-o", "json").stderr); got["error"].(map[string]any)["reason"] != "OFFSET_BEYOND_END" {
		t.Errorf("got %v beyond the end, want OFFSET_BEYOND_END", got)
	}

	if got := s.run(nil, exitDone, "cursor", "set", "billing", "orders", "0", "3").stdout; !strings.HasPrefix(got, "cursor billing: next is orders/0@3, set ") {
		t.Errorf("got %q, want the cursor", got)
	}
	cursor := decodeLine(t, s.run(nil, exitDone, "cursor", "get", "billing", "orders", "0", "-o", "json").stdout)
	if cursor["id"] != "billing" || cursor["stream"] != "orders" || cursor["partition"] != 0.0 || cursor["next_offset"] != 3.0 {
		t.Errorf("got %v, want billing at 3", cursor)
	}
	if got := s.run(nil, exitDone, "cursor", "ls", "orders", "-o", "json").stdout; fmt.Sprint(decodeLine(t, got)) != fmt.Sprint(cursor) {
		t.Errorf("got %q, want the one that get printed", got)
	}
	for from, want := range map[string]string{
		"cursor=billing": "de", "last=2": "de", "latest": "e", "offset=1": "bcde", "ago=1h": "abcde", "earliest": "abcde",
	} {
		if got := s.run(nil, exitDone, "sub", "orders", "--from", from, "--to", "latest", "--partition", "0", "-o", "raw").stdout; got != want {
			t.Errorf("from %s: got %q, want %q", from, got, want)
		}
	}
	if got := s.run(nil, exitDone, "sub", "orders", "--reverse", "-o", "raw").stdout; got != "edcba" {
		t.Errorf("got %q in reverse, want edcba", got)
	}
	s.run(nil, exitDone, "cursor", "rm", "billing", "orders", "0")
	if got := decodeLine(t, s.run(nil, exitFailed, "sub", "orders", "--from", "cursor=billing", "-o", "json").stderr); got["error"].(map[string]any)["reason"] != "CURSOR_NOT_FOUND" {
		t.Errorf("got %v of a cursor that is gone, want CURSOR_NOT_FOUND", got)
	}
	if got, want := s.run(nil, exitDone, "cursor", "ls", "orders").stdout, "no cursors in stream orders\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPublishByPartitioner: where --by-key and --round-robin put messages.
func TestPublishByPartitioner(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders", "--partitions", "3")
	ack := decodeLine(t, s.run(nil, exitDone, "pub", "orders", "v", "--by-key", "--key", "user-1", "-o", "json").stdout)
	if ack["partition"] != 2.0 { // murmur3 of user-1 is 3441879530
		t.Errorf("got %v, want partition 2", ack)
	}
	summary := decodeLine(t, s.run(strings.NewReader("1\n2\n3\n4\n5\n6"), exitDone, "pub", "orders", "--lines", "--round-robin", "-o", "json").stdout)
	partitions, ok := summary["partitions"].([]any)
	if !ok || len(partitions) != 3 || summary["messages"] != 6.0 {
		t.Fatalf("got %v, want 6 messages in 3 partitions", summary)
	}
	for _, p := range partitions {
		if p.(map[string]any)["messages"] != 2.0 {
			t.Errorf("got %v, want 2 messages in each", p)
		}
	}
}

func TestClusterStatus(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	status := decodeLine(t, s.run(nil, exitDone, "cluster", "status", "-o", "json").stdout)
	brokers, ok := status["brokers"].([]any)
	if !ok || len(brokers) != 1 || status["id"] != s.ready["id"] || status["grpc"] != s.ready["grpc"] {
		t.Fatalf("got %v, want one broker, %s", status, s.ready["id"])
	}
	if broker, ok := brokers[0].(map[string]any); !ok || broker["id"] != s.ready["id"] || broker["live"] != true {
		t.Errorf("got %v, want it live", brokers[0])
	}
	if got := s.run(nil, exitDone, "cluster", "status").stdout; !strings.Contains(got, "1 of 1 brokers live") || !strings.Contains(got, s.ready["nats"]) {
		t.Errorf("got %q, want one broker, and its NATS", got)
	}
}

// TestBenchCapture: a small one, which finds everything and leaves nothing behind.
func TestBenchCapture(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	measured := decodeLine(t, s.run(nil, exitDone, "bench", "capture", "--messages", "5001", "--publishers", "2", "--rounds", "2", "-o", "json").stdout)
	rounds, ok := measured["rounds"].([]any)
	if !ok || len(rounds) != 2 || measured["messages"] != 5001.0 {
		t.Fatalf("got %v, want two rounds", measured)
	}
	for _, r := range rounds {
		round := r.(map[string]any)
		if round["subscriber_lost"] != 0.0 || round["capture_lost"] != 0.0 || round["capture_gaps"] != 0.0 || round["capture_per_second"].(float64) <= 0 {
			t.Errorf("got %v, want all messages in both halves", round)
		}
	}
	if got := s.run(nil, exitDone, "stream", "ls", "-o", "json").stdout; got != "" {
		t.Errorf("got %q left behind, want no stream", got)
	}
	if got := s.run(nil, exitFailed, "bench", "capture", "--nats", "nats://"+nobody, "--messages", "1").stderr; !strings.Contains(got, nobody) {
		t.Errorf("got %q of a NATS that is not there, want an error that names it", got)
	}
}

package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
)

func stored(first int64, contents ...published) []client.Message {
	messages := make([]client.Message, len(contents))
	for i, c := range contents {
		messages[i] = client.Message{
			Offset: first + int64(i), Time: renderedTime, Subject: c.subject, Reply: c.reply, Key: c.key, Value: c.value, Headers: c.headers,
		}
	}
	return messages
}

func demoMessages() []published {
	return []published{
		{subject: "a", value: []byte("1")},
		{subject: "b", reply: "r", key: []byte("k"), value: []byte("2"), headers: []client.HeaderField{header("H", "x"), header("H", "y")}},
		{subject: "c", value: []byte{}},
	}
}

// TestDemoFindsWhatIsWrong spoils a log in every way that the demo must notice.
func TestDemoFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	want := demoMessages()
	for name, spoil := range map[string]func([]client.Message) []client.Message{
		"a value":      func(m []client.Message) []client.Message { m[1].Value = []byte("3"); return m },
		"a subject":    func(m []client.Message) []client.Message { m[0].Subject = "b"; return m },
		"a reply":      func(m []client.Message) []client.Message { m[1].Reply = ""; return m },
		"a key":        func(m []client.Message) []client.Message { m[1].Key = []byte("l"); return m },
		"header order": func(m []client.Message) []client.Message { h := m[1].Headers; h[0], h[1] = h[1], h[0]; return m },
		"no headers":   func(m []client.Message) []client.Message { m[1].Headers = nil; return m },
		"an offset":    func(m []client.Message) []client.Message { m[2].Offset++; return m },
		"one missing":  func(m []client.Message) []client.Message { return m[:2] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spoilt := spoil(stored(7, demoMessages()...))
			if err := checkContent(spoilt, want, 7); err == nil || !strings.Contains(err.Error(), "expected") {
				t.Errorf("content: got %v, want what was expected and found", err)
			}
			if err := checkUnchanged(stored(7, want...), spoilt); err == nil || !strings.Contains(err.Error(), "expected") {
				t.Errorf("unchanged: got %v, want what was expected and found", err)
			}
		})
	}
	if err := checkContent(stored(7, want...), want, 7); err != nil {
		t.Errorf("got %v for what was published", err)
	}
	if err := checkContent(stored(7, append(want, want[0])...), want, 7); err == nil {
		t.Error("got no error for a message too many")
	}
	if err := checkUnchanged(stored(7, want...), stored(7, append(want, want[0])...)); err != nil {
		t.Errorf("got %v for a log that has grown", err)
	}
	later := stored(7, want...)
	later[0].Time = later[0].Time.Add(time.Nanosecond)
	if err := checkUnchanged(stored(7, want...), later); err == nil {
		t.Error("got no error for a time that has changed")
	}
}

func TestDemoJudgesTheCrash(t *testing.T) {
	t.Parallel()
	a, b, c := published{value: []byte("a")}, published{value: []byte("b")}, published{value: []byte("c")}
	acked := map[int64]published{10: a, 11: b}
	for name, test := range map[string]struct {
		tail   []client.Message
		stored int
		wrong  string
	}{
		"acked only":              {tail: stored(10, a, b)},
		"with one in flight":      {tail: stored(10, a, b, c), stored: 1},
		"an acked one lost":       {tail: stored(10, a), wrong: "expected all 2 acked"},
		"all lost":                {wrong: "expected all 2 acked"},
		"an acked one elsewhere":  {tail: stored(10, b, a), wrong: "acked at offset 10"},
		"a stranger":              {tail: stored(10, a, b, published{value: []byte("x")}), wrong: "acked or in flight"},
		"in flight, stored twice": {tail: stored(10, a, b, c, c), wrong: "acked or in flight"},
		"an acked one twice":      {tail: stored(10, a, b, a), wrong: "acked or in flight"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := checkCrash(test.tail, acked, []published{c})
			if test.wrong == "" && (err != nil || n != test.stored) {
				t.Errorf("got %d, %v, want %d", n, err, test.stored)
			}
			if test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
				t.Errorf("got %v, want %q", err, test.wrong)
			}
		})
	}
}

// TestDemoMessagesDiffer: messages that are alike would hide that one stands for the other.
func TestDemoMessagesDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	add := func(m published) {
		if seen[string(m.value)] {
			t.Errorf("twice: %v", m)
		}
		seen[string(m.value)] = true
	}
	for m := range plainMessages(0, demoPlain+demoAfter) {
		add(m)
	}
	for _, name := range []string{"acked", "publisher 0", "publisher 1"} {
		for m := range keyedMessages(name, 0, demoAcked) {
			add(m)
		}
	}
}

func TestReadyLine(t *testing.T) {
	t.Parallel()
	got, err := parseReadyLine("ready grpc=127.0.0.1:1 http=127.0.0.1:2 peer=127.0.0.1:3 nats=nats://127.0.0.1:4 id=a data=/my data=x/folder")
	want := map[string]string{
		"grpc": "127.0.0.1:1", "http": "127.0.0.1:2", "peer": "127.0.0.1:3", "nats": "nats://127.0.0.1:4", "id": "a", "data": "/my data=x/folder",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, line := range []string{"", "ready", "ready ", "grpc=a", "ready grpc=a http=b peer=c nats=d id=e", "ready grpc", "ready grpc=a nats=b"} {
		if got, err := parseReadyLine(line); err == nil {
			t.Errorf("%q: got %v, want an error", line, got)
		}
	}
}

func TestChildOutput(t *testing.T) {
	t.Parallel()
	first := &firstLine{line: make(chan string, 1)}
	for _, part := range []string{"re", "ady\nmore", "\nand more\n"} {
		if n, err := io.WriteString(first, part); n != len(part) || err != nil {
			t.Errorf("got %d, %v for %q", n, err, part)
		}
	}
	if got := <-first.line; got != "ready" {
		t.Errorf("got %q, want the first line", got)
	}
	tail := &tailWriter{limit: 5}
	for _, part := range []string{"abc", "def", "ghijklmno"} {
		if n, err := io.WriteString(tail, part); n != len(part) || err != nil {
			t.Errorf("got %d, %v for %q", n, err, part)
		}
	}
	if got := tail.String(); got != "klmno" {
		t.Errorf("got %q, want the last 5 bytes", got)
	}
}

// TestChildThatIsNoServer: a child that ends, or says something else, is an error with what it logged; none stays.
func TestChildThatIsNoServer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ script, want string }{
		"ends":            {"echo broken >&2; exit 3", "broken"},
		"prints no ready": {"echo hello; exec sleep 600", "expected a ready line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child, err := startChild(t.Context(), "/bin/sh", []string{"-c", test.script}, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if child != nil {
				t.Errorf("got a child, pid %d, want none", child.process.Pid)
			}
		})
	}
	if _, err := startChild(t.Context(), t.TempDir()+"/none", nil, nil); err == nil {
		t.Error("got no error for a program that is not there")
	}
}

func TestWithoutSettings(t *testing.T) {
	t.Parallel()
	got := withoutSettings([]string{"HOME=/h", "TRESTLE_NATS=nats://a", "TRESTLE_ADDR=b", "PATH=/p"})
	if diff := cmp.Diff([]string{"HOME=/h", "PATH=/p"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// unlike strips what an import does not keep, and the name of the stream.
var unlike = regexp.MustCompile(`"stream":"[^"]*"|"timestamp":"[^"]*"`)

func (s *e2eServer) allOf(stream string, partition int) string {
	s.t.Helper()
	out := s.run(nil, exitDone, "sub", stream, "--partition", fmt.Sprint(partition), "--from", "earliest", "--to", "latest", "-o", "json").stdout
	return unlike.ReplaceAllString(out, "")
}

// TestExportAndImport: what comes out of a file is what went in: in every partition, byte for byte, ids that are old and
// new, and configured the same.
func TestExportAndImport(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.*", "--partitions", "2", "--partition-by", "subject", "--retain-age", "7d", "--fanout", "--dedup-window", "0")
	s.sameIDTwice("orders.5", "i-0")
	s.waitFor(2)
	s.run(nil, exitDone, "stream", "edit", "orders", "--dedup-window", "2m")
	s.run(strings.NewReader(strings.Repeat("some line\n", 3000)), exitDone, "pub", "orders", "--lines", "--round-robin", "--header", "A:b:c")
	s.run(bytes.NewReader([]byte("\x00\xff\n")), exitDone, "pub", "orders", "-", "--partition", "0", "--key", "k", "--id", "i-1", "--subject", "orders.7")
	s.run(nil, exitDone, "stream", "purge", "orders", "--partition", "1", "--to", "offset=10")
	path := filepath.Join(t.TempDir(), "orders.trestle")

	exported := decodeLine(t, s.run(nil, exitDone, "stream", "export", "orders", path, "-o", "json").stdout)
	if exported["messages"] != 2993.0 || exported["gaps"] != 0.0 || exported["file"] != path {
		t.Errorf("got %v, want 2993 messages", exported)
	}
	if got := s.run(nil, exitFailed, "stream", "export", "orders", path).stderr; !strings.Contains(got, "not written over") {
		t.Errorf("got %q, want a refusal to write over a file", got)
	}
	missing := filepath.Join(t.TempDir(), "not there", "orders.trestle")
	for _, verb := range []string{"export", "import"} {
		if got := s.run(nil, exitFailed, "stream", verb, "orders", missing).stderr; !strings.Contains(got, missing) || !strings.Contains(got, "\n  name a file") {
			t.Errorf("got %q of %s, want the file and what to do", got, verb)
		}
	}

	fannedOut := s.listen("orders.*")
	imported := s.run(nil, exitDone, "stream", "import", "copy", path).stdout
	if !strings.Contains(imported, "2,993 messages") || !strings.Contains(imported, "partition 1: what was at offset 10 is at 0") {
		t.Errorf("got %q, want the number of messages and where partition 1 begins", imported)
	}
	for partition := range 2 {
		want, got := s.allOf("orders", partition), s.allOf("copy", partition)
		if partition == 1 { // its offsets are counted anew
			want, got = offsets.ReplaceAllString(want, ""), offsets.ReplaceAllString(got, "")
		}
		if got != want {
			t.Errorf("partition %d: got %d bytes, want the %d that there were", partition, len(got), len(want))
		}
	}
	s.run(nil, exitDone, "pub", "copy", "published", "--subject", "orders.9", "--partition", "0")
	if first, err := fannedOut.NextMsg(patience); err != nil || string(first.Data) != "published" {
		t.Errorf("got %v, %v on NATS, want nothing of what was imported, and what is published later", first, err)
	}
	configs := [2]any{}
	for i, name := range []string{"orders", "copy"} {
		configs[i] = fmt.Sprint(decodeLine(t, s.run(nil, exitDone, "stream", "info", name, "-o", "json").stdout)["config"])
	}
	if configs[0] != configs[1] {
		t.Errorf("got configuration %v, want %v", configs[1], configs[0])
	}

	// Through a pipe, into a stream that is there.
	pipe := s.run(nil, exitDone, "stream", "export", "copy", "-")
	if decode := s.run(nil, exitFailed, "stream", "import", "copy", "-"); !strings.Contains(decode.stderr, "not the file of a stream") {
		t.Errorf("got %q for an empty standard input, want that it is no file of a stream", decode.stderr)
	}
	if got := s.run(strings.NewReader(pipe.stdout), exitFailed, "stream", "import", "copy", "-").stderr; !strings.Contains(got, "only an empty one") {
		t.Errorf("got %q for a stream that holds messages", got)
	}
	s.run(nil, exitDone, "stream", "create", "third", "--subject", "third")
	if got := s.run(strings.NewReader(pipe.stdout), exitFailed, "stream", "import", "third", "-").stderr; !strings.Contains(got, "--partitions 2") {
		t.Errorf("got %q for too few partitions, want what to type", got)
	}
	s.run(nil, exitDone, "stream", "create", "fourth", "--subject", "orders.*", "--partitions", "2", "--partition-by", "subject")
	s.run(strings.NewReader(pipe.stdout), exitDone, "stream", "import", "fourth", "-", "-o", "json")
	if s.allOf("fourth", 1) != s.allOf("copy", 1) {
		t.Error("what came through the pipe is not what went in")
	}
}

var offsets = regexp.MustCompile(`"offset":\d+`)

// sameIDTwice publishes two messages on NATS that have the same id.
func (s *e2eServer) sameIDTwice(subject, id string) {
	s.t.Helper()
	conn := s.connectNATS()
	defer conn.Close()
	for _, value := range []string{"a", "b"} {
		m := nats.NewMsg(subject)
		m.Header.Set(nats.MsgIdHdr, id)
		m.Data = []byte(value)
		if err := conn.PublishMsg(m); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := conn.FlushTimeout(patience); err != nil {
		s.t.Fatal(err)
	}
}

// listen takes what is published on a subject.
func (s *e2eServer) listen(subject string) *nats.Subscription {
	s.t.Helper()
	conn := s.connectNATS()
	s.t.Cleanup(conn.Close)
	sub, err := conn.SubscribeSync(subject)
	if err == nil {
		err = conn.FlushTimeout(patience)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// TestImportOfADamagedFile: nothing is done with it, and what came through a pipe before the damage is said to be there.
func TestImportOfADamagedFile(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "pub", "orders", strings.Repeat("x", 1000), "--count", "3000")
	file := s.run(nil, exitDone, "stream", "export", "orders", "-").stdout
	damaged := file[:len(file)-1000] + "!" + file[len(file)-999:]
	path := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.run(nil, exitFailed, "stream", "import", "copy", path).stderr; !strings.Contains(got, "damaged at byte") || !strings.Contains(got, "nothing was imported") {
		t.Errorf("got %q, want where the damage is, and that nothing was imported", got)
	}
	s.run(nil, exitFailed, "stream", "info", "copy")
	if got := s.run(strings.NewReader(damaged), exitFailed, "stream", "import", "copy", "-").stderr; !strings.Contains(got, "may hold a part") || !strings.Contains(got, "stream rm copy") {
		t.Errorf("got %q, want that the stream may hold a part, and the remedy", got)
	}
	if info := s.run(nil, exitDone, "stream", "info", "copy").stdout; !strings.Contains(info, "remembered for 2m") {
		t.Errorf("got %s, want a stream that remembers ids again", info)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>", "--partitions", "2", "--partition-by", "subject")
	s.run(strings.NewReader(strings.Repeat("line\n", 20)), exitDone, "pub", "orders", "--lines", "--round-robin")
	if got := s.run(nil, exitFailed, "stream", "purge", "orders", "--to", "offset=4").stderr; !strings.Contains(got, "--partition") {
		t.Errorf("got %q, want that a partition has to be named", got)
	}
	if got := s.run(nil, exitDone, "stream", "purge", "orders", "--to", "offset=4", "--partition", "1").stdout; got != "partition 1 of stream orders begins at offset 4 now, no more at 0\n" {
		t.Errorf("got %q", got)
	}
	if got := s.run(nil, exitDone, "stream", "purge", "orders", "--to", "offset=3", "--partition", "1").stdout; !strings.Contains(got, "as before") {
		t.Errorf("got %q, want that nothing changed", got)
	}
	if got := s.run(nil, exitFailed, "stream", "purge", "orders", "--to", "offset=11", "--partition", "1").stderr; !strings.Contains(got, "10") {
		t.Errorf("got %q, want an error that names the high watermark", got)
	}
	s.run(nil, exitDone, "stream", "purge", "orders", "--to", "time=2020-01-01T00:00:00Z")
	if got := s.run(nil, exitDone, "sub", "orders", "--from", "earliest", "--to", "latest", "-o", "raw").stdout; got != strings.Repeat("line", 16) {
		t.Errorf("got %q, want the 16 messages that are left", got)
	}
	all := s.run(nil, exitDone, "stream", "purge", "orders", "-o", "json").stdout
	if want := `{"name":"orders","partitions":[{"id":0,"log_start":10,"previous_log_start":0},{"id":1,"log_start":10,"previous_log_start":4}]}` + "\n"; all != want {
		t.Errorf("got %s, want %s", all, want)
	}
}

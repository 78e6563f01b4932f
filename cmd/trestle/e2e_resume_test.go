package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// importKilled imports the beginning of a file through a pipe and kills the import once the stream is there and, if anything
// of the beginning can be imported, holds something.
func (s *e2eServer) importKilled(stream string, part []byte, holds bool) {
	s.t.Helper()
	cmd := s.command("stream", "import", stream, "-")
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = pipe.Write(part)
	for deadline := time.Now().Add(patience); err == nil; {
		info := s.command("stream", "info", stream, "-o", "json")
		out, failed := info.Output()
		if failed == nil && (!holds || decodeLine(s.t, string(out))["messages"] != 0.0) {
			break
		}
		if time.Now().After(deadline) {
			err = fmt.Errorf("the import has not begun: %w, %s", failed, out)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestImportAfterOneThatWasKilled: the next import says what there is, goes on with --resume, and gives the stream back what
// was off while it was filled.
func TestImportAfterOneThatWasKilled(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>", "--partitions", "2", "--partition-by", "subject", "--fanout", "--dedup-window", "3m")
	s.run(strings.NewReader(strings.Repeat(strings.Repeat("x", 1000)+"\n", 6000)), exitDone, "pub", "orders", "--lines", "--round-robin", "--header", "A:b")
	path := filepath.Join(t.TempDir(), "orders.trestle")
	s.run(nil, exitDone, "stream", "export", "orders", path)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	s.importKilled("copy", file[:len(file)*2/3], true)
	if info := s.run(nil, exitDone, "stream", "info", "copy").stdout; !strings.Contains(info, "remembered for no time") {
		t.Errorf("got %s, want a stream that an import has left off", info)
	}
	if got := s.run(nil, exitFailed, "stream", "import", "copy", path).stderr; !strings.Contains(got, "--resume") {
		t.Errorf("got %q, want how to go on", got)
	}
	resumed := decodeLine(t, s.run(nil, exitDone, "stream", "import", "copy", path, "--resume", "-o", "json").stdout)
	if resumed["messages"] != 6000.0 || resumed["already"] == nil || resumed["already"] == 6000.0 {
		t.Errorf("got %v, want 6000 messages, some of which were there", resumed)
	}
	if got := s.run(strings.NewReader(string(file)), exitDone, "stream", "import", "copy", "-", "--resume").stdout; !strings.Contains(got, "\n  6,000 of them were there before\n") {
		t.Errorf("got %q of an import with nothing to do", got)
	}
	for partition := range 2 {
		if s.allOf("orders", partition) != s.allOf("copy", partition) {
			t.Errorf("partition %d is not what was exported", partition)
		}
	}
	if orders, copied := s.configOf("orders"), s.configOf("copy"); orders != copied {
		t.Errorf("got configuration %s, want %s", copied, orders)
	}

	// What stands between is not imported over, and stays as it is.
	s.run(nil, exitDone, "stream", "create", "other", "--subject", "orders.>", "--partitions", "2", "--partition-by", "subject", "--dedup-window", "0")
	s.run(nil, exitDone, "pub", "other", "another", "--partition", "1")
	before := s.configOf("other")
	if got := s.run(nil, exitFailed, "stream", "import", "other", path, "--resume").stderr; !strings.Contains(got, "offset 0 of partition 1 of stream other is not the message") {
		t.Errorf("got %q of a stream with another message", got)
	}
	if after := s.configOf("other"); after != before {
		t.Errorf("got configuration %s, want it as it was: %s", after, before)
	}

	// One that was killed before anything was published leaves a stream like one that was made so.
	s.importKilled("empty", file[:20_000], false) // less than the first chunk
	if got := s.run(nil, exitDone, "stream", "import", "empty", path).stdout; !strings.Contains(got, "trestle stream edit empty --dedup-window 3m --fanout") {
		t.Errorf("got %q, want how to give the stream back what is off", got)
	}
}

func (s *e2eServer) configOf(stream string) string {
	s.t.Helper()
	return fmt.Sprint(decodeLine(s.t, s.run(nil, exitDone, "stream", "info", stream, "-o", "json").stdout)["config"])
}

package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/server/servertest"
)

// TestRefusalsSayWhatToType: what servers refuse is said in the words of the command line, with what mends it.
func TestRefusalsSayWhatToType(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "stream", "create", "parts", "--subject", "parts", "--partitions", "3")
	s.run(nil, exitDone, "stream", "create", "small", "--subject", "small", "--max-message", "1KiB")
	create := func(flags ...string) []string { return append(words("stream create x --subject x"), flags...) }
	for name, test := range map[string]struct {
		args  []string
		stdin string
		want  []string
		never string
	}{
		"no such stream":   {args: words("sub nope"), want: []string{`there is no stream "nope"`, "create it with trestle stream create, or see trestle stream ls"}, never: "list those"},
		"in memory":        {args: create("--storage", "memory"), want: []string{"--storage memory is not built yet"}, never: "STORAGE"},
		"replicas":         {args: create("--replicas", "3"), want: []string{"--replicas 3 is not built yet"}, never: "="},
		"replicas, edited": {args: words("stream edit orders --replicas 3"), want: []string{"--replicas 3 is not built yet"}, never: "="},
		"a large limit":    {args: create("--max-message", "9MiB"), want: []string{"--max-message 9 MiB is more than this version takes", "give 8 MiB or less"}, never: "not built"},
		"a larger limit":   {args: create("--max-message", "65MiB"), want: []string{"--max-message 65 MiB is more than this version takes", "give 8 MiB or less"}, never: "64"},
		"it differs":       {args: words("stream create orders --subject orders.x --retain-age 7d"), want: []string{"--retain-age is none, not 7d", "--subject is orders.>, not orders.x"}, never: "0s"},
		"a cursor":         {args: words("cursor set c orders 0 99"), want: []string{`stream "orders", partition 0: offset 99 is beyond the end`}},
		"one partition":    {args: words("sub parts --from offset=1"), want: []string{"has 3 partitions", "name the partition with --partition"}, never: "Partitions,"},
		"another subject":  {args: words("pub orders x --subject other"), want: []string{`the message cannot be stored: the stream does not record subject "other"`}, never: "record 0"},
		"subjects of many": {args: words("pub orders --lines --subject other"), stdin: "a\nb\n", want: []string{"a message cannot be stored: "}, never: "record 0"},
		"too large":        {args: words("pub orders -"), stdin: strings.Repeat("x", 9<<20), want: []string{"8388608 at most\n  send less at a time\n"}, never: "--max-message"},
		"too large there":  {args: words("pub small -"), stdin: strings.Repeat("x", 2<<20), want: []string{"send less at a time, or raise that with trestle stream edit --max-message"}, never: "MaxMessageBytes"},
		"a little larger":  {args: words("pub small -"), stdin: strings.Repeat("x", 4000), want: []string{"send less, or raise that with trestle stream edit --max-message"}, never: "max_message"},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.run(strings.NewReader(test.stdin), exitFailed, test.args...).stderr
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			if test.never != "" && strings.Contains(got, test.never) {
				t.Errorf("got %q, which says %q", got, test.never)
			}
		})
	}
}

// TestTrashIsNamed: the folders that stream rm speaks of are those that log inspect names.
func TestTrashIsNamed(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.*", "--partitions", "2")
	s.run(nil, exitDone, "pub", "orders", "hello")
	if got := s.run(nil, exitDone, "stream", "rm", "orders").stdout; !strings.Contains(got, "below trash") || !strings.Contains(got, "trestle log inspect DATA-DIR") {
		t.Errorf("got %q, want where the messages are", got)
	}
	folders, err := os.ReadDir(filepath.Join(s.data, "trash"))
	if err != nil || len(folders) != 2 {
		t.Fatalf("got %v, %v in the trash, want a folder for each partition", folders, err)
	}
	inspected := s.run(nil, exitDone, "log", "inspect", s.data).stdout
	for _, folder := range folders {
		named := false
		for line := range strings.Lines(inspected) {
			named = named || strings.Contains(line, filepath.Join("trash", folder.Name())) && strings.Contains(line, " of stream orders")
		}
		if !named {
			t.Errorf("%s is not named by log inspect:\n%s", folder.Name(), inspected)
		}
	}
}

// TestPurgeSaysHowMuch: without an offset nobody else has said what goes.
func TestPurgeSaysHowMuch(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "pub", "orders", "hello", "--count", "1200")
	const want = "1,200 messages of stream orders are gone for good\npartition 0 of stream orders begins at offset 1200 now, no more at 0\n"
	if got := s.run(nil, exitDone, "stream", "purge", "orders").stdout; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFolderInUseIsToldOnce: what to do about it, once, and behind what is wrong.
func TestFolderInUseIsToldOnce(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	want := "error: the data folder " + s.data + " is in use by another process\n  stop that one or choose another with --data-dir\n"
	got := s.run(nil, exitFailed, append(words("server --listen 127.0.0.1:0 --http 127.0.0.1:0 --peer 127.0.0.1:0 --nats-listen 127.0.0.1:0 --data-dir"), s.data)...)
	if got.stderr != want {
		t.Errorf("got %q, want %q", got.stderr, want)
	}
}

// TestSubTellsOfAnOutage: on stderr, once when the server is lost and once when it is back.
func TestSubTellsOfAnOutage(t *testing.T) {
	t.Parallel()
	data, address := t.TempDir(), servertest.FreeAddress(t)
	s := launch(t, data, "--listen", address)
	s.run(nil, exitDone, "stream", "create", "orders", "--subject", "orders.>")
	s.run(nil, exitDone, "pub", "orders", "before")
	tail := s.command("sub", "orders", "--from", "earliest", "--count", "2")
	stdout, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := tail.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	messages, said := bufio.NewReader(stdout), bufio.NewReader(stderr)
	if line, err := messages.ReadString('\n'); err != nil {
		t.Fatalf("got %q, %v, want a message", line, err)
	}
	s.kill()
	if got, err := said.ReadString('\n'); err != nil || got != "connection to "+address+" lost; trying again\n" {
		t.Errorf("got %q, %v, want that the connection is lost", got, err)
	}
	s = launch(t, data, "--listen", address)
	if got, err := said.ReadString('\n'); err != nil || got != "connected again\n" {
		t.Errorf("got %q, %v, want that it is there again", got, err)
	}
	s.run(nil, exitDone, "pub", "orders", "after")
	if rest, err := io.ReadAll(said); err != nil || strings.Contains(string(rest), "connect") { // but for gaps
		t.Errorf("got %q, %v, want no more about the connection", rest, err)
	}
	if line, err := messages.ReadString('\n'); err != nil || !strings.HasPrefix(line, "0@1 ") {
		t.Errorf("got %q, %v, want what was published after", line, err)
	}
	if err := tail.Wait(); err != nil {
		t.Error(err)
	}
}

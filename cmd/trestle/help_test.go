package main

import (
	"strings"
	"testing"
)

func TestHelpTexts(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"", "server", "demo", "stream", "stream create", "stream ls", "stream info", "stream edit", "stream rm", "stream pause",
		"stream resume", "stream readonly", "stream purge", "stream export", "stream import", "pub", "sub", "get", "cursor", "cursor set", "cursor get", "cursor ls", "cursor rm", "cluster",
		"cluster status", "bench", "bench capture", "version",
	} {
		name := "trestle"
		if command != "" {
			name += "-" + strings.ReplaceAll(command, " ", "-")
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := call(t, nil, append(strings.Fields(command), "--help")...)
			if got.code != exitDone || got.stderr != "" {
				t.Errorf("got code %d and stderr %q, want 0 and nothing", got.code, got.stderr)
			}
			golden(t, "help/"+name+".txt", got.stdout)
		})
	}
}

// TestHelpFitsTheScreen holds for what we write ourselves: cobra sets the table of flags.
func TestHelpFitsTheScreen(t *testing.T) {
	t.Parallel()
	var visit func(path []string)
	visit = func(path []string) {
		root := newRootCommand(&invocation{})
		cmd, _, err := root.Find(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(path) > 0 && path[0] == "completion" {
			return
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long) {
			if n := len([]rune(line)); n > 101 {
				t.Errorf("%s: a line of help has %d letters: %s", cmd.CommandPath(), n, line)
			}
		}
		for _, sub := range cmd.Commands() {
			if sub.Name() != "help" {
				visit(append(path[:len(path):len(path)], sub.Name()))
			}
		}
	}
	visit(nil)
}

func TestHelpCommand(t *testing.T) {
	t.Parallel()
	if got, want := call(t, nil, "help", "stream", "create"), call(t, nil, "stream", "create", "--help"); got != want {
		t.Errorf("got %+v, want what --help prints: %+v", got, want)
	}
}

func TestBareCallPrintsHelp(t *testing.T) {
	t.Parallel()
	bare, asked := call(t, nil), call(t, nil, "--help")
	if bare != asked {
		t.Errorf("got %+v, want what --help prints: %+v", bare, asked)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	text := call(t, nil, "version")
	if text.code != exitDone || !strings.HasPrefix(text.stdout, "trestle ") || strings.Count(text.stdout, "\n") != 1 {
		t.Errorf("got %+v, want one line that begins with trestle", text)
	}
	asJSON := decodeLine(t, call(t, nil, "version", "-o", "json").stdout)
	for _, name := range []string{"version", "go", "platform"} {
		if value, ok := asJSON[name].(string); !ok || value == "" || !strings.Contains(text.stdout, value) {
			t.Errorf("got %q for %s, want what the text says: %s", asJSON[name], name, text.stdout)
		}
	}
}

// TestCompletionKnowsTheWords: what a shell asks for with Tab.
func TestCompletionKnowsTheWords(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"stream create orders --sync ":       "ack interval none",
		"sub orders --from ":                 "new earliest latest offset= time= ago= last= cursor=",
		"sub orders --to ":                   "latest offset= time=",
		"sub orders -o ":                     "text json raw",
		"stream info --addr " + nobody + " ": "", // nobody knows the streams, and no file is meant
	} {
		args := strings.Split("__complete "+line, " ")
		got := call(t, nil, args...)
		words, _, _ := strings.Cut(got.stdout, ":4\n")
		if got.code != exitDone || strings.Join(strings.Fields(words), " ") != want || !strings.HasSuffix(got.stdout, ":4\n") {
			t.Errorf("%s: got %+v, want %q and no files", line, got, want)
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := call(t, nil, "completion", shell); got.code != exitDone || !strings.Contains(got.stdout, "trestle") {
			t.Errorf("%s: got code %d, stderr %q", shell, got.code, got.stderr)
		}
	}
}

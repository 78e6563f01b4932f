package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// readmeStep is a command of the README and what it prints there.
type readmeStep struct {
	line    int // of the README, from 1
	command string
	// want are the lines of the output. In them "…" stands for anything, and a line of "…" for any number of lines.
	// With none, nothing is wanted but exit code 0.
	want []string
}

// endless says that the command goes on until it is interrupted, as its comment says.
func (s *readmeStep) endless() bool { return strings.Contains(s.command, "Ctrl-C") }

// readmeSteps finds the commands of a page: lines that begin with "$ " in blocks of the language console. What follows
// such a line is its output.
func readmeSteps(page string) []readmeStep {
	var steps []readmeStep
	inside := false
	for i, line := range strings.Split(page, "\n") {
		switch command, isCommand := strings.CutPrefix(line, "$ "); {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && isCommand:
			steps = append(steps, readmeStep{line: i + 1, command: command})
		case inside && len(steps) > 0:
			last := &steps[len(steps)-1]
			last.want = append(last.want, line)
		}
	}
	return steps
}

// printed is true if the lines are what the step wants.
func (s *readmeStep) printed(lines []string) bool {
	if len(s.want) == 0 {
		return true
	}
	var pattern strings.Builder
	pattern.WriteString("^")
	for _, line := range s.want {
		if line == "…" {
			pattern.WriteString("(.*\n)*")
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(line, " ")), "…", ".*") + " *\n")
	}
	pattern.WriteString("$")
	text := ""
	for _, line := range lines {
		text += line + "\n"
	}
	return regexp.MustCompile(pattern.String()).MatchString(text)
}

func TestReadmeSteps(t *testing.T) {
	t.Parallel()
	page := "$ not a command\n```console\n$ one  # a comment\nout …\n…\n$ two  # until Ctrl-C\n```\n```go\n$ nor this\n```\n"
	steps := readmeSteps(page)
	if len(steps) != 2 || steps[0].command != "one  # a comment" || steps[0].line != 3 || !slices.Equal(steps[0].want, []string{"out …", "…"}) {
		t.Fatalf("got %+v, want two commands, the first with two lines", steps)
	}
	if steps[0].endless() || !steps[1].endless() {
		t.Error("the second is the one that goes on until Ctrl-C")
	}
	for text, want := range map[string]bool{
		"out 1": true, "out 1\nmore\nand more": true, "put 1": false, "before\nout 1": false, "": false,
	} {
		if got := steps[0].printed(strings.Split(text, "\n")); got != want {
			t.Errorf("got %v for %q, want %v", got, text, want)
		}
	}
}

// TestReadme runs every command of the README as it stands there, in order, and compares what it prints. Addresses and
// folders come by the environment: a machine that runs tests may use the default ports for something else.
func TestReadme(t *testing.T) {
	t.Parallel()
	steps := readmeSteps(repositoryFile(t, "README.md"))
	if len(steps) < 15 {
		t.Fatalf("got %d commands, want those of the tour: is a block not of the language console any more?", len(steps))
	}
	shell := newReadmeShell(t)
	begun := time.Now()
	for _, step := range steps {
		shell.run(step)
	}
	shell.interrupt()
	t.Logf("%d commands in %v", len(steps), time.Since(begun).Round(time.Millisecond))
}

// TestPagesNameTargets: each make target that a page for people names is one.
func TestPagesNameTargets(t *testing.T) {
	t.Parallel()
	makefile := repositoryFile(t, "Makefile")
	mention := regexp.MustCompile("(?m)[`$] ?make ([a-z-]+)")
	seen := 0
	for _, path := range []string{"README.md", ".github/CONTRIBUTING.md", ".github/pull_request_template.md"} {
		for _, found := range mention.FindAllStringSubmatch(repositoryFile(t, path), -1) {
			seen++
			if !strings.Contains(makefile, fmt.Sprintf("\n%s:", found[1])) {
				t.Errorf("%s names make %s, which the Makefile does not have", path, found[1])
			}
		}
	}
	if seen < 5 {
		t.Errorf("got %d mentions of make, want more: is the pattern right?", seen)
	}
}

// TestPagesLinkFiles: what a page for people links to in this repository is there.
func TestPagesLinkFiles(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	seen := 0
	for _, page := range []string{"README.md", ".github/CONTRIBUTING.md", "docker/README.md"} {
		for _, found := range link.FindAllStringSubmatch(repositoryFile(t, page), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			seen++
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(page), found[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
			}
		}
	}
	if seen < 5 {
		t.Errorf("got %d links, want more: is the pattern right?", seen)
	}
}

// TestReadmeKnowsTheTree: what looks like a place in this repository is one, and every page that explains a part of it
// is linked.
func TestReadmeKnowsTheTree(t *testing.T) {
	t.Parallel()
	page := repositoryFile(t, "README.md")
	places := regexp.MustCompile("`([a-z][a-z0-9_.*-]*/[a-z0-9_.*/-]+)`").FindAllStringSubmatch(page, -1)
	for _, place := range places {
		if found, err := filepath.Glob("../../" + place[1]); err != nil || len(found) == 0 {
			t.Errorf("the README sends people to %s, which is not there (%v)", place[1], err)
		}
	}
	if len(places) < 10 {
		t.Errorf("got %d places, want more: is the pattern right?", len(places))
	}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != "..":
			return fs.SkipDir
		case entry.Name() == "DESIGN.md" && !strings.Contains(page, "]("+strings.TrimPrefix(filepath.ToSlash(path), "../../")+")"):
			t.Errorf("the README does not link %s", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

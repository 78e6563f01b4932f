package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
)

// script is a subscription that hands out what the test sends it.
type script struct {
	batches chan []client.Message
	err     error
}

func (s *script) read(ctx context.Context) iter.Seq2[[]client.Message, error] {
	return func(yield func([]client.Message, error) bool) {
		for {
			select {
			case batch, ok := <-s.batches:
				if !ok {
					if s.err != nil {
						yield(nil, s.err)
					}
					return
				}
				if !yield(batch, nil) {
					return
				}
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

func batchOf(subject string, first, n int) []client.Message {
	messages := make([]client.Message, n)
	for i := range messages {
		messages[i] = client.Message{Stream: "s", Offset: int64(first + i), Time: renderedTime, Subject: subject, Value: []byte("v\n")}
	}
	return messages
}

// TestLiveTail: a message is shown as soon as nothing else is waiting, and the end of the context is the end.
func TestLiveTail(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	p := newPrinter(&invocation{stdout: w}, &subFlags{}, "s", formatText)
	s := &script{batches: make(chan []client.Message)}
	ended := make(chan error, 1)
	go func() { ended <- newFeed().run(ctx, s.read, p) }()
	lines := bufio.NewReader(r)
	for i := range 3 {
		s.batches <- batchOf("a", i, 1)
		line, err := lines.ReadString('\n')
		if want := "0@" + string(rune('0'+i)) + " "; err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("got %q, %v, want a line that begins with %q", line, err, want)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

func TestPrintedUntilTheEnd(t *testing.T) {
	t.Parallel()
	failure := errors.New("the server said no")
	tests := map[string]struct {
		flags func(*subFlags)
		err   error
		want  string
	}{
		"all":                      {want: "v\nv\nv\nv\nv\nv\n"},
		"an error behind messages": {err: failure, want: "v\nv\nv\nv\nv\nv\n"},
		"some":                     {flags: func(f *subFlags) { f.count.n = 4 }, err: failure, want: "v\nv\nv\nv\n"},
		"of a subject":             {flags: func(f *subFlags) { f.subject = "*.b" }, want: "v\nv\n"},
		"some of a subject":        {flags: func(f *subFlags) { f.subject, f.count.n = "a.>", 3 }, want: "v\nv\nv\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f subFlags
			if test.flags != nil {
				test.flags(&f)
			}
			var out bytes.Buffer
			p := newPrinter(&invocation{stdout: &out}, &f, "s", formatRaw)
			s := &script{batches: make(chan []client.Message, 3), err: test.err}
			s.batches <- batchOf("a.a", 0, 2)
			s.batches <- batchOf("a.b", 2, 2)
			s.batches <- batchOf("a.a", 4, 2)
			close(s.batches)
			err := newFeed().run(t.Context(), s.read, p)
			if f.count.n > 0 && err != nil || f.count.n == 0 && !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if err := p.flush(); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestBrokenPipe: an output that nobody reads ends the reading, whatever else there is to read.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	p := newPrinter(&invocation{stdout: brokenPipe{}}, &subFlags{}, "s", formatJSON)
	s := &script{batches: make(chan []client.Message, 1)}
	s.batches <- batchOf("a", 0, 1)
	err := newFeed().run(t.Context(), s.read, p)
	if !errors.Is(err, errOutput) || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v, want an output error and a broken pipe", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// TestGapsWhereTheyStand: beside the messages or, if asked for, among them; but always behind those before.
func TestGapsWhereTheyStand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, format string
		gaps         bool
		want         string
	}{
		{"text", formatText, false, "out 0@0\nerr s/1: gap\nout 0@1\n"},
		{"text among", formatText, true, "out 0@0\nout {\"gap\":\nout 0@1\n"},
		{"json", formatJSON, false, "out {\"str\nerr {\"gap\":\nout {\"str\n"},
		{"json among", formatJSON, true, "out {\"str\nout {\"gap\":\nout {\"str\n"},
		{"raw", formatRaw, false, "out v\nerr s/1: gap\nout v\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var seen bytes.Buffer
			inv := &invocation{stdout: marked{&seen, "out"}, stderr: marked{&seen, "err"}}
			p := newPrinter(inv, &subFlags{gaps: test.gaps}, "s", test.format)
			f := newFeed()
			read := func(context.Context) iter.Seq2[[]client.Message, error] {
				return func(yield func([]client.Message, error) bool) {
					if yield(batchOf("a", 0, 1), nil) {
						f.gap(1, client.Gap{Offset: 1, Cause: client.GapRestart, From: renderedTime, To: renderedTime.Add(time.Second)})
						yield(batchOf("a", 1, 1), nil)
					}
				}
			}
			if err := f.run(t.Context(), read, p); err != nil {
				t.Fatal(err)
			}
			if err := p.flush(); err != nil {
				t.Fatal(err)
			}
			if got := seen.String(); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

// marked writes the beginning of every line that it is given, behind its name.
type marked struct {
	to   io.Writer
	name string
}

func (m marked) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " 2026")
		if strings.HasPrefix(word, "{") {
			word = word[:min(len(word), 5)]
			if word == `{"gap` {
				word = `{"gap":`
			}
		}
		if strings.HasPrefix(word, "s/1: gap") {
			word = "s/1: gap"
		}
		if _, err := io.WriteString(m.to, m.name+" "+word+"\n"); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// logTail is how much of the log of a child is kept for the case that something goes wrong.
const logTail = 16 << 10

// childServer is a server that runs as a process of its own, as a user's would. Whoever starts one kills or stops it:
// both return when the process is gone.
type childServer struct {
	process *os.Process
	// ready holds the fields of the ready line: grpc, http, peer, nats, id and data.
	ready map[string]string
	// startTime is how long it took until the ready line.
	startTime time.Duration

	log    *tailWriter
	exited chan struct{}
	// err is how the process ended; to be read after exited is closed.
	err error
}

// startChild starts program with args and returns when it has printed its ready line. The child is killed when ctx
// ends; none survives an error.
func startChild(ctx context.Context, program string, args, env []string) (*childServer, error) {
	began := time.Now()
	ready := &firstLine{line: make(chan string, 1)}
	c := &childServer{log: &tailWriter{limit: logTail}, exited: make(chan struct{})}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	cmd.Stdout = ready
	cmd.Stderr = c.log
	cmd.SysProcAttr = dieWithParent()

	started := make(chan error, 1)
	go func() {
		// Linux kills such a child when the thread that started it ends, not the process: so this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.exited)
		err := cmd.Start()
		if err == nil {
			c.process = cmd.Process
		}
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-c.exited
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	select {
	case line := <-ready.line:
		fields, err := parseReadyLine(line)
		if err != nil {
			c.kill()
			return nil, err
		}
		c.ready, c.startTime = fields, time.Since(began)
		return c, nil
	case <-c.exited:
		return nil, c.withLog(fmt.Errorf("the server ended before it was ready: %w", c.ended()))
	case <-ctx.Done():
		c.kill()
		return nil, c.withLog(fmt.Errorf("the server was not ready in time: %w", context.Cause(ctx)))
	}
}

// kill ends the process as kill -9 does and waits until it is gone.
func (c *childServer) kill() {
	// It may be gone already, which is what is wanted.
	_ = c.process.Kill()
	<-c.exited
}

// stop asks the process to end, as a service manager does, and waits for it. It complains unless the exit code is 0.
func (c *childServer) stop(ctx context.Context) error {
	if err := c.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the server: %w", err)
	}
	select {
	case <-c.exited:
	case <-ctx.Done():
		c.kill()
		return c.withLog(fmt.Errorf("the server did not stop in time: %w", context.Cause(ctx)))
	}
	if c.err != nil {
		return c.withLog(fmt.Errorf("the server did not stop as it should: %w", c.err))
	}
	return nil
}

var errEndedEarly = errors.New("exit status 0")

// ended is how the process ended, once it has.
func (c *childServer) ended() error {
	if c.err == nil {
		return errEndedEarly
	}
	return c.err
}

// withLog adds to an error what the server had to say.
func (c *childServer) withLog(err error) error {
	if log := strings.TrimSpace(c.log.String()); log != "" {
		return fmt.Errorf("%w\nthe log of the server ends:\n%s", err, log)
	}
	return err
}

// parseReadyLine reads the line that a server prints when it captures and serves. The data folder is last and may
// have spaces in it.
func parseReadyLine(line string) (map[string]string, error) {
	rest, ok := strings.CutPrefix(line, "ready ")
	fields := make(map[string]string)
	for ok && rest != "" {
		name, value, found := strings.Cut(rest, "=")
		if !found {
			break
		}
		rest = ""
		if name != "data" {
			value, rest, _ = strings.Cut(value, " ")
		}
		fields[name] = value
	}
	for _, name := range []string{"grpc", "http", "peer", "nats", "id", "data"} {
		if fields[name] == "" {
			return nil, fmt.Errorf("expected a ready line of the server, found %q", line)
		}
	}
	return fields, nil
}

// firstLine is a writer that hands over the first line written to it and drops the rest.
type firstLine struct {
	line chan string // has room for one
	text []byte
	done bool
}

func (w *firstLine) Write(p []byte) (int, error) {
	if w.done {
		return len(p), nil
	}
	w.text = append(w.text, p...)
	if i := bytes.IndexByte(w.text, '\n'); i >= 0 {
		w.line <- string(w.text[:i])
		w.done, w.text = true, nil
	}
	return len(p), nil
}

// tailWriter is a writer that keeps the last bytes written to it.
type tailWriter struct {
	limit int

	mu   sync.Mutex
	text []byte // guarded by mu
}

func (w *tailWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if over := len(w.text) - w.limit; over > 0 {
		w.text = append(w.text[:0], w.text[over:]...)
	}
	return len(p), nil
}

func (w *tailWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

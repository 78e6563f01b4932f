package servertest

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

// logTail is how many bytes of a process' log are kept for the case that something goes wrong.
const logTail = 32 << 10

// Process is a program that runs as a process of its own. Whoever starts one ends it; should that fail, it ends with the
// process that started it.
type Process struct {
	process *os.Process
	line    *firstLine
	log     *tail
	exited  chan struct{}
	err     error // how it ended; to be read after exited is closed
}

// StartProcess starts a program.
func StartProcess(program string, env []string, args ...string) (*Process, error) {
	p := &Process{line: &firstLine{line: make(chan string, 1)}, log: &tail{}, exited: make(chan struct{})}
	cmd := exec.Command(program, args...) //nolint:noctx // whoever calls it says what to run, and ends it
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.line, p.log, dieWithParent()
	started := make(chan error, 1)
	go func() {
		defer close(p.exited)
		// Linux ends such a child with the thread that started it: so this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		p.process = cmd.Process
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.exited
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return p, nil
}

// FirstLine waits for the first line that the process prints on its standard output.
func (p *Process) FirstLine(ctx context.Context) (string, error) {
	select {
	case line := <-p.line.line:
		return line, nil
	case <-p.exited:
		select {
		case line := <-p.line.line:
			return line, nil
		default:
		}
		return "", fmt.Errorf("the process ended before it printed a line: %w\nits log ends:\n%s", p.ended(), p.log)
	case <-ctx.Done():
		return "", fmt.Errorf("the process printed no line in time: %w\nits log ends:\n%s", context.Cause(ctx), p.log)
	}
}

var errEndedWell = errors.New("exit status 0")

// ended is how the process ended, once it has.
func (p *Process) ended() error {
	if p.err == nil {
		return errEndedWell
	}
	return p.err
}

// PID is the number that the system knows the process by.
func (p *Process) PID() int { return p.process.Pid }

// Log is the end of what the process printed on its standard error.
func (p *Process) Log() string { return p.log.String() }

// Kill ends the process as kill -9 does and waits until it is gone.
func (p *Process) Kill() {
	_ = p.process.Kill() // it may be gone already, which is what is wanted
	<-p.exited
}

// Exited is closed when the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Freeze stops the process where it is, as a machine does that has no time for it, until Thaw.
func (p *Process) Freeze() error { return p.process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.process.Signal(syscall.SIGCONT) }

// Terminate asks the process to stop and waits for it. It complains unless the exit code is 0.
func (p *Process) Terminate(ctx context.Context) error {
	if err := p.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping a process: %w", err)
	}
	return p.Wait(ctx)
}

// Wait waits for the end of the process, and kills it when ctx ends first. It complains unless the exit code is 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("the process did not end in time: %w\nits log ends:\n%s", context.Cause(ctx), p.log)
	}
	if p.err != nil {
		return fmt.Errorf("the process: %w\nits log ends:\n%s", p.err, p.log)
	}
	return nil
}

// Server is `trestle server` as a process.
type Server struct {
	*Process
	GRPC, HTTP, Peer, NATS, DataDir string
	// StartTime is how long it took until it captured and served.
	StartTime time.Duration
}

// Launch starts `trestle server` on a data folder and returns when it captures and serves. Flags that name no port get
// free ports.
func Launch(ctx context.Context, program, dataDir string, flags ...string) (*Server, error) {
	began := time.Now()
	p, err := StartServer(program, dataDir, flags...)
	if err != nil {
		return nil, err
	}
	line, err := p.FirstLine(ctx)
	if err != nil {
		p.Kill()
		return nil, err
	}
	s := &Server{Process: p, StartTime: time.Since(began)}
	for _, field := range strings.Fields(line) {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "grpc":
			s.GRPC = value
		case "http":
			s.HTTP = value
		case "peer":
			s.Peer = value
		case "nats":
			s.NATS = value
		case "data":
			s.DataDir = value
		}
	}
	return s, nil
}

// StartServer starts `trestle server` on a data folder and does not wait until it serves.
func StartServer(program, dataDir string, flags ...string) (*Process, error) {
	args := []string{"server", "--data-dir", dataDir}
	said := strings.Join(flags, " ")
	for _, port := range []string{"--listen", "--http", "--peer", "--nats-listen"} {
		if !strings.Contains(said, port+" ") && (port != "--nats-listen" || !strings.Contains(said, "--nats ")) {
			args = append(args, port, "127.0.0.1:0")
		}
	}
	return StartProcess(program, nil, append(args, flags...)...)
}

// Flags are those with which a server listens where this one does.
func (s *Server) Flags() []string {
	return []string{
		"--listen", s.GRPC, "--http", s.HTTP, "--peer", s.Peer, "--nats-listen", strings.TrimPrefix(s.NATS, "nats://"),
	}
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

// tail is a writer that keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if over := len(w.text) - logTail; over > 0 {
		w.text = append(w.text[:0], w.text[over:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

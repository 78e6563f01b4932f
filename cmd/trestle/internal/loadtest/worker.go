package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Crew starts workers.
type Crew struct {
	// Program and Args are what runs Work: this program, with the words that make it a worker.
	Program string
	Args    []string
	Env     []string // besides what this process has
}

// Worker is a process that works. Whoever starts one ends it with Close; it ends by itself when its stdin does, and so with
// the process that started it, however that ends.
type Worker struct {
	task    Task
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	stderr  *bytes.Buffer // to be read when the process has ended
	ended   bool

	// Serves is the server that it is, if it is one.
	Serves Server
}

// Start starts a worker and returns when it is ready. The worker is killed when ctx ends.
func (c *Crew) Start(ctx context.Context, job *Job) (*Worker, error) {
	process := exec.CommandContext(ctx, c.Program, c.Args...)
	w := &Worker{task: job.Task, process: process, stderr: new(bytes.Buffer)}
	process.Stderr, process.Env = w.stderr, append(os.Environ(), c.Env...)
	stdin, err := process.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	w.stdin, w.stdout = stdin, bufio.NewReader(stdout)
	var ready readiness
	if err = json.NewEncoder(stdin).Encode(job); err == nil {
		err = w.hear(&ready)
	}
	if err != nil {
		return nil, w.blame(err)
	}
	w.Serves = ready.Serves
	return w, nil
}

// Begin tells the worker to begin.
func (w *Worker) Begin() error {
	if _, err := io.WriteString(w.stdin, "begin\n"); err != nil {
		return w.blame(err)
	}
	return nil
}

// Outcome waits until the worker is done.
func (w *Worker) Outcome() (o Outcome, err error) {
	if err := w.hear(&o); err != nil {
		return o, w.blame(err)
	}
	return o, nil
}

// Close has the worker end and waits for it. It may be called again.
func (w *Worker) Close() error {
	if w.ended {
		return nil
	}
	w.ended = true
	_ = w.stdin.Close() // of a process that is gone, it is closed already
	_, _ = io.Copy(io.Discard, w.stdout)
	if err := w.process.Wait(); err != nil {
		return fmt.Errorf("worker %s: %w: %s", w.task, err, strings.TrimSpace(w.stderr.String()))
	}
	return nil
}

func (w *Worker) hear(line any) error {
	text, err := w.stdout.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(text, line)
}

// blame ends a worker that did not do as it was told. What it says itself is the better reason, if it says something.
func (w *Worker) blame(err error) error {
	if cause := w.Close(); cause != nil {
		return cause
	}
	return fmt.Errorf("worker %s: %w", w.task, err)
}

// run has senders work, and receivers meanwhile. The receivers begin first.
func (c *Crew) run(ctx context.Context, receivers, senders []Job) (received, sent []Outcome, err error) {
	var workers []*Worker
	defer func() {
		for _, w := range workers {
			if failed := w.Close(); err == nil {
				err = failed
			}
		}
	}()
	for _, jobs := range [][]Job{receivers, senders} {
		for i := range jobs {
			w, err := c.Start(ctx, &jobs[i])
			if err != nil {
				return nil, nil, err
			}
			workers = append(workers, w)
		}
	}
	for _, w := range workers {
		if err := w.Begin(); err != nil {
			return nil, nil, err
		}
	}
	outcomes := make([]Outcome, len(workers))
	var failures []error
	for i, w := range workers {
		var failed error
		outcomes[i], failed = w.Outcome()
		failures = append(failures, failed)
	}
	return outcomes[:len(receivers)], outcomes[len(receivers):], errors.Join(failures...)
}

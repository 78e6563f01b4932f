package loadtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/trestlehq/trestle/client"
)

// task is a worker that is ready: connected, subscribed, listening.
type task interface {
	// run does the job and fills in all of the outcome but Begun and Allocations.
	run(ctx context.Context) (Outcome, error)
	close()
}

// Work is the other end of a Worker: it reads a job from in, says on out that it is ready, waits for a line that tells it to
// begin, and prints the outcome. It returns when in ends, and stops what it does then. The options are for connections of
// the client.
func Work(ctx context.Context, in io.Reader, out io.Writer, options ...client.Option) error {
	lines := bufio.NewReader(in)
	var job Job
	line, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &job)
	}
	if err != nil {
		return fmt.Errorf("read the job from stdin: %w", err)
	}
	t, serves, err := prepare(ctx, &job, options)
	if err != nil {
		return err
	}
	defer t.close()
	if err := json.NewEncoder(out).Encode(readiness{Ready: true, Serves: serves}); err != nil {
		return fmt.Errorf("say that the worker is ready: %w", err)
	}
	if _, err := lines.ReadBytes('\n'); errors.Is(err, io.EOF) {
		return nil // not needed
	} else if err != nil {
		return fmt.Errorf("wait to begin: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer cancel()
		// Nothing more is to come but the end, whatever form it takes.
		_, _ = io.Copy(io.Discard, lines)
	}()
	outcome, err := timed(ctx, t)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(&outcome); err != nil {
		return fmt.Errorf("print the outcome: %w", err)
	}
	<-gone
	return nil
}

// timed runs a task and counts its allocations.
func timed(ctx context.Context, t task) (Outcome, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	outcome, err := t.run(ctx)
	runtime.ReadMemStats(&after)
	outcome.Begun, outcome.Allocations = begun, after.Mallocs-before.Mallocs
	return outcome, err
}

// prepare makes a task. serves is the server that it is, if it is one.
func prepare(ctx context.Context, job *Job, options []client.Option) (t task, serves Server, err error) {
	switch job.Task {
	case TaskServeNATS:
		s, err := serveNATS(job)
		if err != nil {
			return nil, serves, err
		}
		return s, Server{NATS: s.url(), PID: os.Getpid()}, nil
	case TaskServeLiftbridge:
		s, err := serveLiftbridge(ctx, job)
		if err != nil {
			return nil, serves, err
		}
		return s, s.where, nil
	case TaskFlood, TaskCount, TaskEnvelope:
		t, err = prepareNATS(job)
	case TaskProduce, TaskRead, TaskHear:
		t, err = prepareClient(ctx, job, options)
	case TaskJetStreamProduce, TaskJetStreamRead, TaskJetStreamHear:
		t, err = prepareJetStream(ctx, job)
	case TaskLiftbridgeProduce, TaskLiftbridgeRead, TaskLiftbridgeHear:
		t, err = prepareLiftbridge(ctx, job)
	default:
		err = fmt.Errorf("a worker knows no task %q", job.Task)
	}
	return t, serves, err
}

// limit says when a publisher has published enough.
type limit struct {
	messages int64
	until    time.Time // zero: no limit
}

func newLimit(job *Job) limit {
	l := limit{messages: job.Messages}
	if job.Time > 0 {
		l.until = time.Now().Add(job.Time)
	}
	return l
}

// reached says whether message n is one too many. It looks at the clock once in 64 messages, always if often is set.
func (l *limit) reached(ctx context.Context, n int64, often bool) bool {
	if l.messages > 0 && n >= l.messages {
		return true
	}
	if !often && n%64 != 0 {
		return false
	}
	return ctx.Err() != nil || !l.until.IsZero() && !time.Now().Before(l.until)
}

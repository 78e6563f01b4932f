package loadtest

import (
	"context"
	"fmt"
	"time"
)

func sideError(side string, err error) error { return fmt.Errorf("measure %s: %w", side, err) }

// progress is how far a stream has come since a bench began.
type progress struct {
	from int64
	came int64
	at   time.Time // when came grew last
}

func (p *progress) reach(end int64) {
	if n := end - p.from; n > p.came {
		p.came, p.at = n, time.Now()
	}
}

// watched has senders publish and looks again and again how far the receiving side is, until look says that all is there,
// or nothing has come for a while. look's progress decides: it returns how many came. begun is when the first sender began.
func (c *Crew) watched(ctx context.Context, senders []Job, look func(context.Context) (came int64, all bool, err error)) (begun time.Time, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type sending struct {
		outcomes []Outcome
		err      error
	}
	done := make(chan sending, 1)
	go func() {
		_, sent, err := c.run(ctx, nil, senders)
		done <- sending{sent, err}
	}()
	ticker := time.NewTicker(pollTime)
	defer ticker.Stop()
	finished := done
	var sent []Outcome
	var came int64
	last := time.Now()
	for all := false; finished != nil || !all; {
		select {
		case s := <-finished:
			if s.err != nil {
				return begun, s.err
			}
			sent, finished, last = s.outcomes, nil, time.Now()
			continue
		case <-ticker.C:
		}
		var n int64
		if n, all, err = look(ctx); err != nil {
			break
		}
		if n != came {
			came, last = n, time.Now()
		}
		if finished == nil && time.Since(last) > silence {
			break
		}
	}
	if finished != nil { // look failed: the senders are not needed any more
		cancel()
		<-finished
		return begun, err
	}
	return firstBegun(sent), err
}

func firstBegun(outcomes []Outcome) (begun time.Time) {
	for i := range outcomes {
		if begun.IsZero() || outcomes[i].Begun.Before(begun) {
			begun = outcomes[i].Begun
		}
	}
	return begun
}

// published has senders publish and counts what they got acks for.
func (c *Crew) published(ctx context.Context, senders []Job) (m Measurement, err error) {
	_, sent, err := c.run(ctx, nil, senders)
	if err != nil {
		return m, err
	}
	return summed(firstBegun(sent), sent), nil
}

// publishedAloud is published while as many listeners as the load has hear on core NATS what is published on the subject.
func (c *Crew) publishedAloud(ctx context.Context, l *Load, senders []Job, nats, subject string) (m Measurement, err error) {
	var listeners []Job
	for range l.Listeners {
		listeners = append(listeners, Job{Task: TaskCount, NATS: nats, Subject: subject, Messages: l.Messages})
	}
	heard, sent, err := c.run(ctx, listeners, senders)
	if err != nil {
		return m, err
	}
	m = summed(firstBegun(sent), sent)
	for i := range heard {
		m.Heard += heard[i].Messages
	}
	if len(heard) > 0 && m.Heard == 0 && m.Messages > 0 {
		return m, fmt.Errorf("nobody heard anything on %s at %s: is that the NATS of this server, and does the stream fan out?", subject, nats)
	}
	return m, nil
}

// delivered has a receiver receive, and senders, if there are any, publish meanwhile.
func (c *Crew) delivered(ctx context.Context, receiver Job, senders []Job) (m Measurement, err error) {
	received, sent, err := c.run(ctx, []Job{receiver}, senders)
	if err != nil {
		return m, err
	}
	begun := firstBegun(sent)
	if len(sent) == 0 {
		begun = received[0].Begun
	}
	m = summed(begun, received)
	m.Lost = receiver.Messages - m.Messages
	return m, nil
}

// fill publishes the messages that are to be read.
func (c *Crew) fill(ctx context.Context, l *Load, pattern Job) error {
	const window = 4096
	pattern.Messages, pattern.Size, pattern.InFlight = l.Messages, l.Size, window
	m, err := c.published(ctx, []Job{pattern})
	if err != nil {
		return err
	}
	if m.Lost > 0 {
		return fmt.Errorf("%d of the %d messages that were to be read could not be stored", m.Lost, l.Messages)
	}
	return nil
}

// summed adds up what workers did since begun.
func summed(begun time.Time, outcomes []Outcome) (m Measurement) {
	var ended time.Time
	var latencies *Histogram
	for i := range outcomes {
		o := &outcomes[i]
		m.Messages += o.Messages
		m.Lost += o.Failed
		m.Allocations += int64(o.Allocations)
		if o.Ended.After(ended) {
			ended = o.Ended
		}
		switch {
		case o.Latency == nil:
		case latencies == nil:
			latencies = o.Latency
		default:
			latencies.Add(o.Latency)
		}
	}
	m.Took = ended.Sub(begun)
	if latencies != nil {
		m.Latency = latencies.Latency()
	}
	return m
}

package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trestlehq/trestle/client"
)

func prepareClient(ctx context.Context, job *Job, options []client.Option) (t task, err error) {
	c, err := client.Connect(ctx, job.Addr, options...)
	if err != nil {
		return nil, err
	}
	stream := c.Stream(job.Stream)
	switch {
	case job.Task == TaskProduce && job.InFlight == 1:
		return &oneByOne{job: job, client: c, stream: stream}, nil
	case job.Task == TaskProduce:
		return &production{job: job, client: c, stream: stream}, nil
	case job.Task == TaskRead:
		return &reading{job: job, client: c, stream: stream}, nil
	default:
		sub, err := stream.Subscribe(ctx, client.FromNew())
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return &reading{job: job, client: c, sub: sub}, nil
	}
}

// production publishes with a Producer.
type production struct {
	job    *Job
	client *client.Client
	stream *client.Stream
}

func (p *production) close() { _ = p.client.Close() } // every publish was judged by its own ack

func (p *production) run(ctx context.Context) (Outcome, error) {
	if p.job.Rate > 0 {
		return p.runAtRate(ctx)
	}
	return p.flood(ctx)
}

// flood publishes as fast as it goes, and hears of what is not stored, as the publisher of JetStream's side does.
func (p *production) flood(ctx context.Context) (o Outcome, err error) {
	var failed atomic.Int64
	producer := p.stream.Producer(client.ProducerConfig{
		MaxInFlight: p.job.InFlight, OnError: func(*client.Message, error) { failed.Add(1) },
	})
	m := client.Message{Value: make([]byte, p.job.Size)}
	for limit := newLimit(p.job); !limit.reached(ctx, o.Messages, false); o.Messages++ {
		producer.Send(ctx, m)
	}
	err = producer.Close(ctx)
	o.Ended, o.Failed = time.Now(), failed.Load()
	o.Messages -= o.Failed
	return o, err
}

// runAtRate publishes each message when it is due, and measures from then to its ack.
func (p *production) runAtRate(ctx context.Context) (Outcome, error) {
	producer := p.stream.Producer(client.ProducerConfig{MaxInFlight: p.job.InFlight})
	waiting := make(chan sent, p.job.InFlight+1)
	var acked Outcome
	var acking sync.WaitGroup
	acking.Go(func() { acked = collect(ctx, waiting) })
	m := client.Message{Value: make([]byte, p.job.Size)}
	schedule := newSchedule(time.Now(), p.job.Rate)
	limit := newLimit(p.job)
	for n := int64(0); !limit.reached(ctx, n, false); n++ {
		waiting <- sent{due: schedule.await(n), future: producer.Send(ctx, m)}
	}
	close(waiting)
	err := producer.Close(ctx)
	acking.Wait()
	return acked, err
}

// sent is a message on its way, and when it was due.
type sent struct {
	due    time.Time
	future *client.Future
}

// collect waits for the acks of all that comes, in order.
func collect(ctx context.Context, waiting <-chan sent) (o Outcome) {
	o.Latency = NewHistogram()
	for s := range waiting {
		if _, err := s.future.Ack(ctx); err != nil {
			o.Failed++
			continue
		}
		o.Messages++
		o.Latency.Record(time.Since(s.due))
	}
	o.Ended = time.Now()
	return o
}

// oneByOne publishes and waits for each ack.
type oneByOne struct {
	job    *Job
	client *client.Client
	stream *client.Stream
}

func (p *oneByOne) close() { _ = p.client.Close() }

func (p *oneByOne) run(ctx context.Context) (o Outcome, err error) {
	o.Latency = NewHistogram()
	value := make([]byte, p.job.Size)
	for limit := newLimit(p.job); !limit.reached(ctx, o.Messages, true); o.Messages++ {
		begun := time.Now()
		if _, err := p.stream.Publish(ctx, value); err != nil {
			return o, err
		}
		o.Latency.Record(time.Since(begun))
	}
	o.Ended = time.Now()
	return o, nil
}

// reading receives messages, handed out one by one.
type reading struct {
	job    *Job
	client *client.Client
	stream *client.Stream
	sub    *client.Subscription // nil: run subscribes, from the start
}

func (r *reading) close() { _ = r.client.Close() } // ends the subscription as well

func (r *reading) run(ctx context.Context) (o Outcome, err error) {
	if r.sub == nil {
		if r.sub, err = r.stream.Subscribe(ctx, client.FromEarliest()); err != nil {
			return o, err
		}
	}
	t := newTally(r.job)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		defer cancel()
		t.await(ctx)
	})
	for {
		m, err := r.sub.Next(ctx)
		if ctx.Err() != nil || errors.Is(err, io.EOF) {
			return t.outcome(), nil
		}
		if err != nil {
			return o, fmt.Errorf("read stream %q: %w", r.job.Stream, err)
		}
		t.hear(m.Value)
	}
}

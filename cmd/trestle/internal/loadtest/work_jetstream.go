package loadtest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func prepareJetStream(ctx context.Context, job *Job) (t task, err error) {
	nc, err := connectNATS(job)
	if err != nil {
		return nil, err
	}
	switch {
	case job.Task == TaskJetStreamProduce && job.InFlight == 1:
		t, err = newJetStreamSingle(job, nc)
	case job.Task == TaskJetStreamProduce:
		t, err = newJetStreamProduction(job, nc)
	default:
		t, err = newJetStreamReading(ctx, job, nc)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("JetStream at %s: %w", job.NATS, err)
	}
	return t, nil
}

// jetStreamProduction publishes with PublishAsync.
type jetStreamProduction struct {
	job    *Job
	nc     *nats.Conn
	js     jetstream.JetStream
	failed atomic.Int64
}

func newJetStreamProduction(job *Job, nc *nats.Conn) (p *jetStreamProduction, err error) {
	p = &jetStreamProduction{job: job, nc: nc}
	p.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(job.InFlight),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) { p.failed.Add(1) }))
	return p, err
}

func (p *jetStreamProduction) close() { p.nc.Close() }

func (p *jetStreamProduction) run(ctx context.Context) (o Outcome, err error) {
	payload := make([]byte, p.job.Size)
	for limit := newLimit(p.job); !limit.reached(ctx, o.Messages, false); o.Messages++ {
		if _, err := p.js.PublishAsync(p.job.Subject, payload, jetstream.WithStallWait(ackTime)); err != nil {
			return o, fmt.Errorf("publish to %s: %w", p.job.Subject, err)
		}
	}
	select {
	case <-p.js.PublishAsyncComplete():
	case <-ctx.Done():
		return o, ctx.Err()
	}
	o.Ended, o.Failed = time.Now(), p.failed.Load()
	o.Messages -= o.Failed
	return o, nil
}

// jetStreamSingle publishes and waits for each ack.
type jetStreamSingle struct {
	job *Job
	nc  *nats.Conn
	js  jetstream.JetStream
}

func newJetStreamSingle(job *Job, nc *nats.Conn) (*jetStreamSingle, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return &jetStreamSingle{job: job, nc: nc, js: js}, nil
}

func (p *jetStreamSingle) close() { p.nc.Close() }

func (p *jetStreamSingle) run(ctx context.Context) (o Outcome, err error) {
	o.Latency = NewHistogram()
	payload := make([]byte, p.job.Size)
	for limit := newLimit(p.job); !limit.reached(ctx, o.Messages, true); o.Messages++ {
		begun := time.Now()
		if _, err := p.js.Publish(ctx, p.job.Subject, payload); err != nil {
			return o, fmt.Errorf("publish to %s: %w", p.job.Subject, err)
		}
		o.Latency.Record(time.Since(begun))
	}
	o.Ended = time.Now()
	return o, nil
}

// jetStreamReading receives with an ordered consumer, in a callback.
type jetStreamReading struct {
	nc       *nats.Conn
	consumer jetstream.Consumer
	tally    *tally
	// consuming is under way before run where what is new is to be received.
	consuming jetstream.ConsumeContext
}

func newJetStreamReading(ctx context.Context, job *Job, nc *nats.Conn) (*jetStreamReading, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	policy := jetstream.DeliverAllPolicy
	if job.Task == TaskJetStreamHear {
		policy = jetstream.DeliverNewPolicy
	}
	r := &jetStreamReading{nc: nc, tally: newTally(job)}
	if r.consumer, err = js.OrderedConsumer(ctx, job.Stream, jetstream.OrderedConsumerConfig{DeliverPolicy: policy}); err != nil {
		return nil, err
	}
	if job.Task == TaskJetStreamHear {
		err = r.consume()
	}
	return r, err
}

func (r *jetStreamReading) consume() (err error) {
	r.consuming, err = r.consumer.Consume(func(m jetstream.Msg) { r.tally.hear(m.Data()) })
	return err
}

func (r *jetStreamReading) close() { r.nc.Close() }

func (r *jetStreamReading) run(ctx context.Context) (o Outcome, err error) {
	if r.consuming == nil {
		if err := r.consume(); err != nil {
			return o, fmt.Errorf("read with an ordered consumer: %w", err)
		}
	}
	r.tally.await(ctx)
	r.consuming.Stop()
	return r.tally.outcome(), nil
}

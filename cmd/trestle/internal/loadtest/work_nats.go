package loadtest

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/envelope"
)

// ackTime bounds the wait for one ack, and for NATS to take what was published.
const ackTime = time.Minute

func connectNATS(job *Job) (*nats.Conn, error) {
	nc, err := nats.Connect(job.NATS, nats.Name("trestle bench "+string(job.Task)))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", job.NATS, err)
	}
	return nc, nil
}

func prepareNATS(job *Job) (task, error) {
	nc, err := connectNATS(job)
	if err != nil {
		return nil, err
	}
	var t task
	switch job.Task {
	case TaskFlood:
		return &flood{job: job, nc: nc}, nil
	case TaskCount:
		t, err = newNATSCounter(job, nc)
	default:
		t, err = newEnvelopes(job, nc)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return t, nil
}

// flood publishes plain messages.
type flood struct {
	job *Job
	nc  *nats.Conn
}

func (f *flood) close() { f.nc.Close() }

func (f *flood) run(ctx context.Context) (o Outcome, err error) {
	payload := make([]byte, f.job.Size)
	schedule := newSchedule(time.Now(), f.job.Rate)
	for limit := newLimit(f.job); !limit.reached(ctx, o.Messages, false); o.Messages++ {
		if f.job.Rate > 0 {
			stamp(payload, schedule.await(o.Messages))
		}
		if err := f.nc.Publish(f.job.Subject, payload); err != nil {
			return o, fmt.Errorf("publish to %s: %w", f.job.Subject, err)
		}
	}
	if err := f.nc.FlushTimeout(ackTime); err != nil {
		return o, fmt.Errorf("publish to %s: %w", f.job.Subject, err)
	}
	o.Ended = time.Now()
	return o, nil
}

// natsCounter is a core NATS subscriber, which counts and keeps nothing.
type natsCounter struct {
	nc    *nats.Conn
	tally *tally
}

func newNATSCounter(job *Job, nc *nats.Conn) (*natsCounter, error) {
	c := &natsCounter{nc: nc, tally: newTally(job)}
	sub, err := nc.Subscribe(job.Subject, func(m *nats.Msg) { c.tally.hear(m.Data) })
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", job.Subject, err)
	}
	return c, nil
}

func (c *natsCounter) close() { c.nc.Close() }

func (c *natsCounter) run(ctx context.Context) (Outcome, error) {
	c.tally.await(ctx)
	return c.tally.outcome(), nil
}

// envelopes publishes envelopes and waits for the ack of each at an inbox: what a publisher without our client can have.
type envelopes struct {
	job  *Job
	nc   *nats.Conn
	acks *nats.Subscription
}

func newEnvelopes(job *Job, nc *nats.Conn) (*envelopes, error) {
	acks, err := nc.SubscribeSync(nats.NewInbox())
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("listen for acks: %w", err)
	}
	return &envelopes{job: job, nc: nc, acks: acks}, nil
}

func (e *envelopes) close() { e.nc.Close() }

func (e *envelopes) run(ctx context.Context) (o Outcome, err error) {
	o.Latency = NewHistogram()
	m := envelope.Message{Value: make([]byte, e.job.Size), AckInbox: []byte(e.acks.Subject), AckPolicy: envelope.AckAll}
	for limit := newLimit(e.job); !limit.reached(ctx, o.Messages, true); o.Messages++ {
		begun := time.Now()
		if err := e.publish(&m, o.Messages); err != nil {
			return o, fmt.Errorf("publish an envelope to %s: %w", e.job.Subject, err)
		}
		o.Latency.Record(time.Since(begun))
	}
	o.Ended = time.Now()
	return o, nil
}

func (e *envelopes) publish(m *envelope.Message, n int64) error {
	m.CorrelationID = strconv.AppendInt(m.CorrelationID[:0], n, 10)
	frame, err := m.Marshal()
	if err != nil {
		return err
	}
	if err := e.nc.Publish(e.job.Subject, frame); err != nil {
		return err
	}
	reply, err := e.acks.NextMsg(ackTime)
	if err != nil {
		return fmt.Errorf("wait for the ack: %w", err)
	}
	ack, err := envelope.ParseAck(reply.Data)
	if err != nil {
		return fmt.Errorf("parse the ack: %w", err)
	}
	if string(ack.CorrelationID) != string(m.CorrelationID) {
		return fmt.Errorf("the ack is of message %q and not of %q", ack.CorrelationID, m.CorrelationID)
	}
	return ack.Err()
}

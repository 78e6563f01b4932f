package loadtest

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/trestlehq/trestle/client"
)

const (
	// pollTime is how often a server is asked how far it is: rates of capturing are as exact as that.
	pollTime = 5 * time.Millisecond
	// cleanTime bounds the removal of a stream, also when the bench was interrupted.
	cleanTime = 15 * time.Second
)

// Trestle is a Trestle server under load. It is for one goroutine at a time.
type Trestle struct {
	Server Server
	Client *client.Client
	Crew   *Crew
	// Fanout has the streams that are published to over gRPC pass on what they store to NATS.
	Fanout bool

	streams int // made so far
}

// newStream makes a stream with a name and a subject of its own.
func (t *Trestle) newStream(ctx context.Context, sync client.Sync, fanout bool) (*stream, error) {
	t.streams++
	name := fmt.Sprintf("bench-%d-%d", os.Getpid(), t.streams)
	s, err := t.Client.CreateStream(ctx, client.StreamConfig{
		Name: name, Subjects: []string{name + ".captured"}, Partitions: 1, Sync: sync, Fanout: fanout,
	})
	if err != nil {
		return nil, err
	}
	return &stream{Stream: s, name: name, subject: name + ".captured"}, nil
}

// stream is one of a bench.
type stream struct {
	*client.Stream
	name, subject string
}

// remove deletes the stream, also when ctx has ended.
func (s *stream) remove(ctx context.Context) error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	return s.Delete(ctx)
}

func (s *stream) state(ctx context.Context) (client.PartitionInfo, error) {
	info, err := s.Info(ctx)
	if err != nil {
		return client.PartitionInfo{}, err
	}
	return info.Partitions[0], nil
}

// onStream is a side that works on a stream of its own.
type onStream struct {
	sync    client.Sync
	fanout  bool
	fill    func(context.Context, *stream, *Load) error // nil: the stream is empty at first
	measure func(context.Context, *stream, *Load) (Measurement, error)
}

func (t *Trestle) side(name string, o onStream) Side {
	var s *stream
	return Side{
		Name: name,
		Prepare: func(ctx context.Context, l *Load) (err error) {
			if s, err = t.newStream(ctx, o.sync, o.fanout); err == nil && o.fill != nil {
				err = o.fill(ctx, s, l)
			}
			return err
		},
		Measure: func(ctx context.Context, l *Load) (Measurement, error) {
			m := t.Server.meter(ctx)
			measured, err := o.measure(ctx, s, l)
			measured.Server = m.usage(ctx)
			return measured, err
		},
		Finish: func(ctx context.Context) error { return s.remove(ctx) },
	}
}

// Capture records plain NATS messages. Took is the time until all are written, Committed that until all are committed.
func (t *Trestle) Capture(name string, sync client.Sync) Side {
	return t.side(name, onStream{sync: sync, measure: t.capture})
}

func (t *Trestle) capture(ctx context.Context, s *stream, l *Load) (m Measurement, err error) {
	before, err := s.state(ctx)
	if err != nil {
		return m, err
	}
	written, committed := &progress{from: before.NextOffset}, &progress{from: before.HighWatermark}
	flood := l.jobs(Job{Task: TaskFlood, NATS: t.Server.NATS, Subject: s.subject})
	begun, err := t.Crew.watched(ctx, flood, func(ctx context.Context) (int64, bool, error) {
		now, err := s.state(ctx)
		if err != nil {
			return 0, false, err
		}
		written.reach(now.NextOffset)
		committed.reach(now.HighWatermark)
		return committed.came, committed.came >= l.Messages, nil
	})
	if err != nil {
		return m, err
	}
	after, err := s.state(ctx)
	if err != nil {
		return m, err
	}
	return Measurement{
		Messages: committed.came, Lost: l.Messages - committed.came, Gaps: after.Gaps - before.Gaps,
		Took: written.at.Sub(begun), Committed: committed.at.Sub(begun),
	}, nil
}

// Publish publishes through the client and waits for acks; with one message in flight, for each before the next.
func (t *Trestle) Publish(name string, sync client.Sync) Side {
	return t.side(name, onStream{sync: sync, fanout: t.Fanout, measure: func(ctx context.Context, s *stream, l *Load) (Measurement, error) {
		senders := l.jobs(Job{Task: TaskProduce, Addr: t.Server.Addr, Stream: s.name})
		return t.Crew.publishedAloud(ctx, l, senders, t.Server.NATS, s.subject)
	}})
}

// Envelope publishes envelopes over NATS, and waits for the ack of each at an inbox before the next.
func (t *Trestle) Envelope(name string, sync client.Sync) Side {
	return t.side(name, onStream{sync: sync, measure: func(ctx context.Context, s *stream, l *Load) (Measurement, error) {
		return t.Crew.published(ctx, l.jobs(Job{Task: TaskEnvelope, NATS: t.Server.NATS, Subject: s.subject}))
	}})
}

// Latency publishes plain NATS messages at a rate, and has a reader of the stream receive them.
func (t *Trestle) Latency(name string, sync client.Sync) Side {
	return t.side(name, onStream{sync: sync, measure: func(ctx context.Context, s *stream, l *Load) (Measurement, error) {
		hear := Job{Task: TaskHear, Addr: t.Server.Addr, Stream: s.name, Messages: l.Messages, Rate: l.Rate}
		return t.Crew.delivered(ctx, hear, l.jobs(Job{Task: TaskFlood, NATS: t.Server.NATS, Subject: s.subject}))
	}})
}

// Read reads a stream from its start, again and again.
func (t *Trestle) Read(name string) Side {
	return t.side(name, onStream{
		sync: client.SyncAck,
		fill: func(ctx context.Context, s *stream, l *Load) error {
			return t.Crew.fill(ctx, l, Job{Task: TaskProduce, Addr: t.Server.Addr, Stream: s.name})
		},
		measure: func(ctx context.Context, s *stream, l *Load) (Measurement, error) {
			return t.Crew.delivered(ctx, Job{Task: TaskRead, Addr: t.Server.Addr, Stream: s.name, Messages: l.Messages}, nil)
		},
	})
}

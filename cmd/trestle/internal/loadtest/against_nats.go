package loadtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Core is a core NATS server under load, a worker of its own.
type Core struct {
	Server Server
	Crew   *Crew
}

// Count publishes plain messages to a subscriber, which counts them and keeps nothing.
func (n *Core) Count(name string) Side {
	const subject = "bench.heard"
	return Side{Name: name, Measure: func(ctx context.Context, l *Load) (Measurement, error) {
		meter := n.Server.meter(ctx)
		count := Job{Task: TaskCount, NATS: n.Server.NATS, Subject: subject, Messages: l.Messages, Rate: l.Rate}
		m, err := n.Crew.delivered(ctx, count, l.jobs(Job{Task: TaskFlood, NATS: n.Server.NATS, Subject: subject}))
		m.Server = meter.usage(ctx)
		return m, err
	}}
}

// JetStream is a NATS server with JetStream under load, a worker of its own. It is for one goroutine at a time.
type JetStream struct {
	Server Server
	Crew   *Crew

	nc      *nats.Conn
	js      jetstream.JetStream
	streams int // made so far
}

// ConnectJetStream connects to a server, to make streams on it.
func ConnectJetStream(server Server, crew *Crew) (*JetStream, error) {
	nc, err := nats.Connect(server.NATS, nats.Name("trestle bench"))
	if err != nil {
		return nil, fmt.Errorf("connect to JetStream at %s: %w", server.NATS, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to JetStream at %s: %w", server.NATS, err)
	}
	return &JetStream{Server: server, Crew: crew, nc: nc, js: js}, nil
}

// Close disconnects.
func (j *JetStream) Close() { j.nc.Close() }

// onJetStream is a side that works on a stream of its own, of files and one replica.
type onJetStream struct {
	fill    func(context.Context, jetstream.Stream, *Load) error // nil: the stream is empty at first
	measure func(context.Context, jetstream.Stream, *Load) (Measurement, error)
}

func (j *JetStream) side(name string, o onJetStream) Side {
	var s jetstream.Stream
	return Side{
		Name: name,
		Prepare: func(ctx context.Context, l *Load) (err error) {
			j.streams++
			name := fmt.Sprintf("bench-%d-%d", os.Getpid(), j.streams)
			s, err = j.js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".captured"}, Storage: jetstream.FileStorage})
			if err == nil && o.fill != nil {
				err = o.fill(ctx, s, l)
			}
			return err
		},
		Measure: func(ctx context.Context, l *Load) (Measurement, error) {
			meter := j.Server.meter(ctx)
			m, err := o.measure(ctx, s, l)
			m.Server = meter.usage(ctx)
			return m, err
		},
		Finish: func(ctx context.Context) error {
			if s == nil {
				return nil
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
			defer cancel()
			return j.js.DeleteStream(ctx, s.CachedInfo().Config.Name)
		},
	}
}

func subjectOf(s jetstream.Stream) string { return s.CachedInfo().Config.Subjects[0] }
func nameOf(s jetstream.Stream) string    { return s.CachedInfo().Config.Name }

// Capture stores plain messages, of which JetStream drops those that come too fast.
func (j *JetStream) Capture(name string) Side {
	return j.side(name, onJetStream{measure: j.capture})
}

func (j *JetStream) capture(ctx context.Context, s jetstream.Stream, l *Load) (m Measurement, err error) {
	before, err := s.Info(ctx)
	if err != nil {
		return m, err
	}
	stored := &progress{from: int64(before.State.LastSeq)}
	begun, err := j.Crew.watched(ctx, l.jobs(Job{Task: TaskFlood, NATS: j.Server.NATS, Subject: subjectOf(s)}), func(ctx context.Context) (int64, bool, error) {
		now, err := s.Info(ctx)
		if err != nil {
			return 0, false, err
		}
		stored.reach(int64(now.State.LastSeq))
		return stored.came, stored.came >= l.Messages, nil
	})
	if err != nil {
		return m, err
	}
	return Measurement{Messages: stored.came, Lost: l.Messages - stored.came, Took: stored.at.Sub(begun)}, nil
}

// Publish publishes and waits for acks; with one message in flight, for each before the next.
func (j *JetStream) Publish(name string) Side {
	return j.side(name, onJetStream{measure: func(ctx context.Context, s jetstream.Stream, l *Load) (Measurement, error) {
		senders := l.jobs(Job{Task: TaskJetStreamProduce, NATS: j.Server.NATS, Subject: subjectOf(s)})
		return j.Crew.publishedAloud(ctx, l, senders, j.Server.NATS, subjectOf(s))
	}})
}

// Latency publishes plain messages at a rate, and has an ordered consumer receive them.
func (j *JetStream) Latency(name string) Side {
	return j.side(name, onJetStream{measure: func(ctx context.Context, s jetstream.Stream, l *Load) (Measurement, error) {
		hear := Job{Task: TaskJetStreamHear, NATS: j.Server.NATS, Stream: nameOf(s), Messages: l.Messages, Rate: l.Rate}
		return j.Crew.delivered(ctx, hear, l.jobs(Job{Task: TaskFlood, NATS: j.Server.NATS, Subject: subjectOf(s)}))
	}})
}

// Read reads a stream from its start with an ordered consumer, again and again.
func (j *JetStream) Read(name string) Side {
	return j.side(name, onJetStream{
		fill: func(ctx context.Context, s jetstream.Stream, l *Load) error {
			return j.Crew.fill(ctx, l, Job{Task: TaskJetStreamProduce, NATS: j.Server.NATS, Subject: subjectOf(s)})
		},
		measure: func(ctx context.Context, s jetstream.Stream, l *Load) (Measurement, error) {
			read := Job{Task: TaskJetStreamRead, NATS: j.Server.NATS, Stream: nameOf(s), Messages: l.Messages}
			return j.Crew.delivered(ctx, read, nil)
		},
	})
}

// StartNATS starts a NATS server as a worker. With a folder it has JetStream, whose files are fsynced every two minutes, as
// NATS comes, or before every ack. Close of the worker ends it.
func (c *Crew) StartNATS(ctx context.Context, folder string, syncAlways bool) (*Worker, Server, error) {
	job := &Job{Task: TaskServeNATS, SyncAlways: syncAlways}
	if folder != "" {
		job.Folder = filepath.Clean(folder)
	}
	w, err := c.Start(ctx, job)
	if err != nil {
		return nil, Server{}, err
	}
	if err := w.Begin(); err != nil {
		return nil, Server{}, err
	}
	return w, w.Serves, nil
}

package loadtest

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

// Liftbridge is a Liftbridge server under load, which acks what it has not fsynced. It is for one goroutine at a time.
type Liftbridge struct {
	Server Server
	Crew   *Crew

	conn    *grpc.ClientConn
	api     liftbridgepb.APIClient
	streams int // made so far
}

// ConnectLiftbridge connects to a server, to make streams on it.
func ConnectLiftbridge(server Server, crew *Crew) (*Liftbridge, error) {
	conn, err := connectLiftbridge(server.Addr)
	if err != nil {
		return nil, err
	}
	return &Liftbridge{Server: server, Crew: crew, conn: conn, api: liftbridgepb.NewAPIClient(conn)}, nil
}

// Close disconnects.
func (b *Liftbridge) Close() { _ = b.conn.Close() }

// Ready says whether the server takes streams by now: it has found out who leads its cluster.
func (b *Liftbridge) Ready(ctx context.Context) error {
	metadata, err := b.api.FetchMetadata(ctx, &liftbridgepb.FetchMetadataRequest{})
	if err != nil {
		return fmt.Errorf("ask Liftbridge at %s for metadata: %w", b.Server.Addr, err)
	}
	if len(metadata.GetBrokers()) == 0 {
		return fmt.Errorf("Liftbridge at %s knows no broker yet", b.Server.Addr)
	}
	s, err := b.newStream(ctx)
	if err != nil {
		return err
	}
	return b.remove(ctx, s)
}

// liftStream is a stream of one partition and one replica.
type liftStream struct{ name, subject string }

func (b *Liftbridge) newStream(ctx context.Context) (liftStream, error) {
	b.streams++
	name := fmt.Sprintf("bench-%d-%d", os.Getpid(), b.streams)
	s := liftStream{name: name, subject: name + ".captured"}
	_, err := b.api.CreateStream(ctx, &liftbridgepb.CreateStreamRequest{Name: s.name, Subject: s.subject, ReplicationFactor: 1, Partitions: 1})
	if err != nil {
		return s, fmt.Errorf("create stream %q of Liftbridge: %w", s.name, err)
	}
	return s, nil
}

func (b *Liftbridge) remove(ctx context.Context, s liftStream) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	if _, err := b.api.DeleteStream(ctx, &liftbridgepb.DeleteStreamRequest{Name: s.name}); err != nil {
		return fmt.Errorf("delete stream %q of Liftbridge: %w", s.name, err)
	}
	return nil
}

// onLiftbridge is a side that works on a stream of its own.
type onLiftbridge struct {
	fill    func(context.Context, liftStream, *Load) error // nil: the stream is empty at first
	measure func(context.Context, liftStream, *Load) (Measurement, error)
}

func (b *Liftbridge) side(name string, o onLiftbridge) Side {
	var s liftStream
	var made bool
	return Side{
		Name: name,
		Prepare: func(ctx context.Context, l *Load) (err error) {
			s, err = b.newStream(ctx)
			made = err == nil
			if made && o.fill != nil {
				err = o.fill(ctx, s, l)
			}
			return err
		},
		Measure: func(ctx context.Context, l *Load) (Measurement, error) {
			meter := b.Server.meter(ctx)
			m, err := o.measure(ctx, s, l)
			m.Server = meter.usage(ctx)
			return m, err
		},
		Finish: func(ctx context.Context) error {
			if !made {
				return nil
			}
			return b.remove(ctx, s)
		},
	}
}

// Capture records plain messages. Took is the time until all are committed, which in Liftbridge is not fsynced.
func (b *Liftbridge) Capture(name string) Side {
	return b.side(name, onLiftbridge{measure: b.capture})
}

func (b *Liftbridge) capture(ctx context.Context, s liftStream, l *Load) (m Measurement, err error) {
	// Liftbridge's high watermark is the offset of the last message, -1 if there is none.
	end := func(ctx context.Context) (int64, error) {
		answer, err := b.api.FetchPartitionMetadata(ctx, &liftbridgepb.FetchPartitionMetadataRequest{Stream: s.name})
		if err != nil {
			return 0, fmt.Errorf("ask Liftbridge for the state of stream %q: %w", s.name, err)
		}
		return answer.GetMetadata().GetHighWatermark() + 1, nil
	}
	from, err := end(ctx)
	if err != nil {
		return m, err
	}
	stored := &progress{from: from}
	flood := l.jobs(Job{Task: TaskFlood, NATS: b.Server.NATS, Subject: s.subject})
	begun, err := b.Crew.watched(ctx, flood, func(ctx context.Context) (int64, bool, error) {
		now, err := end(ctx)
		stored.reach(now)
		return stored.came, stored.came >= l.Messages, err
	})
	if err != nil {
		return m, err
	}
	return Measurement{Messages: stored.came, Lost: l.Messages - stored.came, Took: stored.at.Sub(begun)}, nil
}

// Publish publishes over gRPC and waits for acks; with one message in flight, for each before the next.
func (b *Liftbridge) Publish(name string) Side {
	return b.side(name, onLiftbridge{measure: func(ctx context.Context, s liftStream, l *Load) (Measurement, error) {
		return b.Crew.published(ctx, l.jobs(Job{Task: TaskLiftbridgeProduce, Addr: b.Server.Addr, Stream: s.name}))
	}})
}

// Latency publishes plain messages at a rate, and has a subscriber receive them.
func (b *Liftbridge) Latency(name string) Side {
	return b.side(name, onLiftbridge{measure: func(ctx context.Context, s liftStream, l *Load) (Measurement, error) {
		hear := Job{Task: TaskLiftbridgeHear, Addr: b.Server.Addr, Stream: s.name, Messages: l.Messages, Rate: l.Rate}
		return b.Crew.delivered(ctx, hear, l.jobs(Job{Task: TaskFlood, NATS: b.Server.NATS, Subject: s.subject}))
	}})
}

// Read reads a stream from its start, again and again.
func (b *Liftbridge) Read(name string) Side {
	return b.side(name, onLiftbridge{
		fill: func(ctx context.Context, s liftStream, l *Load) error {
			return b.Crew.fill(ctx, l, Job{Task: TaskLiftbridgeProduce, Addr: b.Server.Addr, Stream: s.name})
		},
		measure: func(ctx context.Context, s liftStream, l *Load) (Measurement, error) {
			return b.Crew.delivered(ctx, Job{Task: TaskLiftbridgeRead, Addr: b.Server.Addr, Stream: s.name, Messages: l.Messages}, nil)
		},
	})
}

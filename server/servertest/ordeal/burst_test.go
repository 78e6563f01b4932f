package ordeal

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

var burstMessages = flag.Int("messages", 40_000, "how many plain messages a burst has")

// burstBytes is the size of a message of a burst.
const burstBytes = 128

// TestBurst publishes plain messages as fast as publishers can: none is lost, and each publisher's are in order. It prints
// the rate at which they became durable, beside that at which a core NATS subscriber got as many over the same server.
func TestBurst(t *testing.T) {
	program := built.Path(t)
	for _, external := range []bool{false, true} {
		for _, publishers := range []int{1, 4} {
			where := map[bool]string{false: "embedded", true: "external"}[external]
			t.Run(fmt.Sprintf("%s NATS publishers=%d", where, publishers), func(t *testing.T) {
				b := newBroker(t, program, external)
				core := b.core(publishers)
				took := b.burst(publishers)
				peak := inspect(t, b.server.PID()).peakBytes
				rate := float64(*burstMessages) / took.Seconds()
				t.Logf("%d messages of %d bytes: 0 lost, durable after %v, %.0f/s; core NATS subscriber %.0f/s (%.0f %%); peak memory of the server %s",
					*burstMessages, burstBytes, took.Round(time.Millisecond), rate, core, 100*rate/core, mebibytes(peak))
			})
		}
	}
}

// broker is a server in a process of its own, and NATS, embedded or external.
type broker struct {
	t       *testing.T
	program string
	server  *servertest.Server
	client  *client.Client
}

func newBroker(t *testing.T, program string, external bool) *broker {
	t.Helper()
	var flags []string
	if external {
		flags = []string{"--nats", startNATS(t)}
	}
	return launch(t, program, t.TempDir(), flags...)
}

// launch starts a server on a folder.
func launch(t *testing.T, program, dataDir string, flags ...string) *broker {
	t.Helper()
	b := &broker{t: t, program: program}
	b.start(t.Context(), dataDir, flags...)
	var err error
	if b.client, err = client.Connect(t.Context(), b.server.GRPC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.client.Close() })
	return b
}

func (b *broker) start(ctx context.Context, dataDir string, flags ...string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	s, err := servertest.Launch(ctx, b.program, dataDir, flags...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Kill)
	b.server = s
}

// core is how many messages a second a core NATS subscriber gets, which is this process.
func (b *broker) core(publishers int) float64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), roundLimit)
	defer cancel()
	c, err := nats.Connect(b.server.NATS, nats.Timeout(readyLimit), nats.ErrorHandler(quiet))
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	var got atomic.Int64
	last := make(chan time.Time, 1)
	sub, err := c.Subscribe("core.*", func(*nats.Msg) {
		if got.Add(1) == int64(*burstMessages) {
			last <- time.Now()
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), c.Flush()); err != nil {
		b.t.Fatal(err)
	}
	sent := floodAll(ctx, b.t, publishers, flood{url: b.server.NATS, subject: "core", count: *burstMessages, size: burstBytes})
	select {
	case at := <-last:
		return float64(sent.count) / at.Sub(sent.begun).Seconds()
	case <-ctx.Done():
		b.t.Fatalf("the core NATS subscriber got %d of %d messages", got.Load(), sent.count)
		return 0
	}
}

// burst publishes to a stream, checks that all is there, and returns how long it took until it was durable.
func (b *broker) burst(publishers int) time.Duration {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), roundLimit)
	defer cancel()
	s, err := b.client.CreateStream(ctx, client.StreamConfig{Name: "burst", Subjects: []string{"burst.*"}})
	if err != nil {
		b.t.Fatal(err)
	}
	durable := make(chan time.Time, 1)
	var watch error
	go func() {
		watch = b.awaitDurable(ctx, s, int64(*burstMessages))
		durable <- time.Now()
	}()
	sent := floodAll(ctx, b.t, publishers, flood{url: b.server.NATS, subject: "burst", count: *burstMessages, size: burstBytes})
	at := <-durable
	if watch != nil {
		b.t.Fatalf("%v; the server's log ends:\n%s", watch, b.server.Log())
	}
	stored, err := countInOrder(ctx, s)
	if err != nil {
		b.t.Fatal(err)
	}
	if stored != sent.count {
		b.t.Fatalf("%d messages are stored of %d that were published", stored, sent.count)
	}
	return at.Sub(sent.begun)
}

// awaitDurable returns when so many messages of the stream are durable.
func (b *broker) awaitDurable(ctx context.Context, s *client.Stream, messages int64) error {
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	for {
		info, err := s.Info(ctx)
		if err != nil {
			return err
		}
		if info.Partitions[0].DurableOffset >= messages {
			return nil
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages are durable: %w", info.Partitions[0].DurableOffset, messages, ctx.Err())
		}
	}
}

// countInOrder reads a stream and counts its messages. One that is not after its publisher's last is an error; one that is
// missing is not.
func countInOrder(ctx context.Context, s *client.Stream) (count int, err error) {
	next := map[uint64]uint64{}
	err = s.Handle(ctx, func(_ context.Context, m *client.Message) error {
		publisher, number := binary.BigEndian.Uint64(m.Value), binary.BigEndian.Uint64(m.Value[8:])
		if number < next[publisher] {
			return fmt.Errorf("it is message %d of publisher %d after %d", number, publisher, next[publisher]-1)
		}
		next[publisher] = number + 1
		count++
		return nil
	}, client.FromEarliest(), client.UntilLatest())
	if err != nil {
		return count, fmt.Errorf("after %d messages: %w", count, err)
	}
	return count, nil
}

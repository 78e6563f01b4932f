package ordeal

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
)

var overloadTime = flag.Duration("overload", time.Second, "how long publishers are faster than the disk")

const (
	overloadBytes      = 32 << 10 // the size of a message: disks are slower than connections
	overloadPublishers = 2
	// overloadMemory is what a server may take: its budgets (server/DESIGN.md §3) and what the Go runtime adds.
	overloadMemory = 1 << 30
)

// TestOverload has publishers that are faster than the disk: memory stays bounded, and what was published is stored or in a
// gap (architecture.md §6: no silent loss).
func TestOverload(t *testing.T) {
	program := built.Path(t)
	for _, external := range []bool{false, true} {
		where := map[bool]string{false: "embedded", true: "external"}[external]
		t.Run(where+" NATS", func(t *testing.T) {
			b := newBroker(t, program, external)
			ctx, cancel := context.WithTimeout(t.Context(), *overloadTime+roundLimit)
			defer cancel()
			s, err := b.client.CreateStream(ctx, client.StreamConfig{Name: "burst", Subjects: []string{"burst.*"}})
			if err != nil {
				t.Fatal(err)
			}
			sent := floodAll(ctx, t, overloadPublishers, flood{
				url: b.server.NATS, subject: "burst", size: overloadBytes, time: *overloadTime,
			})
			b.settle(ctx, s, sent.count)
			stored, lost, known, err := account(ctx, s)
			if err != nil {
				t.Fatal(err)
			}
			peak := inspect(t, b.server.PID()).peakBytes
			took := sent.end.Sub(sent.begun)
			t.Logf("%d messages of %d bytes in %v, %s/s: %d stored, %s/s, %d in gaps (all counted: %v); peak memory of the server %s",
				sent.count, overloadBytes, took.Round(time.Millisecond), perSecond(sent.count, took), stored, perSecond(stored, took), lost, known, mebibytes(peak))
			if external && lost == 0 && known {
				t.Log("the disk was as fast as the publishers: this says nothing of gaps")
			}
			missing := sent.count - stored
			if missing < lost || known && missing != lost {
				t.Errorf("%d messages are missing and the gaps say %d (all counted: %v)", missing, lost, known)
			}
			if peak > overloadMemory {
				t.Errorf("the server took %s, more than %s", mebibytes(peak), mebibytes(overloadMemory))
			}
		})
	}
}

// perSecond is so many messages in that time.
func perSecond(messages int, took time.Duration) string {
	return mebibytes(int64(float64(messages) * overloadBytes / took.Seconds()))
}

// quietTime is how long nothing more may be stored until it is taken that nothing will. A disk may be busy for seconds.
const quietTime = 15 * time.Second

// settle returns when all that was published is durable, or nothing more comes in.
func (b *broker) settle(ctx context.Context, s *client.Stream, published int) {
	b.t.Helper()
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for last, since := int64(-1), time.Now(); time.Since(since) < quietTime; {
		info, err := s.Info(ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		if end := info.Partitions[0].DurableOffset; end != last {
			last, since = end, time.Now()
		}
		if last >= int64(published) {
			return
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			b.t.Fatalf("%d messages are durable and more come in: %v", last, ctx.Err())
		}
	}
}

// account counts what is stored and what gaps say is missing; known: each gap says how many.
func account(ctx context.Context, s *client.Stream) (stored, lost int, known bool, err error) {
	known = true
	err = s.Handle(ctx, func(context.Context, *client.Message) error {
		stored++
		return nil
	}, client.FromEarliest(), client.UntilLatest(), client.OnGap(func(_ int, g client.Gap) {
		lost += int(g.AtLeast)
		known = known && g.AtLeast > 0
	}))
	if err != nil {
		return stored, lost, known, fmt.Errorf("after %d messages: %w", stored, err)
	}
	return stored, lost, known, nil
}

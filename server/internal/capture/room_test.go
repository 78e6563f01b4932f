package capture

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// frozen are partitions of which none stores anything until they thaw.
type frozen struct {
	mu             sync.Mutex
	thawed, full   bool
	queued, most   int // bytes
	taken, missing int
	waiting        []func()
}

func (f *frozen) CaptureWith(r *batch.Record, c partition.Captured) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.NoRoom || f.full {
		f.missing++
		if c.OnSettled != nil {
			c.OnSettled()
		}
		return nil
	}
	f.taken++
	switch {
	case !f.thawed:
		f.queued += r.Size()
		f.most = max(f.most, f.queued)
		if c.OnSettled != nil {
			f.waiting = append(f.waiting, c.OnSettled)
		}
	case c.OnSettled != nil:
		c.OnSettled()
	}
	return nil
}

func (f *frozen) AppendGap(batch.Gap) error { return nil }

func (f *frozen) Full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full
}

func (f *frozen) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.thawed, f.queued = true, 0
	for _, answer := range f.waiting {
		answer()
	}
	f.waiting = nil
}

func (f *frozen) counts() (taken, missing, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken, f.missing, f.most
}

// What waits in all partitions together stays within the budget. Beside a NATS that cuts off who does not read the rest
// becomes gaps: published is stored and missing (S13); the embedded one is not read, and nothing is missing.
func TestRoomOfAllPartitions(t *testing.T) {
	t.Parallel()
	const partitions, each, size, budget = 24, 100, 4 << 10, 2 << 20
	for name, limits := range map[string]backpressure{"dropping": dropping, "slowing": slowing} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &frozen{}
			s, client := capturing(t, f, partitions, budget, limits)
			for i := range partitions * each {
				if err := client.Publish(fmt.Sprintf("orders.%d", i%partitions), make([]byte, size)); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.Flush(); err != nil {
				t.Fatal(err)
			}
			for { // until all that can be taken is
				taken, missing, _ := f.counts()
				if _, full := s.dispatcher.room.full(); full && (limits.drops == 0 || taken+missing == partitions*each) {
					break
				}
				if err := client.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			f.thaw()
			for taken, missing := 0, 0; taken+missing < partitions*each; taken, missing, _ = f.counts() {
				if err := client.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			taken, missing, most := f.counts()
			if taken+missing != partitions*each || (missing > 0) != (limits.drops > 0) {
				t.Errorf("%d taken and %d missing of %d", taken, missing, partitions*each)
			}
			if at := budget + partitions*(markEvery+size); most > at || most < budget/2 {
				t.Errorf("%d bytes waited, of %d", most, budget)
			}
			if n := s.dispatcher.room.bytes(); n != 0 {
				t.Errorf("%d bytes are still counted", n)
			}
		})
	}
}

// On a full disk what waits frees no room; so nobody waits for it, and publishers go on (1.11).
func TestFullDiskHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	const messages, size = 1000, 4 << 10
	f := &frozen{}
	s, client := capturing(t, f, 1, 1<<20, slowing)
	for range messages {
		if err := client.Publish("orders.0", make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, full := s.dispatcher.room.full(); !full; _, full = s.dispatcher.room.full() {
		if err := client.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	f.mu.Lock()
	f.full = true
	f.mu.Unlock()
	for deadline, done := time.Now().Add(10*time.Second), 0; done < messages; {
		taken, missing, _ := f.counts()
		if done = taken + missing; time.Now().After(deadline) {
			t.Fatalf("%d taken and %d missing of %d", taken, missing, messages)
		}
		if err := client.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	f.thaw()
	if n := s.dispatcher.room.bytes(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// capturing is a source that captures orders.0 and so on, each with a partition of its own.
func capturing(t *testing.T, sink Sink, partitions, budget int, limits backpressure) (*Source, *nats.Conn) {
	t.Helper()
	n, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoSystemAccount: true})
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(func() { n.Shutdown(); n.WaitForShutdown() })
	if !n.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	s, err := connect(t.Context(), Config{
		URLs: n.ClientURL(), MaxMessageBytes: 8 << 20, QueuedBytes: budget, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for i := range partitions {
		target := Target{UUID: [16]byte{byte(i + 1)}, Subjects: []string{fmt.Sprintf("orders.%d", i)}, Settings: &Live{}}
		if _, err := s.Subscribe(t.Context(), target, sink); err != nil {
			t.Fatal(err)
		}
	}
	closed := make(chan struct{})
	client, err := nats.Connect(n.ClientURL(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); <-closed })
	return s, client
}

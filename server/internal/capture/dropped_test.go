package capture

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// stuck is a sink that takes nothing until it is let go.
type stuck struct {
	until   chan struct{}
	records atomic.Int64
	gaps    chan batch.Gap
}

func (s *stuck) CaptureWith(*batch.Record, partition.Captured) error {
	<-s.until
	s.records.Add(1)
	return nil
}

func (s *stuck) AppendGap(gap batch.Gap) error {
	s.gaps <- gap
	return nil
}

// What nats.go drops is counted in a gap: published is stored and missing (S13). The headroom of the channel keeps it from
// dropping anything; here there is a gate that never shuts.
func TestDroppedByTheClient(t *testing.T) {
	t.Parallel()
	n, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoSystemAccount: true})
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	defer func() { n.Shutdown(); n.WaitForShutdown() }()
	if !n.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	s, err := connect(t.Context(), Config{
		URLs: n.ClientURL(), MaxMessageBytes: 8 << 20, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, backpressure{gateLimits: slowing.gateLimits, capacity: headroom + 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.dispatcher.gate.close() // it lets everything through
	sink := &stuck{until: make(chan struct{}), gaps: make(chan batch.Gap, 100)}
	sub, err := s.Subscribe(t.Context(), Target{Subjects: []string{"orders"}, Settings: &Live{}}, sink)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	client, err := nats.Connect(n.ClientURL(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { client.Close(); <-closed }()
	const published = headroom + 1000
	for range published {
		if err := client.Publish("orders", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Flush(); err != nil {
		t.Fatal(err)
	}
	first := <-sink.gaps
	if first.Cause != batch.GapNATSDropped || !first.Counted || first.FromTime >= first.ToTime {
		t.Errorf("gap %+v", first)
	}
	close(sink.until)
	if err := sub.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	missing := first.AtLeast
	for len(sink.gaps) > 0 {
		gap := <-sink.gaps
		missing += gap.AtLeast
	}
	if stored := uint64(sink.records.Load()); stored+missing != published || missing == 0 || s.Counters().NATSDropped != missing {
		t.Errorf("%d published, %d stored and %d in gaps", published, stored, missing)
	}
}

package capture_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/dedup"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// world is a NATS server, a source that captures from it, and a client.
type world struct {
	*capture.Source
	t      *testing.T
	server *natsserver.Server
	port   int
	client *nats.Conn
}

func newWorld(t *testing.T, changes ...func(*capture.Config)) *world {
	t.Helper()
	w := &world{t: t, port: natsserver.RANDOM_PORT}
	w.startNATS()
	config := capture.Config{
		URLs: w.server.ClientURL(), Name: "test", MaxMessageBytes: 8 << 20,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, change := range changes {
		change(&config)
	}
	var err error
	if w.Source, err = capture.Connect(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.client = w.connect(w.server.ClientURL())
	return w
}

// startNATS starts a NATS server without JetStream, the second time on the port of the first.
func (w *world) startNATS() {
	w.t.Helper()
	server, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: w.port, NoSigs: true, NoSystemAccount: true})
	if err != nil {
		w.t.Fatal(err)
	}
	server.Start()
	if !server.ReadyForConnections(patience) {
		w.t.Fatal("NATS did not start")
	}
	w.server = server
	addr, ok := server.Addr().(*net.TCPAddr)
	if !ok {
		w.t.Fatalf("NATS listens on %v", server.Addr())
	}
	w.port = addr.Port
	w.t.Cleanup(func() { stopNATS(server) })
}

func stopNATS(s *natsserver.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func (w *world) connect(url string) *nats.Conn {
	w.t.Helper()
	closed := make(chan struct{})
	conn, err := nats.Connect(url, nats.ClosedHandler(func(*nats.Conn) { close(closed) }), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close(); <-closed })
	return conn
}

func (w *world) publish(msgs ...*nats.Msg) {
	w.t.Helper()
	for _, m := range msgs {
		if err := w.client.PublishMsg(m); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.client.Flush(); err != nil {
		w.t.Fatal(err)
	}
}

// target is what a partition of a stream listens on.
func target(stream string, subjects ...string) capture.Target {
	t := capture.Target{UUID: [16]byte{1}, Subjects: subjects, Settings: &capture.Live{}}
	copy(t.UUID[1:], stream)
	t.Settings.Set(capture.Settings{Stream: stream, Partitions: 1})
	return t
}

func (w *world) subscribe(target capture.Target, sink capture.Sink) *capture.Subscription {
	w.t.Helper()
	sub, err := w.Subscribe(w.t.Context(), target, sink)
	if err != nil {
		w.t.Fatal(err)
	}
	return sub
}

func (w *world) drain(sub *capture.Subscription) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := sub.Drain(ctx); err != nil {
		w.t.Error(err)
	}
}

// lead leads a partition in memory.
func (w *world) lead() *partition.Partition {
	w.t.Helper()
	log, _, err := commitlog.Open("/log", commitlog.Options{Files: commitlog.NewFiles(vfs.NewMem(1), 8), Partition: [16]byte{1}})
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := partition.Lead(partition.Config{
		Log: log, Epoch: 1, Now: time.Now, OnFault: func(err error) { w.t.Errorf("fault: %v", err) },
		Settings: partition.Settings{DedupWindow: time.Minute}, Dedup: &partition.Dedup{Key: dedup.Key{1}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = p.Close() })
	return p
}

// kept is a record that a sink got.
type kept struct {
	subject, key, value string
	captured            partition.Captured
}

// memory is a sink that keeps what it gets.
type memory struct {
	mu      sync.Mutex
	changed chan struct{} // closed when something comes
	records []kept
	gaps    []batch.Gap
	refuse  error
}

func newMemory() *memory { return &memory{changed: make(chan struct{})} }

func (m *memory) CaptureWith(r *batch.Record, c partition.Captured) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	m.records = append(m.records, kept{string(r.Subject), string(r.Key), string(r.Value), c})
	m.tell()
	return nil
}

func (*memory) Full() bool { return false }

func (m *memory) AppendGap(gap batch.Gap) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gaps = append(m.gaps, gap)
	m.tell()
	return nil
}

func (m *memory) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// await waits until the sink has what is asked for.
func (m *memory) await(t *testing.T, what string, has func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		m.mu.Lock()
		ok, changed := has(), m.changed
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no %s: %d records, gaps %+v", what, len(m.records), m.gaps)
		}
	}
}

func (m *memory) awaitRecords(t *testing.T, n int) []kept {
	t.Helper()
	m.await(t, "records", func() bool { return len(m.records) >= n })
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.records) != n {
		t.Fatalf("%d records, want %d", len(m.records), n)
	}
	return m.records
}

func (m *memory) awaitGap(t *testing.T, cause batch.GapCause) batch.Gap {
	t.Helper()
	var gap batch.Gap
	m.await(t, "gap", func() bool {
		for _, gap = range m.gaps {
			if gap.Cause == cause {
				return true
			}
		}
		return false
	})
	return gap
}

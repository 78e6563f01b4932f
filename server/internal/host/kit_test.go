package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dataDir = "/data"
	raftID  = "b@1"
)

// control is metadata that is durable the moment it is proposed.
type control struct {
	*metadata.Machine
	mu    sync.Mutex
	index uint64 // guarded by mu
}

func (c *control) Propose(ctx context.Context, cmd *clusterv1.Command) (*clusterv1.Answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", host.ErrNoMetadataLeader, err)
	}
	encoded, err := metadata.EncodeCommand(cmd)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = max(c.index, c.State().Index()) + 1
	result, err := metadata.DecodeResult(c.Apply(c.index, encoded))
	if err != nil {
		return nil, err
	}
	return result.Answer, result.Err()
}

// at is a control that knows what was decided up to that state.
func at(t *testing.T, s *metadata.State) *control {
	t.Helper()
	var snapshot bytes.Buffer
	c := &control{Machine: metadata.NewMachine()}
	if _, err := s.WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	if err := c.Restore(&snapshot); err != nil {
		t.Fatal(err)
	}
	return c
}

// world is a broker's disk and the metadata, and a host on them while it runs.
type world struct {
	*host.Host
	t       *testing.T
	disk    *vfs.Mem
	control *control
	folder  *host.Folder
	close   []func() error
	unheard error // what Close is told of messages that nobody heard
	key     []byte

	mu       sync.Mutex
	captured map[string]int // subjects that are captured now, how many times; guarded by mu
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, disk: vfs.NewMem(1), control: &control{Machine: metadata.NewMachine()}}
}

// tryStart starts a host on the disk.
func (w *world) tryStart() error {
	w.captured = map[string]int{}
	folder, err := host.OpenFolder(w.disk, dataDir, "b", "", "c")
	if err != nil {
		return err
	}
	w.folder = folder
	files := commitlog.NewFiles(w.disk, 64)
	w.close = []func() error{files.Close, folder.Close}
	marks, err := folder.OpenMarks()
	if err == nil {
		w.close = append([]func() error{marks.Close}, w.close...)
		w.Host, err = host.Open(w.t.Context(), host.Config{
			Folder: folder, Files: files, Marks: marks, Metadata: w.control, Subscribe: w.subscribe,
			Unheard: func() error { return w.unheard }, EncryptionKey: w.key,
			RaftID: raftID, ClientAddress: "h:1", PeerAddress: "h:2", Now: time.Now,
			OnFault: func(err error) { w.t.Errorf("fault: %v", err) }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
	}
	if err != nil {
		return errors.Join(err, w.release())
	}
	return nil
}

func (w *world) start() *world {
	w.t.Helper()
	if err := w.tryStart(); err != nil {
		w.t.Fatalf("start: %v", err)
	}
	return w
}

func (w *world) release() error {
	var errs []error
	for _, c := range w.close {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// stop stops the host in order.
func (w *world) stop() {
	w.t.Helper()
	if err := errors.Join(w.Close(w.t.Context()), w.release()); err != nil {
		w.t.Errorf("stop: %v", err)
	}
}

// kill ends the host as a power cut does.
func (w *world) kill() {
	w.t.Helper()
	disk := w.disk.CrashClone(vfs.KeepNone)
	w.stop()
	w.disk = disk
}

type captured func()

func (c captured) Drain(context.Context) error {
	c()
	return nil
}

func (w *world) subscribe(_ context.Context, target capture.Target, _ capture.Sink) (host.Capture, error) {
	subjects := target.Subjects
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range subjects {
		w.captured[s]++
	}
	return captured(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range subjects {
			if w.captured[s]--; w.captured[s] == 0 {
				delete(w.captured, s)
			}
		}
	}), nil
}

func (w *world) wantCaptured(subjects ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []string
	for s, n := range w.captured {
		if n != 1 {
			w.t.Errorf("%q is captured %d times", s, n)
		}
		got = append(got, s)
	}
	slices.Sort(got)
	if !slices.Equal(got, subjects) {
		w.t.Errorf("captured: %q, want %q", got, subjects)
	}
}

func (w *world) create(config *trestlev1.StreamConfig) *trestlev1.StreamState {
	w.t.Helper()
	s, _, err := w.Create(w.t.Context(), config, false)
	if err != nil {
		w.t.Fatalf("create: %v", err)
	}
	return s
}

func orders() *trestlev1.StreamConfig {
	return &trestlev1.StreamConfig{Name: "orders", Subjects: []string{"orders"}}
}

// publish publishes a value and returns its offset.
func (w *world) publish(stream string, number int32, value string) int64 {
	w.t.Helper()
	p, _, err := w.Publishable(stream, number)
	if err != nil {
		w.t.Fatalf("publish: %v", err)
	}
	records := batch.AppendRecord(nil, &batch.Record{Value: []byte(value)})
	ack, err := p.Publish(w.t.Context(), partition.Batch{Records: records, Count: 1, Checksum: batch.Checksum(records)})
	if err != nil {
		w.t.Fatalf("publish: %v", err)
	}
	return ack.BaseOffset
}

// values reads all that a partition holds.
func (w *world) values(stream string, number int32) []string {
	w.t.Helper()
	p, err := w.PartitionOf(stream, number)
	if err != nil {
		w.t.Fatalf("read: %v", err)
	}
	r, err := p.NewReader(partition.Place{Kind: partition.AtEarliest}, partition.Place{Kind: partition.AtLatest}, 0)
	if err != nil {
		w.t.Fatalf("read: %v", err)
	}
	var got []string
	for {
		chunk, err := r.Next(w.t.Context())
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			w.t.Fatalf("read: %v", err)
		}
		got = append(got, valuesIn(w.t, chunk.Batches)...)
	}
}

func valuesIn(t *testing.T, batches []byte) []string {
	t.Helper()
	var got []string
	for len(batches) > 0 {
		h, err := batch.ParseHeader(batches)
		if err != nil {
			t.Fatal(err)
		}
		if !h.Control() {
			_, err = batch.CheckRecords(batches[batch.HeaderSize:h.Size], func(r *batch.Record) error {
				got = append(got, string(r.Value))
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		batches = batches[h.Size:]
	}
	return got
}

func (w *world) want(stream string, number int32, values ...string) {
	w.t.Helper()
	if got := w.values(stream, number); !slices.Equal(got, values) {
		w.t.Errorf("stream %s: got %q, want %q", stream, got, values)
	}
}

// crashAt runs do on a world that prepare made, crashes it before the n-th operation on the disk, starts it again, and has
// check look at it. It goes through all n, and says how many there are.
func crashAt(t *testing.T, prepare func(*world), do func(*world) error, check func(w *world, done bool)) {
	t.Helper()
	for n := 1; ; n++ {
		if n > 400 {
			t.Fatal("more than 400 operations")
		}
		w := newWorld(t)
		w.disk = vfs.NewMem(uint64(n))
		prepare(w)
		var mu sync.Mutex
		var crashed *vfs.Mem
		var state *metadata.State
		ops := 0
		w.disk.OnOp(func(vfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if ops++; ops == n && crashed == nil {
				crashed, state = w.disk.CrashClone(vfs.KeepRandom), w.control.State()
			}
			return nil
		})
		err := do(w)
		if err != nil {
			t.Fatalf("without a crash: %v", err)
		}
		mu.Lock()
		done := crashed == nil
		if done {
			crashed, state = w.disk.CrashClone(vfs.KeepRandom), w.control.State()
		}
		ops = n // from now on nothing counts
		mu.Unlock()
		w.stop()
		again := &world{t: t, disk: crashed, control: at(t, state)}
		if err := again.tryStart(); err != nil {
			t.Fatalf("crash before operation %d: %v", n, err)
		}
		check(again, done)
		again.stop()
		if t.Failed() {
			t.Fatalf("crash before operation %d", n)
		}
		if done {
			t.Logf("%d operations", n-1)
			return
		}
	}
}

package partition_test

import (
	"errors"
	"math"
	"strconv"
	"sync"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// told is what a listener was told.
type told struct {
	ack partition.Ack
	err error
}

// ear is a listener that keeps what it hears.
type ear struct {
	mu     sync.Mutex
	heard  map[uint64][]told
	groups int
	all    chan struct{} // closed when want batches were heard of
	want   int
}

func newEar(want int) *ear {
	return &ear{heard: map[uint64][]told{}, all: make(chan struct{}), want: want}
}

func (e *ear) Settled(tag uint64, ack partition.Ack, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard[tag] = append(e.heard[tag], told{ack, err})
	if len(e.heard) == e.want && len(e.heard[tag]) == 1 {
		close(e.all)
	}
}

func (e *ear) SettledGroup() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.groups++
}

// Batches that are started and not waited for are stored in the order of the calls, and each is answered once, in groups.
func TestStartKeepsOrder(t *testing.T) {
	t.Parallel()
	const n = 1024
	s := newSetup(1)
	r := s.lead(t, withDedup)
	e := newEar(n)
	for i := range n {
		if err := r.StartFor(messages(message("", strconv.Itoa(i))), e, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	<-e.all
	r.close(t)
	for i := range n {
		got := e.heard[uint64(i)]
		if len(got) != 1 || got[0].err != nil || got[0].ack.BaseOffset != int64(i) || !got[0].ack.Durable {
			t.Fatalf("batch %d: got %+v, want offset %d, durable, once", i, got, i)
		}
	}
	if e.groups == 0 || e.groups > n/2 {
		t.Errorf("%d batches were told of in %d groups", n, e.groups)
	}
	if err := r.Start(messages(message("", "v")), func(partition.Ack, error) { t.Error("told of a batch that was refused") }); !errors.Is(err, partition.ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
}

// Whatever happens to the disk, each batch that was started is answered once before the partition has closed, and what was
// acked is there (S10).
func TestStartAnswersOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		s := newSetup(seed)
		r := s.lead(t, withDedup)
		e := newEar(-1)
		started := map[uint64]bool{}
		for i := range uint64(400) {
			switch i {
			case 100:
				s.disk.SetCapacity(1)
			case 200:
				s.disk.SetCapacity(0)
			case 300:
				s.disk = s.disk.Crash(vfs.KeepRandom)
			}
			handOn := r.StartFor
			if i%3 == 0 {
				handOn = r.FinishFor
			}
			if handOn(messages(message("", strconv.FormatUint(i, 10))), e, i) == nil {
				started[i] = true
			}
		}
		_ = r.Close()
		stored := map[int64]string{}
		again := s.lead(t, withDedup)
		for _, f := range again.all(t) {
			stored[f.Offset] = f.Value
		}
		again.close(t)
		for tag := range started {
			got := e.heard[tag]
			if len(got) != 1 {
				t.Fatalf("seed %d, batch %d: told %d times, want once", seed, tag, len(got))
			}
			if value := strconv.FormatUint(tag, 10); got[0].err == nil && stored[got[0].ack.BaseOffset] != value {
				t.Fatalf("seed %d, batch %s was acked at %d, where %q is", seed, value, got[0].ack.BaseOffset, stored[got[0].ack.BaseOffset])
			}
		}
		if len(e.heard) != len(started) {
			t.Errorf("seed %d: told of %d batches, %d were started", seed, len(e.heard), len(started))
		}
	}
}

// The largest time and the largest offset there are count as what they are, and not as the smallest.
func TestBackwardsFromTheEndOfTime(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t)
	for _, v := range []string{"a", "b"} {
		if _, err := r.Publish(t.Context(), messages(message("", v))); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.read(t, partition.ReadOptions{Start: atTime(math.MaxInt64), Stop: at(partition.AtNever), Backwards: true}); len(got) != 2 {
		t.Errorf("from the end of time: got %v, want both records", got)
	}
	if got := r.read(t, partition.ReadOptions{Start: at(partition.AtEnd), Stop: atOffset(math.MaxInt64), Backwards: true}); len(got) != 0 {
		t.Errorf("down to the largest offset: got %v, want nothing", got)
	}
	r.close(t)
}

// What a batch in flight costs does not grow with its answer: it allocates when it is started, and not again when it is
// settled.
func BenchmarkStart(b *testing.B) {
	r := newSetup(1).lead(b)
	batch := messages(message("", "a value of some bytes"))
	batch.Attributes = 0
	b.ReportAllocs()
	for left := b.N; left > 0; {
		n := min(left, 1024)
		e := &counter{want: n, all: make(chan struct{})}
		for i := range n {
			if err := r.StartFor(batch, e, uint64(i)); err != nil {
				b.Fatal(err)
			}
		}
		<-e.all
		left -= n
	}
	b.StopTimer()
	if err := r.Close(); err != nil {
		b.Error(err)
	}
}

// counter is a listener that counts.
type counter struct {
	mu   sync.Mutex
	want int
	all  chan struct{}
}

func (c *counter) Settled(uint64, partition.Ack, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.want--; c.want == 0 {
		close(c.all)
	}
}

func (c *counter) SettledGroup() {}

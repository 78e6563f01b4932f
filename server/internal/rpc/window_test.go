package rpc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/trestlehq/trestle/proto/codec"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// noStreams is a broker without streams. It counts how many ask for one at one time.
type noStreams struct {
	Streams
	asking, most atomic.Int64
}

func (s *noStreams) Publishable(name string, _ int32) (*partition.Partition, []string, error) {
	if n := s.asking.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	for range 10 {
		runtime.Gosched()
	}
	s.asking.Add(-1)
	return nil, nil, &host.StreamNotFoundError{Stream: name}
}

// deafClient sends batches and reads answers only when it is told to.
type deafClient struct {
	grpc.ServerStream
	ctx      context.Context
	batches  int64
	bytes    int
	received atomic.Int64
	sending  chan struct{} // closed when the broker sends its first answer
	listen   chan struct{} // closed when answers are read
	answered atomic.Int64
}

func (c *deafClient) Context() context.Context  { return c.ctx }
func (*deafClient) SetHeader(metadata.MD) error { return nil }
func (c *deafClient) RecvMsg(m any) error {
	n := c.received.Add(1)
	if n > c.batches {
		return io.EOF
	}
	req, ok := m.(*codec.PublishStreamRequest)
	if !ok {
		return errors.New("another message")
	}
	req.ID, req.Batch = uint64(n), &codec.PublishRequest{Partition: new(int32), Records: make([]byte, c.bytes)}
	return nil
}

func (c *deafClient) SendMsg(any) error {
	if c.answered.Add(1) == 1 {
		close(c.sending)
	}
	<-c.listen
	return nil
}

// A stream is not read further than its window, whether batches are large or empty, while its answers are not read
// (protocol.md 2.8), and everything is answered once they are. The batches of a partition are stored one after the other.
func TestStreamWindow(t *testing.T) {
	t.Parallel()
	const window = 1 << 20
	for _, size := range []int{0, 100_000, 3 * window} {
		books := newLedger(Limits{StreamWindowBytes: window})
		streams := &noStreams{}
		service := &logService{streams: streams, ledger: books, running: t.Context()}
		c := &deafClient{ctx: t.Context(), batches: 5000, bytes: size, sending: make(chan struct{}), listen: make(chan struct{})}
		if size > 0 {
			c.batches = 50
		}
		ended := make(chan error, 1)
		go func() { ended <- service.PublishStream(c) }()
		<-c.sending
		most := int64(window/(size+jobOverhead)) + 2 // one is received before there is room for it, and one more fits an empty window
		for c.received.Load() < most-1 {             // as far as it goes
			select {
			case err := <-ended:
				t.Fatal(err)
			default:
			}
		}
		if got := c.received.Load(); got > most {
			t.Errorf("batches of %d bytes: %d were received, want at most %d", size, got, most)
		}
		close(c.listen)
		if err := <-ended; err != nil || c.answered.Load() != c.batches {
			t.Errorf("batches of %d bytes: %d answers, %v, want %d", size, c.answered.Load(), err, c.batches)
		}
		service.receiving.Wait()
		if n := streams.most.Load(); n != 1 {
			t.Errorf("batches of %d bytes: %d of one partition at once", size, n)
		}
		if books.inFlight.free != books.inFlight.total || books.publishStreams.free != books.publishStreams.total {
			t.Errorf("not given back: %d bytes, %d streams", books.inFlight.total-books.inFlight.free, books.publishStreams.total-books.publishStreams.free)
		}
	}
}

// A budget never lends more than it has, but for one loan that is larger than all of it, and lends in turn.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := newBudget(10)
	if !b.tryTake(6) || b.tryTake(5) || !b.tryTake(4) {
		t.Fatal("lent too much or too little")
	}
	ctx, cancel := context.WithCancel(t.Context())
	large, small, given := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	queue := func(ctx context.Context, n int, told chan error) {
		b.mu.Lock()
		before := len(b.waiting)
		b.mu.Unlock()
		go func() { told <- b.take(ctx, n) }()
		for waiting := before; waiting == before; {
			b.mu.Lock()
			waiting = len(b.waiting)
			b.mu.Unlock()
		}
	}
	queue(t.Context(), 50, large)
	queue(ctx, 1, given)
	queue(t.Context(), 1, small)
	b.giveBack(9)
	if b.tryTake(1) {
		t.Error("lent past those who wait")
	}
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: got %v", err)
	}
	b.giveBack(1)
	if err := <-large; err != nil || b.free != -40 {
		t.Errorf("a large loan: got %v, %d free", err, b.free)
	}
	b.giveBack(50)
	if err := <-small; err != nil {
		t.Error(err)
	}
	b.giveBack(1)
	if b.free != b.total {
		t.Errorf("%d free in the end, want %d", b.free, b.total)
	}
}

// Readers and their large responses are counted, and those above are refused.
func TestReadersAreCounted(t *testing.T) {
	t.Parallel()
	l := newLedger(Limits{Readers: 2, LargeResponseBytes: 2 << 20})
	first, err := l.admitReader(0)
	if err != nil {
		t.Fatal(err)
	}
	var limit *LimitError
	if _, err := l.admitReader(4 << 20); !errors.As(err, &limit) || limit.Limit != 2<<20 {
		t.Errorf("too large: got %v", err)
	}
	second, err := l.admitReader(3 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.admitReader(0); !errors.As(err, &limit) || limit.Limit != 2 {
		t.Errorf("too many: got %v", err)
	}
	first()
	second()
	if l.readers.free != 2 || l.largeResponses.free != 2<<20 {
		t.Errorf("not given back: %+v", l)
	}
}

// One answer holds for several batches where it says of each what its own would: their records were appended together.
func TestAnswersAreMerged(t *testing.T) {
	t.Parallel()
	ack := func(change func(*answer)) answer {
		a := answer{first: 2, last: 2, ack: partition.Ack{BaseOffset: 12, Count: 3, Time: 5, Epoch: 7, Durable: true}, cost: 30}
		change(&a)
		return a
	}
	for name, next := range map[string]answer{
		"of a later time":         ack(func(a *answer) { a.ack.Time++ }),
		"of a later epoch":        ack(func(a *answer) { a.ack.Epoch++ }),
		"of another partition":    ack(func(a *answer) { a.to.partition++ }),
		"of another stream":       ack(func(a *answer) { a.to.at = &partition.Partition{} }),
		"less durable":            ack(func(a *answer) { a.ack.Durable = false }),
		"not behind it":           ack(func(a *answer) { a.ack.BaseOffset++ }),
		"with duplicates":         ack(func(a *answer) { a.ack.Duplicates = []partition.Duplicate{{}} }),
		"with unknown duplicates": ack(func(a *answer) { a.ack.DuplicatesUnknown = true }),
		"of an error":             ack(func(a *answer) { a.err = errStopping }),
		"of batch 3":              ack(func(a *answer) { a.first, a.last = 3, 3 }),
		"":                        ack(func(*answer) {}),
	} {
		all := newFlight(newBudget(100))
		all.addLocked(answer{first: 1, last: 1, ack: partition.Ack{BaseOffset: 10, Count: 2, Time: 5, Epoch: 7, Durable: true}, cost: 20})
		all.addLocked(next)
		list := all.take()
		if name != "" && len(list) != 2 {
			t.Errorf("an answer %s is merged", name)
		}
		if a := list[0]; name == "" && (len(list) != 1 || a.last != 2 || a.cost != 50 || a.ack.Count != 5 || a.ack.BaseOffset != 10) {
			t.Errorf("got %+v", list)
		}
	}
}

// Settling many batches that were appended together is one answer, and allocates nothing for each of them.
func TestSettlingAllocatesNothing(t *testing.T) {
	const n = 1024
	f := newFlight(newBudget(n))
	at := &partition.Partition{}
	round := func() {
		for id := range uint64(n) {
			f.takeOff(id, job{to: destination{at: at}, cost: 1})
		}
		for id := range uint64(n) {
			f.Settled(id, partition.Ack{BaseOffset: int64(id), Count: 1, Time: 1}, nil)
		}
		f.SettledGroup()
		if list := f.take(); len(list) != 1 || list[0].last != n-1 || list[0].ack.Count != n {
			t.Fatalf("got %+v, want one answer", list)
		}
	}
	round()
	round()
	if allocations := testing.AllocsPerRun(10, round); allocations > 2 {
		t.Errorf("%v allocations for %d batches", allocations, n)
	}
}

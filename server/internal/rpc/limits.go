package rpc

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc/tap"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Limits of what clients may have a broker hold at one time. A field that is 0 has its default.
type Limits struct {
	// StreamWindowBytes is how much of a PublishStream may be neither stored nor refused; beyond it the stream is not read
	// (protocol.md 2.8). Default: 4 MiB.
	StreamWindowBytes int
	// InFlightBytes is the same for all publishes together: streams are not read, single publishes refused. Default: 256 MiB.
	InFlightBytes int
	// Connections of clients; one more is closed at once. Default: 4,096.
	Connections int
	// Publishes is the number of Publish calls, counted from their headers on: each may hold a request of maxRequestBytes
	// before anybody can see how large it is. Default: 256.
	Publishes int
	// PublishStreams is the number of PublishStream calls. Default: 10,000.
	PublishStreams int
	// Readers is the number of Subscribe and Fetch calls. Each holds one response at most, also while the other side does not
	// read: 1 MiB, or one batch that is larger. Default: 10,000.
	Readers int
	// Watchers is the number of WatchMetadata calls; each keeps what its client was told of all streams. Default: 1,024.
	Watchers int
	// LargeResponseBytes is how much larger than 1 MiB the responses that readers ask for with max_response_bytes may be,
	// all together. Default: 1 GiB.
	LargeResponseBytes int
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.StreamWindowBytes, 4 << 20},
		{&l.InFlightBytes, 256 << 20},
		{&l.Connections, 4096},
		{&l.Publishes, 256},
		{&l.PublishStreams, 10_000},
		{&l.Readers, 10_000},
		{&l.Watchers, 1024},
		{&l.LargeResponseBytes, 1 << 30},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return l
}

// budget is an amount that is lent. It is safe for concurrent use.
type budget struct {
	total int

	mu      sync.Mutex
	free    int // negative when more than all was lent
	waiting []*waiter
}

type waiter struct {
	n     int
	ready chan struct{} // closed when n was lent
}

func newBudget(total int) *budget { return &budget{total: total, free: total} }

// tryTake lends n at once or not at all.
func (b *budget) tryTake(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free < n || len(b.waiting) > 0 {
		return false
	}
	b.free -= n
	return true
}

// take lends n, waiting for it in turn. One that wants more than there is gets it when all is free.
func (b *budget) take(ctx context.Context, n int) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.free >= min(n, b.total) {
		b.free -= n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // lent at the same time
		b.free += n
	default:
		for i, other := range b.waiting {
			if other == w {
				b.waiting = append(b.waiting[:i:i], b.waiting[i+1:]...)
				break
			}
		}
	}
	b.lendLocked()
	return context.Cause(ctx)
}

// giveBack ends a loan.
func (b *budget) giveBack(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.lendLocked()
}

func (b *budget) lendLocked() {
	for len(b.waiting) > 0 && b.free >= min(b.waiting[0].n, b.total) {
		b.free -= b.waiting[0].n
		close(b.waiting[0].ready)
		b.waiting = b.waiting[1:]
	}
}

// ledger is what clients have of a broker.
type ledger struct {
	limits         Limits
	inFlight       *budget // bytes
	publishes      *budget
	publishStreams *budget
	readers        *budget
	watchers       *budget
	largeResponses *budget // bytes
}

func newLedger(l Limits) *ledger {
	l = l.withDefaults()
	return &ledger{
		limits: l, inFlight: newBudget(l.InFlightBytes), publishes: newBudget(l.Publishes),
		publishStreams: newBudget(l.PublishStreams), readers: newBudget(l.Readers),
		watchers: newBudget(l.Watchers), largeResponses: newBudget(l.LargeResponseBytes),
	}
}

// admitReader counts a reader whose responses have that many bytes, 0 meaning the default. Whoever was admitted calls done.
func (l *ledger) admitReader(responseBytes int) (done func(), err error) {
	if !l.readers.tryTake(1) {
		return nil, &LimitError{What: "readers", Limit: l.readers.total}
	}
	large := max(0, responseBytes-partition.DefaultChunk)
	if !l.largeResponses.tryTake(large) {
		l.readers.giveBack(1)
		return nil, &LimitError{What: "bytes in large responses", Limit: l.largeResponses.total}
	}
	return func() { l.readers.giveBack(1); l.largeResponses.giveBack(large) }, nil
}

// admitPublish counts the bytes of a publish that nobody holds back. Whoever was admitted calls done.
func (l *ledger) admitPublish(n int) (done func(), err error) {
	n = min(n, l.inFlight.total)
	if !l.inFlight.tryTake(n) {
		return nil, partition.ErrTooManyInFlight
	}
	return func() { l.inFlight.giveBack(n) }, nil
}

// tapPublish counts Publish calls before anything of their requests is taken in. It is called by gRPC with a lock of the
// connection held, and does not block.
func (l *ledger) tapPublish(ctx context.Context, call *tap.Info) (context.Context, error) {
	if call.FullMethodName != trestlev1.LogService_Publish_FullMethodName {
		return ctx, nil
	}
	if !l.publishes.tryTake(1) {
		return ctx, toStatus(fmt.Errorf("%d Publish calls are under way: %w", l.publishes.total, partition.ErrTooManyInFlight))
	}
	context.AfterFunc(ctx, func() { l.publishes.giveBack(1) }) // gRPC ends the context of every call
	return ctx, nil
}

// maxRequestBytes is the largest request that is read. It is twice the largest message that a stream can be made for, so that
// of one that is too large the service says so, with a reason, and a PublishStream goes on. What is larger still nobody holds in
// memory: gRPC refuses it by its length.
const maxRequestBytes = 2 * host.MaxMessageBytes

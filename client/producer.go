package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// AckPolicy says when a message counts as published.
type AckPolicy string

// Values of AckPolicy.
const (
	AckPolicyAll    AckPolicy = "all"    // when every replica in sync has stored it
	AckPolicyLeader AckPolicy = "leader" // when the partition's leader has stored it: fsynced, unless the stream's Sync asks for less
	AckPolicyNone   AckPolicy = "none"   // when the leader has written it, before it is fsynced: a power cut may take it then
)

// ProducerConfig is how a Producer works. Its zero value is the default.
type ProducerConfig struct {
	// Partitioner chooses the partitions; nil: by the key, with the hash that the stream was made with. It may not call the
	// producer, and is asked again about a message that was not stored when the number of partitions changed.
	Partitioner Partitioner
	// Ack is the policy; empty: AckPolicyAll.
	Ack AckPolicy
	// MaxInFlight messages at most are sent and not settled; 0: 65,536.
	MaxInFlight int
	// MaxBufferedBytes is what they may hold together, as they are stored; 0: 64 MiB. One larger message goes alone.
	MaxBufferedBytes int
	// NonBlocking has Send fail with ErrTooManyInFlight where it would wait for room.
	NonBlocking bool
	// RetryFor is how long after the first failure a batch is sent again, as long as what fails can pass; 0: a minute.
	RetryFor time.Duration
	// OnError is told of each message that was not published, for those who do not look at futures. It is called before
	// the future is settled, by Send or by a goroutine that others wait for: it is to be quick, and may not call the producer.
	OnError func(m *Message, err error)
}

// Defaults of a ProducerConfig.
const (
	defaultInFlight      = 1 << 16
	defaultBufferedBytes = 64 << 20
	defaultRetryFor      = time.Minute
)

// Producer publishes many messages: it makes batches of them by itself, keeps their order within each partition, and
// numbers the batches, so that one that is sent again after a broken connection is stored once. Up to five batches are on
// their way to a partition at once; what is sent meanwhile makes the next. It is safe for concurrent use. It needs no
// goroutine of its own while it has nothing to send, and ends with Close. When partitions are added, it places what is not
// stored yet anew among all of them, in its order per key, and so all that comes later; what is stored stays where it is.
type Producer struct {
	stream  *Stream
	cfg     ProducerConfig
	policy  trestlev1.AckPolicy
	invalid error // why nothing can be sent

	stopping context.Context // ends when Close waits no longer
	stop     context.CancelFunc
	closing  chan struct{}  // closed by Close
	running  sync.WaitGroup // goroutines; Add under mu and while not stopping

	mu          sync.Mutex
	closed      bool
	busy        bool // the client counts it as a call: there is something that is not settled
	id          uint64
	identifying bool
	partitions  int     // among which messages are placed; 0 until that is asked for
	lanes       []*lane // by partition; those that there were when there were more are the last
	growth      growth
	placements  int           // how often what waited was placed anew
	messages    int           // sent and not settled
	bytes       int           // that they hold
	room        chan struct{} // closed when there is more; nil: nobody waits
	crowded     int           // for so many batches more it counts that somebody did
	untold      []*parcel     // settled, and nobody knows yet
	telling     bool          // a goroutine tells
	told        *parcel       // the last of those that it is telling of; nil: it tells of none
	spare       [][]byte      // for records
	failures    int           // since Flush was called last
	failure     error         // the first of them
	scratch     scratch
}

// Producer makes a producer. Nothing is asked of a server until it is used.
func (s *Stream) Producer(cfg ProducerConfig) *Producer {
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = defaultInFlight
	}
	if cfg.MaxBufferedBytes == 0 {
		cfg.MaxBufferedBytes = defaultBufferedBytes
	}
	if cfg.RetryFor == 0 {
		cfg.RetryFor = defaultRetryFor
	}
	p := &Producer{stream: s, cfg: cfg, closing: make(chan struct{})}
	p.policy, p.invalid = cfg.check(s.name)
	p.stopping, p.stop = context.WithCancel(context.Background())
	return p
}

func (cfg *ProducerConfig) check(stream string) (trestlev1.AckPolicy, error) {
	policies := map[AckPolicy]trestlev1.AckPolicy{
		"":              trestlev1.AckPolicy_ACK_POLICY_ALL,
		AckPolicyAll:    trestlev1.AckPolicy_ACK_POLICY_ALL,
		AckPolicyLeader: trestlev1.AckPolicy_ACK_POLICY_LEADER,
		AckPolicyNone:   trestlev1.AckPolicy_ACK_POLICY_NONE,
	}
	policy, ok := policies[cfg.Ack]
	switch {
	case !ok:
		return 0, newError(reasonInvalidArgument, "producer for stream %q: Ack is %q, which is no policy; use AckPolicyAll, AckPolicyLeader or AckPolicyNone", stream, cfg.Ack)
	case cfg.MaxInFlight < 0 || cfg.MaxBufferedBytes < 0 || cfg.RetryFor < 0:
		return 0, newError(reasonInvalidArgument, "producer for stream %q: MaxInFlight, MaxBufferedBytes and RetryFor cannot be below 0; leave them at 0 for the defaults", stream)
	}
	return policy, nil
}

// Send puts a message on its way, copied, behind those that were sent to its partition before. It waits while
// MaxInFlight or MaxBufferedBytes are reached; ctx bounds that, and not what becomes of the message then. The Future
// says what did, also where Send could not put it on its way.
func (p *Producer) Send(ctx context.Context, m Message) *Future {
	f, err := p.enqueue(ctx, &m)
	if err != nil {
		if refused := m; p.cfg.OnError != nil {
			p.cfg.OnError(&refused, err)
		}
		p.mu.Lock()
		p.noteFailure(err, 1)
		p.mu.Unlock()
		return failedFuture(err)
	}
	return f
}

func (p *Producer) enqueue(ctx context.Context, m *Message) (*Future, error) {
	if p.invalid != nil {
		return nil, p.invalid
	}
	if err := p.stream.fits(ctx, m.size()); err != nil { // else those in the same batch were refused with it
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := (choice{}); !p.closed; {
		if at.among == 0 || at.among != p.partitions {
			var err error
			if at, err = p.choose(ctx, m); err != nil {
				return nil, err
			}
			continue // mu may have been let go of
		}
		var r batch.Record
		p.scratch.fill(&r, m)
		size := r.Size()
		if p.messages < p.cfg.MaxInFlight && (p.messages == 0 || p.bytes+size <= p.cfg.MaxBufferedBytes) {
			return p.add(p.lanes[at.partition], &r, size)
		}
		if err := p.awaitRoom(ctx); err != nil {
			return nil, err
		}
	}
	return nil, p.errClosed()
}

// add puts a record on its way. It is called with mu held.
func (p *Producer) add(l *lane, r *batch.Record, size int) (*Future, error) {
	c := p.stream.client
	if c.isClosed() { // it lets those finish that were there before
		return nil, errClientClosed()
	}
	if !p.busy {
		if err := c.begin(); err != nil {
			return nil, err
		}
		p.busy = true
	}
	f := l.add(r, size, p.takeSpare)
	p.messages++
	p.bytes += size
	p.dispatch(l)
	return f, nil
}

// choice is the partition of a message, and among how many; 0: none is chosen.
type choice struct {
	partition int32
	among     int
}

// choose finds the partition of a message, or their number when that is not known yet. It is called with mu held, and lets
// go of it while it asks a server or somebody else's partitioner.
func (p *Producer) choose(ctx context.Context, m *Message) (at choice, err error) {
	if p.partitions == 0 {
		return at, p.open(ctx)
	}
	by, among := p.cfg.Partitioner, p.partitions
	if !isOurs(by) {
		p.mu.Unlock()
		defer p.mu.Lock()
	}
	partition, err := p.stream.partitionFor(by, m, among)
	return choice{partition, among}, err
}

// open makes the lanes, if nobody has done that yet. It is called with mu held, and lets go of it meanwhile.
func (p *Producer) open(ctx context.Context) error {
	p.mu.Unlock()
	known, err := p.stream.shape(ctx)
	p.mu.Lock()
	if err != nil || p.partitions > 0 {
		return err
	}
	if p.cfg.Partitioner == nil {
		p.cfg.Partitioner = partitionerOf(known.hash)
	}
	p.placeAnew(known.partitions)
	return nil
}

// awaitRoom is called with mu held, lets go of it while it waits, and has it again when it returns.
func (p *Producer) awaitRoom(ctx context.Context) error {
	if p.cfg.NonBlocking {
		return newError(reasonTooManyInFlight, "send to stream %q: %d messages with %d bytes are on their way, as many as the producer takes on; send more slowly, or wait",
			p.stream.name, p.messages, p.bytes)
	}
	if p.room == nil {
		p.room = make(chan struct{})
	}
	room := p.room
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-room:
		return nil
	case <-p.closing:
		return p.errClosed()
	case <-ctx.Done():
		return fmt.Errorf("send to stream %q: wait for room: %w", p.stream.name, ctx.Err())
	}
}

// Flush waits until every message sent so far is settled. It returns the first error of those that failed since it was
// called last, or ctx's if that is done before.
func (p *Producer) Flush(ctx context.Context) error {
	for before := -1; p.placedSince(&before); {
		for _, b := range p.lastBatches() {
			select {
			case <-b.settled:
			case <-ctx.Done():
				return fmt.Errorf("flush to stream %q: %w", p.stream.name, ctx.Err())
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	failures, failure := p.failures, p.failure
	p.failures, p.failure = 0, nil
	if failure == nil {
		return nil
	}
	return fmt.Errorf("%d messages to stream %q failed; the first: %w", failures, p.stream.name, failure)
}

// placedSince says whether there were others than so many placements, and how many.
func (p *Producer) placedSince(before *int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := p.placements != *before
	*before = p.placements
	return others
}

// lastBatches are those behind which nothing waits: once they are settled, so are all before them. What is settled and
// still being told is among them.
func (p *Producer) lastBatches() []*parcel {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last []*parcel
	if n := len(p.untold); n > 0 {
		last = append(last, p.untold[n-1])
	} else if p.told != nil {
		last = append(last, p.told)
	}
	for _, l := range p.lanes {
		last = append(last, l.last()...)
	}
	return last
}

// Close takes no more messages, and returns when all that were sent are settled, with what Flush returns. When ctx is
// done before, those that are left are settled as what they are: not sent, or ErrOutcomeUnknown.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
	}
	p.mu.Unlock()
	err := p.Flush(ctx)
	p.abandon()
	for _, b := range p.lastBatches() {
		<-b.settled
	}
	p.running.Wait()
	return err
}

func (p *Producer) errClosed() error {
	return newError(reasonClosed, "producer for stream %q: it is closed", p.stream.name)
}

// noteFailure is called with mu held.
func (p *Producer) noteFailure(err error, messages int) {
	p.failures += messages
	if p.failure == nil {
		p.failure = err
	}
}

// maxSpares is how many buffers of records are kept for the next batches.
const maxSpares = 8

// keepSpare keeps the memory of a batch that was stored: at the first attempt, because nobody knows when one that has
// failed is no longer read. It is called with mu held.
func (p *Producer) keepSpare(b *parcel) {
	if b.err == nil && b.attempts == 1 && len(p.spare) < maxSpares && cap(b.records) <= parcelBytes {
		p.spare = append(p.spare, b.records[:0])
	}
	b.records = nil
}

func (p *Producer) takeSpare() []byte {
	n := len(p.spare) - 1
	if n < 0 {
		return nil
	}
	b := p.spare[n]
	p.spare = p.spare[:n]
	return b
}

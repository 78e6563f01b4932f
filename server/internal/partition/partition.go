// Package partition keeps one replica of a partition: its log, what is on the way into it, who waits for an ack, and
// who reads.
//
// Records come in two ways: captured from NATS one by one, and published over gRPC as whole batches. Both gather while
// the append before is under way; a goroutine that exists only while there is something to do appends all of it in one
// write, and another one syncs. No timer decides how large a batch becomes: the disk does.
package partition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// Limits.
const (
	// MaxBatchBytes is the size that a batch has at most, unless a single record is larger.
	MaxBatchBytes = 1 << 20
	// maxQueuedBytes is how much may wait to be appended.
	maxQueuedBytes = 64 << 20
	// maxAppendBytes is how much is appended in one write, unless a single batch is larger.
	maxAppendBytes = 4 << 20
	// retryFull is how often a full disk is tried again.
	retryFull = 100 * time.Millisecond
)

// Errors of publishing.
var (
	ErrClosed          = errors.New("partition is closed")
	ErrTooManyInFlight = errors.New("too many bytes are waiting to be appended")
)

// WrongOffsetError says that an append expected an offset that is not the next one.
type WrongOffsetError struct{ Expected, Next int64 }

func (e *WrongOffsetError) Error() string {
	return fmt.Sprintf("offset %d is expected, the next offset is %d", e.Expected, e.Next)
}

// Config of a partition.
type Config struct {
	Log *commitlog.Log
	// Epoch of the leadership that begins.
	Epoch uint64
	// Now is the clock.
	Now func() time.Time
	// OnFault is called once, from a goroutine of the partition, when its log has failed for good.
	OnFault func(error)
	// OnFull is called, from a goroutine of the partition, when its disk is found full, with why, and with nil when there
	// is room again.
	OnFull func(error)
}

// DamagedError says that stored bytes are not what was written, from the record at Offset up to NextGood.
type DamagedError struct {
	Offset, NextGood int64
	Err              error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("stored bytes are damaged from offset %d on; the next good offset is %d", e.Offset, e.NextGood)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Partition is a replica that leads. It is safe for concurrent use.
type Partition struct {
	config Config
	log    *commitlog.Log
	tasks  sync.WaitGroup // the writing and the syncing goroutine
	stop   chan struct{}  // closed when the partition closes: ends waiting for a full disk

	// mu guards what follows. It is not held across I/O.
	mu      sync.Mutex
	queue   queue
	waiting []*publication // appended and not durable, in the order of the log
	writing bool           // the writing goroutine exists
	syncing bool           // the syncing goroutine exists
	closed  bool
	fault   error // why nothing is accepted any more
	full    error // why what is queued cannot be appended for now
	damage  error // what a reader came across last
}

// Lead takes up the leadership of a log: it begins the epoch with a control batch, makes that durable, and accepts
// records from then on.
func Lead(config Config) (*Partition, error) {
	begin := batch.AppendControl(nil, &batch.Control{Kind: batch.ControlEpoch, Epoch: config.Epoch})
	if _, err := config.Log.Append(config.Epoch, config.Now().UnixNano(), begin); err != nil {
		return nil, fmt.Errorf("beginning epoch %d: %w", config.Epoch, err)
	}
	durable, err := config.Log.Sync()
	if err != nil {
		return nil, fmt.Errorf("beginning epoch %d: %w", config.Epoch, err)
	}
	config.Log.Commit(durable)
	p := &Partition{config: config, log: config.Log, stop: make(chan struct{})}
	p.queue.room.L = &p.mu
	return p, nil
}

// State of a partition. All ends are exclusive.
type State struct {
	Epoch         uint64
	LogStart      int64
	NextOffset    int64
	HighWatermark int64
	DurableOffset int64
	Bytes         int64
	Fault         error
}

// State as of now.
func (p *Partition) State() State {
	s := State{
		Epoch:         p.config.Epoch,
		LogStart:      p.log.Start(),
		HighWatermark: p.log.Committed().Offset,
		DurableOffset: p.log.Durable().Offset,
		NextOffset:    p.log.End().Offset,
		Bytes:         p.log.SizeBytes(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Fault = cmp.Or(p.fault, p.full, p.damage)
	return s
}

// Close refuses what comes from now on, appends and syncs what came before, and closes the log.
func (p *Partition) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.stop)
	p.queue.room.Broadcast()
	p.mu.Unlock()
	p.tasks.Wait()
	return p.log.Close()
}

// usableLocked says why nothing may be added, if nothing may.
func (p *Partition) usableLocked() error {
	if p.fault != nil {
		return p.fault
	}
	if p.closed {
		return ErrClosed
	}
	return nil
}

// startLocked sees that a goroutine appends what is queued.
func (p *Partition) startLocked() {
	if p.writing {
		return
	}
	p.writing = true
	p.tasks.Go(p.write)
}

// failed ends the partition: nobody is acked any more.
func (p *Partition) failed(err error) {
	p.mu.Lock()
	first := p.fault == nil
	if first {
		p.fault = err
	}
	unsettled := append(p.waiting, p.queue.publications...)
	p.waiting, p.queue.publications = nil, nil
	p.queue.room.Broadcast()
	p.mu.Unlock()
	for _, pub := range unsettled {
		pub.settle(Ack{}, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err))
	}
	if first && p.config.OnFault != nil {
		p.config.OnFault(err)
	}
}

// Capture adds a record that came from NATS. The bytes of the record are copied. It blocks while too much is waiting to
// be appended.
func (p *Partition) Capture(r *batch.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.queue.bytes >= maxQueuedBytes && p.usableLocked() == nil {
		p.queue.room.Wait()
	}
	if err := p.usableLocked(); err != nil {
		return err
	}
	p.queue.addRecord(r)
	p.startLocked()
	return nil
}

// Publish appends a batch and answers when it is as safe as it asks for. When ctx ends first, the batch may be stored or
// not: ErrOutcomeUnknown.
func (p *Partition) Publish(ctx context.Context, b Batch) (Ack, error) {
	pub := newPublication(b)
	p.mu.Lock()
	err := p.usableLocked()
	if err == nil && p.full != nil && p.queue.bytes > 0 { // with nothing in the queue this one finds out whether it still is
		err = p.full
	}
	if err == nil && p.queue.bytes+len(pub.bytes) > maxQueuedBytes && p.queue.bytes > 0 {
		err = ErrTooManyInFlight
	}
	if err != nil {
		p.mu.Unlock()
		return Ack{}, err
	}
	p.queue.addPublication(pub)
	p.startLocked()
	p.mu.Unlock()
	select {
	case <-pub.settled:
		return pub.ack, pub.err
	case <-ctx.Done():
		return Ack{}, fmt.Errorf("%w: %w", ErrOutcomeUnknown, context.Cause(ctx))
	}
}

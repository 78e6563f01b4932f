// Package partition keeps one replica of a partition: its log, what is on the way into it, who waits for an ack, and
// who reads.
//
// Records come in two ways: captured from NATS one by one, and published over gRPC as whole batches. Both gather while
// the append before is under way; a goroutine that exists only while there is something to do appends all of it in one
// write, and another one syncs. No timer decides how large a batch becomes: the disk does.
package partition

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/shadow"
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

// Config of a partition. The callbacks are called from goroutines of the partition and must not call Close.
type Config struct {
	Log *commitlog.Log
	// Epoch of the leadership that begins.
	Epoch uint64
	// Now is the clock.
	Now func() time.Time
	// OnFault is called once when the log has failed for good, as by a failed sync: the process is to end (protocol.md 1.10).
	OnFault func(error)
	// OnFull is called when the partition's disk is found full, with why, and with nil when there is room again.
	OnFull func(error)
	// OnProblem is called when something failed that is tried again: retention, compaction, a snapshot; nil: nobody is told.
	OnProblem func(error)

	// Settings are those to begin with.
	Settings Settings
	// Dedup is what is needed to know message ids and producers again; nil: neither is looked at.
	Dedup *Dedup
	// Meter is told what happens; nil: nobody is.
	Meter Meter
	// Turns are those of the data folder, at which its logs are synced; nil: at once.
	Turns *Turns
	// Codec unpacks batches of a log that packs them, where a reader wants part of one.
	Codec commitlog.Codec
	// Mode to begin with.
	Mode Mode
	// Unclean says that the leadership before, on this replica and no other, did not end with Close: what was published since
	// the last append may be missing, and a gap says so (protocol.md 2.9).
	Unclean bool
	// Space is the state of the disk. Each Tick asks it: from 95 % on publishes are refused and captured messages become a gap
	// (protocol.md 1.11). nil: the partition finds out when a write fails, and captured messages wait.
	Space func() (vfs.Space, error)
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
	tasks  sync.WaitGroup // all goroutines of the partition
	stop   chan struct{}  // closed when the partition closes: ends waiting for a full disk
	upkeep upkeep
	cover  cover
	memory memory // its lock comes before mu
	meter  Meter
	// lastTry says that the disk was found full while the partition closes. Only the writing goroutine uses it.
	lastTry bool

	// mu guards what follows. It is not held across I/O.
	mu       sync.Mutex
	settings Settings
	changed  chan struct{} // closed when the settings change
	queue    queue
	waiting  []*pending // appended and not committed, in the order of the log
	writing  bool       // the writing goroutine exists
	syncing  bool       // the syncing goroutine exists
	syncDue  bool       // something was appended since it was last started
	synced   time.Time  // when a sync began last
	unsynced unsynced
	rounds   rounds
	closed   bool
	fault    error // why nothing is accepted any more
	full     error // why what is queued cannot be appended for now
	guarded  error // why the disk guard lets nothing in for now
	damage   error // what a reader came across last

	mode        Mode
	modeSince   int64 // unix nanoseconds
	growing     growth
	gaps        shadow.Gaps
	gapAt       int64 // append time of the last gap, unix nanoseconds
	gapTurn     int64 // what gaps is given for the time
	gapsWritten uint64
	lastGap     *batch.Gap
}

// Lead takes up the leadership of a log: it finds out what was stored within the dedup window, begins the epoch with a
// control batch, makes that durable, and accepts records from then on.
func Lead(config Config) (*Partition, error) {
	p := &Partition{
		config: config, log: config.Log, settings: config.Settings, mode: config.Mode,
		stop: make(chan struct{}), changed: make(chan struct{}),
	}
	p.queue.room.L = &p.mu
	if p.meter = config.Meter; p.meter == nil {
		p.meter = unmetered{}
	}
	p.upkeep.begin()
	p.growing.begin()
	if err := p.remember(); err != nil {
		return nil, fmt.Errorf("beginning epoch %d: %w", config.Epoch, err)
	}
	if err := p.beginEpoch(); err != nil {
		p.memory.state.Close()
		return nil, fmt.Errorf("beginning epoch %d: %w", config.Epoch, err)
	}
	p.advance()
	return p, nil
}

// beginEpoch appends the control batches with which a leadership begins, and makes them durable.
func (p *Partition) beginEpoch() error {
	_, last := p.log.LastEpoch()
	now := max(p.config.Now().UnixNano(), last)
	p.modeSince = now
	begin := []batch.Control{{Kind: batch.ControlEpoch, Epoch: p.config.Epoch}}
	for _, gap := range p.gapsAtStart(last, now) {
		begin = append(begin, batch.Control{Kind: batch.ControlGap, Gap: gap})
		p.gapsWritten++
		p.lastGap = &gap
	}
	end := p.log.End()
	pl := &plan{first: end, next: end, time: now}
	for i := range begin {
		p.memory.state.Append(batchAt(pl), nil)
		pl.put(batch.AppendControl(nil, &begin[i]), 0)
	}
	if _, err := p.log.Append(p.config.Epoch, now, pl.batches...); err != nil {
		return err
	}
	p.memory.appended(pl)
	durable, err := p.log.Sync()
	if err != nil {
		return err
	}
	p.log.Commit(durable)
	return nil
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
	Mode          Mode
	// Gaps is how many gaps were written since the partition leads, and LastGap the last of them.
	Gaps    uint64
	LastGap *batch.Gap
	// DedupWindow is the window that is kept in truth: shorter than the setting while memory is short.
	DedupWindow time.Duration
	// QueuedBytes wait to be appended.
	QueuedBytes int
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
		DedupWindow:   p.memory.window(p.config.Now().UnixNano()),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Fault = cmp.Or(p.fault, p.full, p.guarded, p.damage)
	s.Mode, s.Gaps, s.LastGap, s.QueuedBytes = p.mode, p.gapsWritten, p.lastGap, p.queue.bytes
	return s
}

// Close refuses what comes from now on, appends and syncs what came before, gaps included, leaves word of what was stored
// within the dedup window, and closes the log. An error means that something may be missing: the next start is unclean.
func (p *Partition) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.stop)
	p.queue.room.Broadcast()
	p.startLocked()
	p.mu.Unlock()
	p.upkeep.end()
	p.tasks.Wait()
	p.mu.Lock()
	err := p.fault
	p.mu.Unlock()
	if err == nil {
		p.saveSnapshot()
	}
	err = errors.Join(err, p.log.Close())
	p.memory.mu.Lock()
	defer p.memory.mu.Unlock()
	p.memory.state.Close()
	return err
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
	unsettled := append(p.waiting, p.queue.abandon()...)
	p.waiting = nil
	p.mu.Unlock()
	p.settle(unsettled, unknown(err))
	if first && p.config.OnFault != nil {
		p.config.OnFault(err)
	}
}

package commitlog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// Defaults of Options.
const (
	DefaultSegmentBytes = 256 << 20
	DefaultSegmentAge   = 24 * time.Hour
)

// Options of a log. Partition and LogID name it for ever.
type Options struct {
	// Files gives the file system and bounds the descriptors of all logs that share it.
	Files     *Files
	Partition [16]byte
	LogID     uint32
	// Base is where the log begins if it is empty; the zero value means Origin.
	Base Position
	// SegmentBytes is the size at which a new segment is begun; 0: DefaultSegmentBytes.
	SegmentBytes int64
	// SegmentAge is the age at which a new segment is begun; 0: DefaultSegmentAge.
	SegmentAge time.Duration
	// Marks is where the log's marks go, and where the newest is looked for when the log is opened; nil: none are kept,
	// and the whole last segment is read when the log is opened.
	Marks *Marks
	// Codec unpacks batches that are packed; nil: such batches are passed on and not looked into.
	Codec Codec
	// Compress packs the batches that Append is given with Codec, where that makes them smaller. With a Key none are packed.
	Compress bool
	// Key is the master key, KeySize bytes, that the values of records are encrypted with; nil: they are not.
	Key []byte
	// Settled says that the last Close of the log and the last Flush of its marks returned no error, that this is known from
	// something that became durable after both, and that nothing was opened between. Then what the folder shows is on the disk,
	// and opening need not make it so.
	Settled bool
}

// Log is a sequence of batches in a folder. It is safe for concurrent use; see DESIGN.md for what runs beside what.
type Log struct {
	dir   string
	opts  Options
	files *Files
	tag   uint32 // partition tag of every batch

	// writing is held, I/O included, by whoever changes what is in the log. Lock order: syncing, writing, mu.
	writing sync.Mutex
	active  *activeSegment // nil: the last segment is sealed, or there is none; guarded by writing
	last    lastBatch      // guarded by writing
	gather  []byte         // where an append of several batches is put together; guarded by writing
	headers []batch.Header // of the batches of an append; guarded by writing
	keys    *keyring       // nil: there is no master key
	sealed  []byte         // where the batches of an append are encrypted; guarded by writing

	// syncing is held, I/O included, by whoever makes something durable: shared by rounds, else alone.
	syncing sync.RWMutex
	lanes   chan struct{} // holds a token for each Sync that is under way
	round   *syncRound    // the last that was begun, unless it is over; guarded by writing

	// dropping is held, I/O included, by whoever takes segments out of the log: retention, compaction, truncation. It comes
	// before the others.
	dropping sync.Mutex
	removals atomic.Int64 // of segments or keys, that may not be durable
	dropped  []*segment   // are no longer part of the log, and some of its files may still be there; guarded by dropping

	// mu guards what follows. It is never held across I/O.
	mu        sync.Mutex
	segments  []*segment // by base, without holes in between
	end       Position
	durable   Position // Invariant: durable <= end
	committed Position // Invariant: committed <= end
	start     int64    // log start: offset below which nothing is served; it may lie inside a batch
	compacted uint64   // seq below which the log is compacted
	mark      Mark     // Invariant: mark.Durable == durable
	cutting   bool     // a truncation is under way, or failed: what it cut may come back
	changed   chan struct{}
	fault     error // why nothing may be written any more
	readOnly  bool
	closed    bool
}

// lastBatch is what the next batch of a log depends on.
type lastBatch struct {
	crc   uint32 // header CRC
	time  int64  // append time, unix nanoseconds
	epoch uint64
}

// FS is the file system that the log lies in.
func (l *Log) FS() vfs.FS { return l.files.FS() }

// End is where the next batch will go.
func (l *Log) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Durable is the end of what is fsynced.
func (l *Log) Durable() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Start is the log start, the oldest offset that can be read.
func (l *Log) Start() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.startLocked()
}

func (l *Log) startLocked() int64 { return max(l.start, l.firstLocked().Offset) }

// firstLocked is where the oldest batch begins that there is.
func (l *Log) firstLocked() Position {
	if len(l.segments) == 0 {
		return l.end
	}
	return l.segments[0].base
}

// SizeBytes is the size of the segment files.
func (l *Log) SizeBytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, s := range l.segments {
		n += s.size
	}
	return n
}

// LastEpoch is the leader epoch of the last batch, and the time at which that was appended, unix nanoseconds. Of one that was
// deleted before the log was opened the epoch is not known, 0, and the time is that of the last batch that its mark knew, or
// when the segment was made that goes on there, whichever is earlier. Both are 0 if there never was one.
func (l *Log) LastEpoch() (epoch uint64, appended int64) {
	l.writing.Lock()
	defer l.writing.Unlock()
	a := l.active
	if l.last.epoch != 0 || a == nil || a.base.Seq <= 1 || mutant("commitlog-deleted-never-was") {
		return l.last.epoch, l.last.time
	}
	if t := l.last.time; t > 0 && (t < a.created || a.created == 0) {
		return 0, t
	}
	return 0, a.created
}

// SetReadOnly makes appends fail with ErrReadOnly, or succeed again. Deleting and compacting go on.
func (l *Log) SetReadOnly(readOnly bool) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readOnly = readOnly
}

// writableLocked says why nothing may be appended, if nothing may.
func (l *Log) writableLocked() error {
	if err := l.usableLocked(); err != nil {
		return err
	}
	if l.readOnly {
		return ErrReadOnly
	}
	return nil
}

// usableLocked says why the log cannot be used, if it cannot.
func (l *Log) usableLocked() error {
	if l.closed {
		return ErrClosed
	}
	return l.fault
}

// fail makes err the reason why nothing is written any more, unless there is one already, and returns it.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = fmt.Errorf("%w: %w", ErrFault, err)
	}
	return l.fault
}

// Close makes durable what was appended and removed and releases everything, so that the folder may be moved and another log
// take its place. Readers get ErrClosed.
func (l *Log) Close() error {
	_, err := l.Sync()
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return errors.Join(err, l.release(), l.settleFolder())
}

// settleFolder makes durable what was removed.
func (l *Log) settleFolder() error {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	var err error
	for _, s := range l.dropped { // the next start finds them
		err = errors.Join(err, l.files.forget(s.name), l.files.forget(s.indexName()))
	}
	l.dropped = nil
	if err != nil {
		return err
	}
	if l.removals.Load() == 0 || mutant("commitlog-removal-unsettled") {
		return nil
	}
	if err := l.FS().SyncDir(l.dir); err != nil {
		return l.syncFailed(fmt.Errorf("syncing %s: %w", l.dir, err))
	}
	return nil
}

// release ends all use of the log and gives its files back.
func (l *Log) release() (err error) {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	l.closed = true
	l.putMarkLocked()
	l.wakeLocked()
	segments := l.segments
	l.mu.Unlock()
	if l.active != nil {
		err = errors.Join(err, l.trim(l.active), l.leave(l.active))
		l.active = nil
	}
	for _, s := range segments {
		err = errors.Join(err, l.files.forget(s.name), l.files.forget(s.indexName()))
	}
	return err
}

// partitionTag of the log's batches.
func partitionTag(o *Options) uint32 { return batch.PartitionTag(o.Partition, o.LogID) }

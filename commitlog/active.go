package commitlog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// activeSegment is the segment that is appended to. Its fields are guarded by Log.writing.
type activeSegment struct {
	*segment
	file    *handle // nil while the segment rests, and then index.file is nil, too
	index   indexWriter
	users   int // the log itself, and each round that is under way; the files are released with the last, or when the log rests
	created int64
	written int64 // bytes of header and batches, all in the file
	// allocated is where the space ends that was allocated ahead; the file is that long if it is beyond written.
	allocated int64
	records   uint64
	digest    uint32
	key       *dataKey // nil: not read yet, or the log has no master key

	lent  bool       // a round syncs through file
	sides []vfs.File // open, for rounds beside that; those that rounds have are not among them

	dirtyDir bool // the file's name is not durable yet
}

// beginSegment makes the file of the segment that begins at the end of the log. Nothing is durable yet. It is of
// generation 0, or of 1 if its seqs may have holes.
func (l *Log) beginSegment(now int64, generation uint32) error {
	s := &segment{name: segmentName(l.dir, l.End(), generation), base: l.End(), end: l.End(), generation: generation}
	header := segmentHeader{
		partition: l.opts.Partition, logID: l.opts.LogID, base: s.base, created: now, generation: generation,
	}
	file, err := l.files.create(s.name)
	if err != nil {
		return fmt.Errorf("beginning a segment: %w", err)
	}
	a := &activeSegment{segment: s, file: file, users: 1, created: now, written: segmentHeaderSize, dirtyDir: true}
	if _, err := file.WriteAt(header.encode(), 0); err != nil {
		return l.abandon(a, err)
	}
	if a.key, err = l.newKey(s.base); err != nil {
		return l.abandon(a, err)
	}
	if a.index, err = l.newIndex(s.indexName(), s.base); err != nil {
		return l.abandon(a, err)
	}
	s.size = a.written
	l.active = a
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
	return nil
}

// newIndex opens an empty index for the segment with that base; a file that was left behind is emptied.
func (l *Log) newIndex(name string, base Position) (indexWriter, error) {
	file, err := l.files.create(name)
	if errors.Is(err, fs.ErrExist) {
		if file, err = l.files.acquire(name); err == nil {
			err = file.Truncate(0)
		}
	}
	if err != nil {
		return indexWriter{}, fmt.Errorf("beginning an index: %w", err)
	}
	return indexWriter{file: file, base: base, covered: segmentHeaderSize + 1}, nil
}

// abandon removes the files of a segment that could not be begun.
func (l *Log) abandon(a *activeSegment, err error) error {
	l.removals.Add(1)
	_, undo := l.removeKey(a.segment)
	return errors.Join(fmt.Errorf("beginning a segment: %w", err),
		l.files.release(a.file), l.files.forget(a.name), l.files.fs.Remove(a.name), undo)
}

// due says whether a new segment is to be begun before n more bytes are appended.
func (a *activeSegment) due(l *Log, n int64, now int64) bool {
	if a.end == a.base {
		return false
	}
	return a.written+n > l.opts.SegmentBytes || now-a.created >= int64(l.opts.SegmentAge/time.Nanosecond)
}

// sync makes the contents of the segment and its name durable. The caller holds l.syncing alone.
func (a *activeSegment) sync(l *Log) error {
	if mutant("commitlog-sync-without-fsync") {
		return nil
	}
	if err := a.file.SyncData(); err != nil {
		return err
	}
	if a.dirtyDir && !mutant("commitlog-segment-name-unsynced") {
		if err := l.files.fs.SyncDir(l.dir); err != nil {
			return err
		}
		a.dirtyDir = false
	}
	return nil
}

// Space is allocated ahead in steps of this many bytes, at least and at most.
const (
	minAllocation = 16 << 10
	maxAllocation = 4 << 20
)

// preallocate sees that there is space for n more bytes, so that a sync needs not make a larger file durable, too. A step is
// as much as the segment holds already, up to a 64th of a full one: a quiet log allocates nothing, and no log more than
// once again what it has. That it fails is no failure.
func (a *activeSegment) preallocate(l *Log, n int64) {
	if a.written < minAllocation || a.written+n <= a.allocated {
		return
	}
	step := min(a.written, max(l.opts.SegmentBytes/64, minAllocation), maxAllocation)
	from := max(a.allocated, a.written)
	length := max(step, a.written+n-from)
	if a.file.Preallocate(from, length) == nil {
		a.allocated = from + length
	}
}

// trim gives back what was allocated and not used. The caller holds l.writing.
func (l *Log) trim(a *activeSegment) error {
	if a.allocated <= a.written {
		return nil
	}
	if err := l.wake(a); err != nil {
		return err
	}
	a.allocated = a.written
	return a.file.Truncate(a.written)
}

// wake opens the files of a segment that rests. The caller holds l.writing.
func (l *Log) wake(a *activeSegment) error {
	if a.file != nil {
		return nil
	}
	file, err := l.files.acquire(a.name)
	if err != nil {
		return fmt.Errorf("going on with a segment: %w", err)
	}
	index, err := l.files.acquire(a.indexName())
	if isNotExist(err) { // nothing depends on it but speed
		index, err = l.files.create(a.indexName())
		a.index.size, a.index.covered = 0, a.written
	}
	if err != nil {
		return errors.Join(fmt.Errorf("going on with a segment: %w", err), l.files.release(file))
	}
	a.file, a.index.file = file, index
	return nil
}

// rest lets go of the files of a segment in which all is durable, so that an idle log holds no descriptor. The caller holds
// l.writing.
func (l *Log) rest(a *activeSegment) error {
	if a.users > 1 {
		return nil
	}
	return l.letGo(a)
}

func (l *Log) letGo(a *activeSegment) error {
	if a.file == nil {
		return nil
	}
	err := errors.Join(l.files.release(a.index.file), l.files.release(a.file))
	for _, side := range a.sides {
		err = errors.Join(err, side.Close())
	}
	a.file, a.index.file, a.sides = nil, nil, nil
	return err
}

// leave is called by each user of a segment when done with it. The caller holds l.writing.
func (l *Log) leave(a *activeSegment) error {
	a.users--
	if a.users > 0 {
		return nil
	}
	return l.letGo(a)
}

// seal ends the active segment with a footer and makes it durable: a segment that has a successor is whole. The
// caller holds l.syncing and l.writing.
func (l *Log) seal() error {
	a := l.active
	if err := l.wake(a); err != nil {
		return err
	}
	footer := segmentFooter{
		end: a.end, last: l.last, bytes: a.written, records: a.records, digest: a.digest,
	}
	err := l.trim(a)
	if err == nil {
		_, err = a.file.WriteAt(footer.encode(), a.written)
	}
	if err != nil {
		if undo := a.file.Truncate(a.written); undo != nil {
			return l.fail(fmt.Errorf("sealing %s: %w; undoing it: %w", a.name, err, undo))
		}
		return err
	}
	if err := a.sync(l); err != nil {
		return l.syncFailed(fmt.Errorf("sealing %s: %w", a.name, err))
	}
	mark := l.markHere()
	mark.FilePosition, mark.sealed = a.written+segmentFooterSize, true
	l.advanceDurable(mark)
	l.active = nil
	l.mu.Lock()
	a.sealed = true
	a.size = mark.FilePosition
	l.mu.Unlock()
	return l.leave(a)
}

// add accounts for a batch that is about to be written at position.
func (a *activeSegment) add(h *batch.Header, position int64) {
	a.digest = updateDigest(a.digest, h.HeaderCRC)
	a.records += uint64(h.RecordCount)
	a.index.add(indexEntry{seq: h.Seq, offset: h.BaseOffset, time: h.Time, position: position})
}

// updateDigest adds the header CRC of a batch to the digest of those before it.
func updateDigest(digest, headerCRC uint32) uint32 {
	crc := ^digest
	for range 4 { // byte by byte, because a slice would be allocated for each batch
		crc = castagnoli[byte(crc)^byte(headerCRC)] ^ crc>>8
		headerCRC >>= 8
	}
	return ^crc
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

package commitlog

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/trestlehq/trestle/proto/batch"
)

// Appended says where batches went.
type Appended struct {
	First Position // of the first batch
	End   Position // after the last
	Time  int64    // append time of all of them, unix nanoseconds
}

// Append writes batches at the end of the log, each a whole batch of proto/batch, in one write. It stamps them in
// place: seq, offset, epoch, time (now, or that of the batch before if that is later), chain, tag and header CRC. When it
// returns they can be read and are not durable: Sync makes them so. On an error none of them is in the log. The
// batches may be used again when it returns.
func (l *Log) Append(epoch uint64, now int64, batches ...[]byte) (Appended, error) {
	batches, size, err := l.prepared(batches)
	if err != nil {
		return Appended{}, err
	}
	if size == 0 {
		return Appended{}, errors.New("nothing to append")
	}
	if err := l.makeRoom(int64(size), now); err != nil {
		return Appended{}, err
	}
	defer l.writing.Unlock()
	if batches, err = l.encrypted(batches); err != nil {
		return Appended{}, err
	}
	if epoch < l.last.epoch {
		return Appended{}, fmt.Errorf("leader epoch %d is over: the log has batches of %d", epoch, l.last.epoch)
	}
	a := l.active
	run := appendRun{
		log: l, position: a.written, end: l.End(), last: l.last,
		stamp: batch.Stamp{LeaderEpoch: epoch, Time: max(now, l.last.time), PartitionTag: l.tag},
	}
	appended := Appended{First: run.end, Time: run.stamp.Time}
	run.headers = l.headers[:0]
	for _, b := range batches {
		if err := run.add(b); err != nil {
			return Appended{}, err
		}
	}
	if err := l.wake(a); err != nil {
		return Appended{}, err
	}
	if err := l.write(l.contiguous(batches)); err != nil {
		return Appended{}, err
	}
	run.commit()
	appended.End = run.end
	return appended, nil
}

// prepared returns the batches as they are to be stored, but for encryption, and how many bytes they will have together.
func (l *Log) prepared(batches [][]byte) (stored [][]byte, size int, err error) {
	if l.keys != nil {
		return l.encryptable(batches)
	}
	if batches, err = l.packed(batches); err != nil {
		return nil, 0, err
	}
	for _, b := range batches {
		size += len(b)
	}
	return batches, size, nil
}

// packed returns the batches packed, if they are to be.
func (l *Log) packed(batches [][]byte) ([][]byte, error) {
	if !l.opts.Compress || l.opts.Codec == nil {
		return batches, nil
	}
	packed := make([][]byte, len(batches))
	for i, b := range batches {
		var err error
		if packed[i], err = pack(nil, b, l.opts.Codec); err != nil {
			return nil, fmt.Errorf("packing a batch: %w", err)
		}
	}
	return packed, nil
}

// makeRoom takes l.writing and sees that there is an active segment with room for n bytes. Unless it fails, the caller
// unlocks.
func (l *Log) makeRoom(n, now int64) error {
	l.writing.Lock()
	room, err := l.hasRoom(n, now)
	if err == nil && room {
		return nil
	}
	l.writing.Unlock() // sealing takes syncing, which comes first
	if err != nil {
		return fullOr(err)
	}
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	room, err = l.hasRoom(n, now)
	if err == nil && l.active != nil && !room {
		err = l.seal()
	}
	if err == nil && l.active == nil {
		err = l.beginSegment(now, 0)
	}
	if err != nil {
		l.writing.Unlock()
		return fullOr(err)
	}
	return nil
}

// hasRoom says whether n more bytes may be appended to the active segment, if anything may be appended at all.
func (l *Log) hasRoom(n, now int64) (bool, error) {
	if err := l.writable(); err != nil {
		return false, err
	}
	if l.active == nil || l.active.due(l, n, now) {
		return false, nil
	}
	return l.keyed()
}

func (l *Log) writable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writableLocked()
}

func (l *Log) usable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.usableLocked()
}

// appendRun is an append that is being prepared: where each batch goes and what the log is after it.
type appendRun struct {
	log      *Log
	position int64 // in the segment file
	end      Position
	last     lastBatch
	stamp    batch.Stamp
	headers  []batch.Header
}

// add stamps a batch and places it after those before it.
func (r *appendRun) add(b []byte) error {
	r.stamp.Seq, r.stamp.BaseOffset, r.stamp.PreviousCRC = r.end.Seq, r.end.Offset, r.last.crc
	if _, err := batch.ParseHeader(b); err != nil { // stamping makes the CRC right, whatever it covers
		return fmt.Errorf("not appended: %w", err)
	}
	r.stamp.Put(b)
	h, err := batch.ParseHeader(b)
	if err != nil {
		return fmt.Errorf("not appended: %w", err)
	}
	if h.Size != len(b) {
		return fmt.Errorf("not appended: %w: %d bytes hold a batch of %d", batch.ErrCorrupt, len(b), h.Size)
	}
	r.place(h)
	return nil
}

func (r *appendRun) place(h batch.Header) {
	r.headers = append(r.headers, h)
	r.end = Position{Seq: h.Seq + 1, Offset: h.NextOffset()}
	r.last = lastBatch{crc: h.HeaderCRC, time: h.Time, epoch: h.LeaderEpoch}
}

// commit makes the written batches part of the log. The caller holds l.writing.
func (r *appendRun) commit() {
	l, a := r.log, r.log.active
	position := a.written
	for i := range r.headers {
		a.add(&r.headers[i], position)
		position += int64(r.headers[i].Size)
	}
	a.written = position
	l.last, l.headers = r.last, r.headers
	l.mu.Lock()
	defer l.mu.Unlock()
	a.size, a.end, l.end = position, r.end, r.end
	if mutant("commitlog-mark-above-sync") {
		l.mark = l.markHere()
		l.putMarkLocked()
	}
}

// contiguous returns the batches as one run of bytes.
func (l *Log) contiguous(batches [][]byte) []byte {
	if len(batches) == 1 {
		return batches[0]
	}
	l.gather = l.gather[:0]
	for _, b := range batches {
		l.gather = append(l.gather, b...)
	}
	return l.gather
}

// write puts the run at the end of the active segment, or nothing of it. The caller holds l.writing.
func (l *Log) write(run []byte) error {
	a := l.active
	a.preallocate(l, int64(len(run)))
	_, err := a.file.WriteAt(run, a.written)
	if err == nil {
		return nil
	}
	a.allocated = a.written
	if mutant("commitlog-partial-write-stays") {
		return fullOr(err)
	}
	// A file that ends at the mark is taken for one that is on the disk, so all but a byte goes before that is so.
	if size, unknown := a.file.Size(); (unknown != nil || size > a.written+1) && !mutant("commitlog-undone-at-once") {
		if undo := l.cutActive(a.written + 1); undo != nil {
			return fmt.Errorf("appending to %s: %w; undoing it: %w", a.name, err, undo)
		}
	}
	if undo := l.cutActive(a.written); undo != nil {
		return fmt.Errorf("appending to %s: %w; undoing it: %w", a.name, err, undo)
	}
	return fullOr(fmt.Errorf("appending to %s: %w", a.name, err))
}

// cutActive cuts the file of the active segment, durably: or a crash brings back batches that were refused. The caller holds
// l.writing.
func (l *Log) cutActive(size int64) error {
	if err := l.active.file.Truncate(size); err != nil {
		return l.fail(err)
	}
	if err := l.active.file.SyncData(); err != nil {
		return l.syncFailed(err)
	}
	return nil
}

// fullOr makes a full disk a matter of errors.Is(err, ErrFull).
func fullOr(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

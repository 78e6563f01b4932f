package commitlog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// rewriteBuffer is how many bytes of a rewritten segment are written at once.
const rewriteBuffer = 1 << 20

// rewrite is the compaction of one segment.
type rewrite struct {
	log            *Log
	old            *segment
	keys           *keyMap
	mapped         Position // up to where keys has the keys
	dropTombstones int64    // tombstones that were appended up to then go, unix nanoseconds

	name    string // path of the new segment, once it is whole
	file    *handle
	index   indexWriter
	buf     []byte
	written int64
	removed int64
	records uint64
	digest  uint32
}

// keep says whether a record stays.
func (w *rewrite) keep(r *Record) bool {
	if r.Key == nil {
		return true
	}
	// Beyond mapped the records that a tombstone deletes are still there, and it must not go before them.
	if r.Tombstone && r.Time <= w.dropTombstones && (r.Offset < w.mapped.Offset || mutant("commitlog-tombstone-goes-first")) {
		return false
	}
	return !w.keys.superseded(r.Key, r.Offset)
}

// run rewrites the segment if there is something to remove from it.
func (w *rewrite) run(now int64, done *Compacted) error {
	gain, err := w.gains()
	if err != nil || !gain {
		return err
	}
	footer, err := w.log.readFooter(w.old)
	if err != nil {
		return err
	}
	if err := w.begin(now); err != nil {
		return errors.Join(err, w.discard())
	}
	err = w.log.eachBatch(w.old, w.copyBatch)
	if err == nil {
		err = w.finish(&footer)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("compacting %s: %w", w.old.name, err), w.discard())
	}
	installed, err := w.install()
	if err != nil || !installed {
		return err
	}
	done.Segments++
	done.Records += w.removed
	done.Bytes += w.old.size - w.written
	return nil
}

// gains looks for a record that goes.
func (w *rewrite) gains() (bool, error) {
	err := w.log.eachBatch(w.old, func(h *batch.Header, b []byte) error {
		return w.log.eachRecord(h, b, func(r *Record) error {
			if !w.keep(r) {
				return errStop
			}
			return nil
		})
	})
	if errors.Is(err, errStop) {
		return true, nil
	}
	return false, err
}

// begin makes the new file, under a name that is removed at the next start if it is not finished.
func (w *rewrite) begin(now int64) error {
	generation := w.old.generation + 1
	w.name = segmentName(w.log.dir, w.old.base, generation)
	header := segmentHeader{
		partition: w.log.opts.Partition, logID: w.log.opts.LogID, base: w.old.base, created: now, generation: generation,
	}
	var err error
	if w.file, err = w.log.files.create(w.name + tempSuffix); err != nil {
		return err
	}
	indexName := (&segment{name: w.name}).indexName()
	if w.index, err = w.log.newIndex(indexName, w.old.base); err != nil {
		return err
	}
	w.buf = append(w.buf, header.encode()...)
	return nil
}

// copyBatch takes over what stays of a batch.
func (w *rewrite) copyBatch(h *batch.Header, b []byte) error {
	stays, err := w.selectRecords(h, b)
	if err != nil || len(stays) == 0 {
		return err
	}
	kept, err := batch.ParseHeader(stays)
	if err != nil {
		return err
	}
	w.index.add(indexEntry{seq: kept.Seq, offset: kept.BaseOffset, time: kept.Time, position: w.written + int64(len(w.buf))})
	w.digest = updateDigest(w.digest, kept.HeaderCRC)
	w.records += uint64(kept.RecordCount)
	w.buf = append(w.buf, stays...)
	if len(w.buf) >= rewriteBuffer {
		return w.flush()
	}
	return nil
}

// selectRecords returns the batch with the records that stay: as it is if all do, nothing if none does.
func (w *rewrite) selectRecords(h *batch.Header, b []byte) ([]byte, error) {
	if h.Control() {
		if mutant("commitlog-compaction-drops-epochs") {
			return nil, nil
		}
		return b, nil
	}
	plain, err := Unpack(nil, h, b, w.log.opts.Codec)
	if err != nil {
		return nil, err
	}
	goes := map[int64]bool{}
	if err := records(plain, func(r *Record) error {
		if !w.keep(r) {
			goes[r.Offset] = true
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if len(goes) == 0 {
		return b, nil
	}
	w.removed += int64(len(goes))
	ph, err := batch.ParseHeader(plain)
	if err != nil {
		return nil, err
	}
	stays, err := batch.Select(nil, &ph, plain, func(offset int64, _ []byte) bool { return !goes[offset] })
	if err != nil || len(stays) == 0 || h.Codec() == 0 {
		return stays, err
	}
	return pack(nil, stays, w.log.opts.Codec)
}

func (w *rewrite) flush() error {
	if _, err := w.file.WriteAt(w.buf, w.written); err != nil {
		return fullOr(err)
	}
	w.written += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// finish writes the footer, which says of the end of the segment what the old one said, and makes the file durable.
func (w *rewrite) finish(old *segmentFooter) error {
	footer := segmentFooter{
		end: old.end, last: old.last, bytes: w.written + int64(len(w.buf)), records: w.records, digest: w.digest,
	}
	w.buf = append(w.buf, footer.encode()...)
	if err := w.flush(); err != nil {
		return err
	}
	if mutant("commitlog-rewritten-unsynced") {
		return nil
	}
	return w.file.SyncData()
}

// install gives the new file its name, puts it into the log in the place of the old one, and removes that. It is false if
// retention has removed the old one meanwhile.
func (w *rewrite) install() (bool, error) {
	l := w.log
	if err := errors.Join(l.files.release(w.index.file), l.files.release(w.file), l.files.forget(w.name+tempSuffix)); err != nil {
		return false, err
	}
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.mu.Lock()
	present := slices.Contains(l.segments, w.old) && !l.closed
	l.mu.Unlock()
	if !present {
		return false, errors.Join(l.files.remove(w.index.file.name), l.FS().Remove(w.name+tempSuffix))
	}
	if err := l.FS().Rename(w.name+tempSuffix, w.name); err != nil {
		return false, errors.Join(err, l.files.remove(w.index.file.name), l.FS().Remove(w.name+tempSuffix))
	}
	if err := l.syncRewritten(); err != nil {
		return false, l.fail(err)
	}
	l.mu.Lock()
	segments := slices.Clone(l.segments)
	segments[slices.Index(segments, w.old)] = &segment{
		name: w.name, base: w.old.base, generation: w.old.generation + 1, end: w.old.end, size: w.written, sealed: true,
	}
	l.segments = segments
	l.mu.Unlock()
	if err := l.deleteSegment(w.old); err != nil {
		l.dropped = append(l.dropped, w.old) // or the new one might go first
		return true, err
	}
	return true, nil
}

// syncRewritten makes the new name durable before the old file goes.
func (l *Log) syncRewritten() error {
	if mutant("commitlog-rewritten-name-unsynced") {
		return nil
	}
	return l.FS().SyncDir(l.dir)
}

// discard removes what begin made.
func (w *rewrite) discard() error {
	var errs []error
	if w.index.file != nil {
		errs = append(errs, w.log.files.release(w.index.file), w.log.files.remove(w.index.file.name))
	}
	if w.file != nil {
		errs = append(errs, w.log.files.release(w.file), w.log.files.remove(w.name+tempSuffix))
	}
	return errors.Join(errs...)
}

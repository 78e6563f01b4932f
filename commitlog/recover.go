package commitlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/trestlehq/trestle/proto/batch"
)

// recovery takes up a log after a stop of any kind. DESIGN.md has the table of what is found and what is done.
type recovery struct {
	*Log
	mark   *Mark // nil: none
	report *Report
}

// tail is the last segment of a log as it was found, with its files open.
type tail struct {
	segment *segment
	file    *handle
	index   indexWriter
	created int64
	closed  bool // nothing more is appended to it: it has a footer, or is damaged where it would go on
	settled bool // the file ends at its mark, and that is so on the disk, too
	mark    Mark // where the batches end, once that is durable
}

// run finds the end of the log and makes it durable.
func (r *recovery) run() error {
	if r.mark != nil && r.lostTail() {
		return r.FS().SyncDir(r.dir)
	}
	for len(r.segments) > 0 {
		s := r.segments[len(r.segments)-1]
		if !r.aboveSuspect(s) {
			t, err := r.segmentTail(s)
			if err != nil {
				return err
			}
			if t != nil {
				return r.resume(t)
			}
		}
		// Nothing in the file was ever made durable, and the segment before it is whole.
		if err := r.removeSegmentFiles(s, r.report); err != nil {
			return err
		}
		r.segments = r.segments[:len(r.segments)-1]
		r.opts.Base = s.base
		// At once: if something below fails, the next start does not see it any more, and may take the folder for settled.
		if err := r.FS().SyncDir(r.dir); err != nil {
			return err
		}
	}
	r.end, r.durable = r.opts.Base, r.opts.Base
	return r.FS().SyncDir(r.dir)
}

// aboveSuspect says whether all of a segment lies above the last good sync of a log of which one failed.
func (r *recovery) aboveSuspect(s *segment) bool {
	return len(r.segments) > 1 && r.mark != nil && r.mark.Suspect && s.base != r.mark.Segment && !s.base.Before(r.mark.Durable)
}

// correctMark replaces a mark that says more than holds now. What was suspect is gone: what is appended from now on is not
// to be cut by a later start that finds the same mark. And if the log start or the commit position lay above what a crash
// left, they are not to hide, or to commit, what takes those places next.
func (r *recovery) correctMark() error {
	l := r.Log
	l.mu.Lock()
	start, compacted := min(l.start, l.end.Offset), min(l.compacted, l.end.Seq)
	if !r.mark.Suspect && start == l.start && compacted == l.compacted && (l.committed == r.mark.Committed || mutant("commitlog-lost-commit-kept")) {
		l.mu.Unlock()
		return nil
	}
	l.start, l.compacted, l.mark.Suspect = start, compacted, false
	m := l.mark
	m.LogName, m.Start, m.Compacted, m.Committed = r.mark.LogName, start, compacted, l.committed
	l.mu.Unlock()
	l.opts.Marks.Put(m)
	return l.opts.Marks.Flush()
}

// lostTail looks for the segment in which the mark lies. If it is gone and nothing comes after it, the log goes on at the
// mark, so that no offset is given twice, and says what is lost.
func (r *recovery) lostTail() bool {
	from := r.opts.Base
	if n := len(r.segments); n > 0 {
		if !follow(r.segments[n-1].base, r.mark.Segment) {
			return false
		}
		from = r.mark.Segment
	} else if !from.Before(r.mark.Durable) {
		return false
	}
	if r.mark.last.epoch != 0 { // else the log began there and held nothing
		r.report.Lost = &Lost{From: from, To: r.mark.Durable}
	}
	r.last, r.end, r.durable, r.Log.mark = r.mark.last, r.mark.Durable, r.mark.Durable, *r.mark
	if n := len(r.segments); n > 0 {
		r.segments[n-1].end = r.mark.Segment
	}
	return true
}

// resume takes up the log at the end of its last segment.
func (r *recovery) resume(t *tail) error {
	l := r.Log
	if r.mark != nil && t.mark.last == (lastBatch{}) && !t.segment.base.Before(r.mark.Durable) {
		t.mark.last.time = r.mark.last.time
	}
	l.last, l.end, l.durable, l.mark = t.mark.last, t.mark.Durable, t.mark.Durable, t.mark
	t.segment.end = t.mark.Durable
	// Also what was removed before the process was killed must not come back.
	if !t.settled || len(r.report.Removed) > 0 {
		if err := r.FS().SyncDir(l.dir); err != nil {
			return err
		}
	}
	if t.closed {
		return errors.Join(l.files.release(t.file), l.files.release(t.index.file))
	}
	l.active = &activeSegment{
		segment: t.segment, file: t.file, index: t.index, users: 1, created: t.created,
		written: t.segment.size, records: t.mark.records, digest: t.mark.digest,
	}
	t.segment.sealed = false
	return l.rest(l.active)
}

// segmentTail reads the last segment from the mark on, or from its start if the mark is not in it, and cuts the file
// where the first element stands that is not whole or does not follow from the one before it. It returns nil if the
// file holds nothing.
func (r *recovery) segmentTail(s *segment) (*tail, error) {
	file, err := r.files.acquire(s.name)
	if err != nil {
		return nil, err
	}
	t := &tail{segment: s, file: file, mark: Mark{Segment: s.base, generation: s.generation}}
	known := r.mark
	if known != nil && (known.Segment != s.base || known.generation != s.generation) {
		known = nil
	}
	if mutant("commitlog-rot-cut") {
		known = nil
	}
	err = r.settle(t, known)
	found := false
	if err == nil {
		found, err = r.readHeader(t, known != nil)
	}
	if err == nil && found {
		err = r.recoverFile(t, known)
	}
	if err == nil && found {
		return t, nil
	}
	err = errors.Join(err, r.files.release(file))
	if t.index.file != nil {
		err = errors.Join(err, r.files.release(t.index.file))
	}
	return nil, err
}

// settle sees that the file reads as it lies on the disk. After a failed sync reads show what is not there, and the next
// sync does not tell: none of it is believed. Nothing is read of a file that ends at its mark, but that it ends there may be
// the work of a truncation that was not durable when the process was killed: unless the mark says that there is none, or the
// log was closed in order.
func (r *recovery) settle(t *tail, known *Mark) error {
	size, err := t.file.Size()
	ends := known != nil && !known.Suspect && known.FilePosition == size
	t.settled = ends && (r.opts.Settled || known.settled || mutant("commitlog-taken-for-settled"))
	if err == nil && !t.settled && !mutant("commitlog-recovered-unsynced") {
		err = t.file.SyncData()
	}
	if err == nil && !ends && !mutant("commitlog-page-cache-believed") {
		err = t.file.DropCache()
	}
	if err != nil {
		return fmt.Errorf("syncing %s: %w", t.segment.name, err)
	}
	return nil
}

// recoverFile reads the batches above known, cuts what follows them, and makes the file durable.
func (r *recovery) recoverFile(t *tail, known *Mark) error {
	size, err := t.file.Size()
	if err != nil {
		return err
	}
	if known != nil {
		t.mark = *known
	} else if err := r.firstMark(t, size); err != nil {
		return err
	}
	if err := r.takeIndex(t, min(size, t.mark.FilePosition)); err != nil {
		return err
	}
	if size < t.mark.FilePosition {
		r.report.Damaged = append(r.report.Damaged, &CorruptError{
			File: t.segment.name, Position: size, Err: fmt.Errorf("%w: %d bytes were durable", batch.ErrShort, t.mark.FilePosition),
		})
		t.closed, t.segment.size = true, size
		return nil
	}
	reason := r.scan(t, size)
	var corrupt *CorruptError
	if mutant("commitlog-later-batch-means-rot") && errors.As(reason, &corrupt) && batchBehind(t, size) {
		r.report.Damaged = append(r.report.Damaged, corrupt)
		t.closed, t.segment.size = true, size
		return nil
	}
	if errors.Is(reason, batch.ErrVersion) || !errors.As(reason, &corrupt) && !errors.Is(reason, io.EOF) {
		return reason // unreadable is not damaged: cut nothing
	}
	return r.cut(t, size, reason)
}

// firstMark is where a segment is read from of which no mark is known: its first batch, but for one that was rewritten.
// That was sealed and durable before it got its name, so its footer says all, unless it is that of another segment.
func (r *recovery) firstMark(t *tail, size int64) error {
	if t.segment.generation > 0 {
		f, err := r.readFooter(t.segment)
		if err == nil && f.bytes == size-segmentFooterSize && follow(t.segment.base, f.end) {
			t.mark.Durable, t.mark.FilePosition, t.mark.sealed = f.end, size, true
			t.mark.last, t.mark.records, t.mark.digest = f.last, f.records, f.digest
			return nil
		}
		if err != nil && !IsDamage(err) {
			return err
		}
	}
	var err error
	t.mark.Durable, t.mark.FilePosition = t.segment.base, segmentHeaderSize
	t.mark.last, err = r.lastBefore(t.segment)
	return err
}

// cut ends the file where the batches end, and makes it durable.
func (r *recovery) cut(t *tail, size int64, reason error) error {
	end := t.mark.FilePosition
	t.segment.size, t.closed = end, t.mark.sealed
	if end < size {
		if err := t.file.Truncate(end); err != nil {
			return fmt.Errorf("cutting %s: %w", t.segment.name, err)
		}
		r.report.Cut = append(r.report.Cut, Cut{File: t.segment.name, Position: end, Bytes: size - end, Reason: reason})
	}
	if end == size && r.mark != nil && r.mark.Segment == t.segment.base && r.mark.FilePosition == end {
		return nil
	}
	if mutant("commitlog-recovered-unsynced") {
		return nil
	}
	if err := t.file.SyncData(); err != nil {
		return fmt.Errorf("syncing %s: %w", t.segment.name, err)
	}
	return nil
}

// scan steps through the batches from the mark on up to the first element that is not whole or does not follow, moving
// the mark along, and says why it stopped: io.EOF at the end of the file. A suspect mark stays where it is: what lies
// above it is of unknown fate, and what the page cache shows of it is not to be believed.
func (r *recovery) scan(t *tail, size int64) error {
	if t.mark.Suspect && !mutant("commitlog-page-cache-believed") {
		t.mark.Suspect = false
		if err := t.file.DropCache(); err != nil {
			return err
		}
		return &CorruptError{File: t.segment.name, Position: t.mark.FilePosition, Err: errors.New("a sync failed here")}
	}
	sc := newScanner(t.file, t.segment.name, t.mark.FilePosition, size)
	for {
		e, err := sc.next()
		if err != nil {
			return err
		}
		switch {
		case t.mark.sealed:
			err = errors.New("something follows the footer")
		case e.footer != nil:
			err = t.takeFooter(e.footer)
		default:
			err = r.takeBatch(t, &e)
		}
		if err != nil {
			return &CorruptError{File: sc.name, Position: t.mark.FilePosition, Err: err}
		}
		t.mark.FilePosition = sc.position
	}
}

func (t *tail) takeFooter(f *segmentFooter) error {
	m := &t.mark
	matches := f.bytes == m.FilePosition && f.digest == m.digest && follow(t.segment.base, f.end) && !f.end.Before(m.Durable)
	if t.segment.generation == 0 {
		matches = matches && f.end == m.Durable && f.last.crc == m.last.crc
	}
	if !matches {
		return fmt.Errorf("%w: the footer does not match the batches before it", batch.ErrCorrupt)
	}
	m.sealed, m.Durable, m.last = true, f.end, f.last
	return nil
}

// takeBatch accounts for a batch if it follows from the one before it.
func (r *recovery) takeBatch(t *tail, e *element) error {
	h, m := &e.header, &t.mark
	end, last := m.Durable, m.last
	if t.segment.generation > 0 { // seq may have holes, and the chain is broken at them
		end, last.crc = Position{Seq: max(h.Seq, end.Seq), Offset: max(h.BaseOffset, end.Offset)}, 0
	}
	if err := follows(h, r.tag, end, last); err != nil {
		return err
	}
	m.last = lastBatch{crc: h.HeaderCRC, time: h.Time, epoch: h.LeaderEpoch}
	m.Durable = Position{Seq: h.Seq + 1, Offset: h.NextOffset()}
	m.records += uint64(h.RecordCount)
	m.digest = updateDigest(m.digest, h.HeaderCRC)
	t.index.add(indexEntry{seq: h.Seq, offset: h.BaseOffset, time: h.Time, position: e.position})
	r.report.Recovered++
	return nil
}

// follows says what is wrong with a sound batch that stands at end, behind last, in a log with that tag.
func follows(h *batch.Header, tag uint32, end Position, last lastBatch) error {
	switch {
	case h.PartitionTag != tag:
		return fmt.Errorf("%w: batch of another log", batch.ErrCorrupt)
	case (h.Seq != end.Seq || h.BaseOffset != end.Offset) && !mutant("commitlog-place-unchecked"):
		return fmt.Errorf("%w: seq %d offset %d where %v is expected", batch.ErrCorrupt, h.Seq, h.BaseOffset, end)
	case last.crc != 0 && h.PreviousCRC != last.crc && !mutant("commitlog-chain-unchecked"):
		return fmt.Errorf("%w: the batch does not name the one before it", batch.ErrCorrupt)
	case h.LeaderEpoch < last.epoch || h.Time < last.time:
		return fmt.Errorf("%w: epoch or time go back", batch.ErrCorrupt)
	}
	return nil
}

// lastBefore is what the first batch of the segment depends on, from the footer of the segment before it.
func (r *recovery) lastBefore(s *segment) (lastBatch, error) {
	if len(r.segments) < 2 {
		return lastBatch{}, nil
	}
	before := r.segments[len(r.segments)-2]
	footer, err := r.readFooter(before)
	if err == nil && footer.end != s.base {
		err = &CorruptError{File: before.name, Position: footer.bytes, Err: errHole}
	}
	var corrupt *CorruptError
	if errors.As(err, &corrupt) { // it is sealed, so this is rot
		r.report.Damaged = append(r.report.Damaged, corrupt)
		return lastBatch{}, nil
	}
	return footer.last, err
}

// readFooter reads the footer of a sealed segment.
func (l *Log) readFooter(s *segment) (segmentFooter, error) {
	file, err := l.files.acquire(s.name)
	if err != nil {
		return segmentFooter{}, err
	}
	b := make([]byte, segmentFooterSize)
	at := s.size - segmentFooterSize
	if at >= 0 {
		_, err = file.ReadAt(b, at)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err := errors.Join(err, l.files.release(file)); err != nil {
		return segmentFooter{}, fmt.Errorf("reading %s: %w", s.name, err)
	}
	f, err := parseSegmentFooter(b)
	if err != nil {
		return f, &CorruptError{File: s.name, Position: max(at, 0), Err: err}
	}
	return f, nil
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

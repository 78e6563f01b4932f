package commitlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/trestlehq/trestle/proto/batch"
)

// tail is the last segment of a log as it was found, with its files open.
type tail struct {
	segment *segment
	file    *handle
	index   indexWriter
	header  segmentHeader
	footer  *segmentFooter // nil: not sealed
	last    lastBatch
	records uint64
	digest  uint32
}

// recoverSegment reads the last segment of the log, writes its index anew, and cuts the file where the first element
// stands that is not whole or does not follow from the one before it. It returns nil if not even the segment's header
// is whole.
func (l *Log) recoverSegment(s *segment, report *Report) (*tail, error) {
	file, err := l.files.acquire(s.name)
	if err != nil {
		return nil, err
	}
	t := &tail{segment: s, file: file}
	start, err := l.readSegmentHeader(t)
	if err == nil {
		err = l.recoverFile(t, start, report)
	}
	if err != nil {
		err = errors.Join(err, l.files.release(file))
		if t.index.file != nil {
			err = errors.Join(err, l.files.release(t.index.file))
		}
	}
	var corrupt *CorruptError
	if errors.As(err, &corrupt) && start == 0 {
		return nil, nil
	}
	return t, err
}

// readSegmentHeader reads the header and says where the batches begin. A header that is not whole is a *CorruptError;
// one that is whole and says that the file belongs elsewhere is another error.
func (l *Log) readSegmentHeader(t *tail) (int64, error) {
	b := make([]byte, segmentHeaderSize)
	if _, err := t.file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading %s: %w", t.segment.name, err)
	}
	h, n, err := parseSegmentHeader(b)
	if errors.Is(err, ErrNewer) {
		return 0, fmt.Errorf("%s: %w", t.segment.name, err)
	}
	if err != nil {
		return l.mendSegmentHeader(t, err)
	}
	if h.partition != l.opts.Partition || h.logID != l.opts.LogID || h.base != t.segment.base {
		return 0, fmt.Errorf("%s belongs to log %d of partition %x at %v, not here; move it away", t.segment.name, h.logID, h.partition, h.base)
	}
	t.header = h
	return int64(n), nil
}

// mendSegmentHeader writes the header of a segment anew if only the header is damaged: all that it says is known, but
// for when the segment was begun, for which the time of its first batch stands in. A file in which not even the first
// batch is whole is a *CorruptError, because of why.
func (l *Log) mendSegmentHeader(t *tail, why error) (int64, error) {
	size, err := t.file.Size()
	if err != nil {
		return 0, err
	}
	e, err := newScanner(t.file, t.segment.name, segmentHeaderSize, size).next()
	if err != nil || e.footer != nil || e.header.PartitionTag != l.tag || e.header.Seq != t.segment.base.Seq {
		return 0, &CorruptError{File: t.segment.name, Err: why}
	}
	t.header = segmentHeader{partition: l.opts.Partition, logID: l.opts.LogID, base: t.segment.base, created: e.header.Time}
	if _, err := t.file.WriteAt(t.header.encode(), 0); err != nil {
		return 0, fmt.Errorf("mending the header of %s: %w", t.segment.name, err)
	}
	return segmentHeaderSize, nil
}

// recoverFile reads all batches, cuts what follows them, and makes the file durable.
func (l *Log) recoverFile(t *tail, start int64, report *Report) error {
	size, err := t.file.Size()
	if err != nil {
		return err
	}
	if err := l.startIndex(t); err != nil {
		return err
	}
	if t.last, err = l.lastBefore(t.segment); err != nil {
		return err
	}
	t.segment.end = t.segment.base
	sc := newScanner(t.file, t.segment.name, start, size)
	reason := t.scan(l, sc, report)
	var corrupt *CorruptError
	if errors.Is(reason, batch.ErrVersion) || reason != nil && !errors.As(reason, &corrupt) && !errors.Is(reason, io.EOF) {
		return reason // unreadable is not damaged: cut nothing
	}
	t.segment.size = sc.position
	if sc.position < size {
		if err := t.file.Truncate(sc.position); err != nil {
			return fmt.Errorf("cutting %s: %w", t.segment.name, err)
		}
		report.Cut = append(report.Cut, Cut{File: t.segment.name, Position: sc.position, Bytes: size - sc.position, Reason: reason})
	}
	if err := t.file.SyncData(); err != nil {
		return fmt.Errorf("syncing %s: %w", t.segment.name, err)
	}
	return nil
}

// startIndex begins the index of the segment anew.
func (l *Log) startIndex(t *tail) error {
	name := t.segment.indexName()
	index, err := l.files.acquire(name)
	if errors.Is(err, fs.ErrNotExist) {
		index, err = l.files.create(name)
	}
	if err != nil {
		return err
	}
	t.index = indexWriter{file: index, base: t.segment.base, covered: segmentHeaderSize + 1}
	return index.Truncate(0)
}

// scan steps through the batches up to the first element that is not whole or does not follow, and says why it
// stopped: io.EOF at the end of the file.
func (t *tail) scan(l *Log, sc *scanner, report *Report) error {
	for {
		at := sc.position
		e, err := sc.next()
		if err != nil {
			return err
		}
		if t.footer != nil {
			err = errors.New("something follows the footer")
		} else if e.footer != nil {
			err = t.takeFooter(e.footer, at)
		} else {
			err = t.takeBatch(l, &e)
		}
		if err != nil {
			sc.position = at
			return &CorruptError{File: sc.name, Position: at, Err: err}
		}
		if e.footer == nil {
			report.Recovered++
		}
	}
}

func (t *tail) takeFooter(f *segmentFooter, at int64) error {
	if f.end != t.segment.end || f.bytes != at || f.digest != t.digest || f.last.crc != t.last.crc {
		return fmt.Errorf("%w: the footer does not match the batches before it", batch.ErrCorrupt)
	}
	t.footer = f
	return nil
}

// takeBatch accounts for a batch if it follows from the one before it.
func (t *tail) takeBatch(l *Log, e *element) error {
	h, end := &e.header, t.segment.end
	switch {
	case h.PartitionTag != l.tag:
		return fmt.Errorf("%w: batch of another log", batch.ErrCorrupt)
	case h.Seq != end.Seq || h.BaseOffset != end.Offset:
		return fmt.Errorf("%w: seq %d offset %d where %v is expected", batch.ErrCorrupt, h.Seq, h.BaseOffset, end)
	case t.last.crc != 0 && h.PreviousCRC != t.last.crc:
		return fmt.Errorf("%w: the batch does not name the one before it", batch.ErrCorrupt)
	case h.LeaderEpoch < t.last.epoch || h.Time < t.last.time:
		return fmt.Errorf("%w: epoch or time go back", batch.ErrCorrupt)
	}
	t.last = lastBatch{crc: h.HeaderCRC, time: h.Time, epoch: h.LeaderEpoch}
	t.segment.end = Position{Seq: h.Seq + 1, Offset: h.NextOffset()}
	t.records += uint64(h.RecordCount)
	t.digest = updateDigest(t.digest, h.HeaderCRC)
	t.index.add(indexEntry{seq: h.Seq, offset: h.BaseOffset, time: h.Time, position: e.position})
	return nil
}

// lastBefore is what the first batch of the segment depends on, from the footer of the segment before it.
func (l *Log) lastBefore(s *segment) (lastBatch, error) {
	if len(l.segments) < 2 {
		return lastBatch{}, nil
	}
	before := l.segments[len(l.segments)-2]
	footer, err := l.readFooter(before)
	if err != nil {
		return lastBatch{}, err
	}
	if footer.end != s.base {
		return lastBatch{}, &CorruptError{File: before.name, Position: footer.bytes, Err: errHole}
	}
	return footer.last, nil
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

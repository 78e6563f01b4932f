package commitlog

import (
	"errors"
	"fmt"
)

// ErrCommitted means that a truncation would remove what is committed.
var ErrCommitted = errors.New("committed batches are not truncated")

// Truncate removes every batch with that seq or a higher one, control batches included, and returns the new end. It is
// durable when it returns, so nothing that was removed can follow what is appended next. Nothing committed is removed:
// ErrCommitted. The caller appends nothing meanwhile.
func (l *Log) Truncate(seq uint64) (Position, error) {
	if l.Committed().Seq > seq && !mutant("commitlog-committed-truncated") {
		return l.End(), fmt.Errorf("truncating to seq %d: %w: %v is", seq, ErrCommitted, l.Committed())
	}
	return l.truncate(seq)
}

// TruncateUnclean is Truncate for an unclean election, in which committed batches may be lost: the commit position goes
// back with the end.
func (l *Log) TruncateUnclean(seq uint64) (Position, error) { return l.truncate(seq) }

func (l *Log) truncate(seq uint64) (Position, error) {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.usable(); err != nil {
		return l.End(), err
	}
	if seq >= l.End().Seq || l.empty() {
		return l.End(), nil
	}
	cut, err := l.stateBefore(seq)
	if err != nil {
		return l.End(), fmt.Errorf("truncating to seq %d: %w", seq, err)
	}
	l.mu.Lock()
	if l.mark.Durable == cut.Durable {
		cut.last = l.mark.last
	}
	l.mu.Unlock()
	if err := l.lowerMark(cut); err != nil {
		return l.End(), fmt.Errorf("truncating to seq %d: %w", seq, err)
	}
	if err := l.cutAt(cut); err != nil {
		return l.End(), l.fail(fmt.Errorf("truncating to seq %d: %w", seq, err))
	}
	return cut.Durable, nil
}

// empty says whether the log has no segment.
func (l *Log) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.segments) == 0
}

// stateBefore is the mark that a log has that ends before that seq. It lies in the segment that begins there, if one
// does, so that a sealed segment stays sealed.
func (l *Log) stateBefore(seq uint64) (Mark, error) {
	l.mu.Lock()
	segments := l.segments
	l.mu.Unlock()
	i := len(segments) - 1
	for i > 0 && segments[i].base.Seq > seq {
		i--
	}
	s := segments[i]
	m := Mark{Durable: s.base, Segment: s.base, FilePosition: segmentHeaderSize, generation: s.generation}
	if i > 0 {
		footer, err := l.readFooter(segments[i-1])
		if err != nil {
			return m, err
		}
		m.last = footer.last
	}
	return m, l.withSegment(s, func(sc *scanner) error {
		for {
			e, err := sc.next()
			if isEnd(err) || err == nil && e.footer != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if e.header.Seq == seq { // what was before it may have been compacted away
				m.Durable = Position{Seq: seq, Offset: e.header.BaseOffset}
			}
			if e.header.Seq >= seq {
				if i == 0 && e.header.Seq == s.base.Seq { // there is no footer before it
					m.last.crc = e.header.PreviousCRC
				}
				return nil
			}
			m.Durable = Position{Seq: e.header.Seq + 1, Offset: e.header.NextOffset()}
			m.FilePosition = sc.position
			m.last = lastBatch{crc: e.header.HeaderCRC, time: e.header.Time, epoch: e.header.LeaderEpoch}
			m.records += uint64(e.header.RecordCount)
			m.digest = updateDigest(m.digest, e.header.HeaderCRC)
		}
	})
}

// lowerMark makes durable that the log may end at m: a mark above the end would be taken for a loss. If it fails the log is
// as before.
func (l *Log) lowerMark(m Mark) error {
	l.mu.Lock()
	mark, committed, start, compacted := l.mark, l.committed, l.start, l.compacted
	if m.Durable.Before(l.mark.Durable) {
		l.mark = m
	}
	if m.Durable.Before(l.committed) {
		l.committed = m.Durable
	}
	l.start, l.compacted = min(l.start, m.Durable.Offset), min(l.compacted, m.Durable.Seq)
	l.cutting = !mutant("commitlog-truncation-unsaid")
	l.putMarkLocked()
	l.mu.Unlock()
	if l.opts.Marks == nil {
		return nil
	}
	if mutant("commitlog-mark-not-lowered") {
		return nil
	}
	err := l.opts.Marks.Flush() // also when it was lowered before: that flush may have failed
	if err != nil {
		l.mu.Lock()
		l.mark, l.committed, l.start, l.compacted, l.cutting = mark, committed, start, compacted, false
		l.putMarkLocked()
		l.mu.Unlock()
	}
	return err
}

// cutAt removes the segments behind the one in which m lies, newest first, and ends that one at m. The caller holds
// l.syncing and l.writing.
func (l *Log) cutAt(m Mark) error {
	if l.active != nil {
		if err := l.leave(l.active); err != nil {
			return err
		}
		l.active = nil
	}
	for {
		l.mu.Lock()
		s := l.segments[len(l.segments)-1]
		behind := m.Segment.Before(s.base)
		if behind {
			l.segments = l.segments[: len(l.segments)-1 : len(l.segments)-1]
		}
		l.mu.Unlock()
		if !behind {
			return l.reopenAt(s, m)
		}
		if err := l.deleteSegment(s); err != nil {
			return err
		}
	}
}

// reopenAt ends the segment at m and makes it the active one.
func (l *Log) reopenAt(s *segment, m Mark) error {
	t, err := l.openTail(s, m)
	if err != nil {
		return err
	}
	l.mu.Lock()
	s.sealed, s.size, s.end = false, m.FilePosition, m.Durable
	l.end, l.durable, l.mark, l.cutting = m.Durable, m.Durable, m, false
	l.putMarkLocked()
	l.mu.Unlock()
	l.last = m.last
	l.active = t
	return nil
}

// openTail cuts the segment's file and its index at m.
func (l *Log) openTail(s *segment, m Mark) (*activeSegment, error) {
	file, err := l.files.acquire(s.name)
	if err != nil {
		return nil, err
	}
	r := recovery{Log: l, report: &Report{}}
	t := &tail{segment: s, file: file}
	err = file.Truncate(m.FilePosition)
	if err == nil && !mutant("commitlog-truncation-unsynced") {
		err = file.SyncData()
	}
	if err == nil && !mutant("commitlog-truncated-name-unsynced") {
		err = l.FS().SyncDir(l.dir) // the file may be new, and no Sync to come knows
	}
	if err == nil {
		err = r.takeIndex(t, m.FilePosition)
	}
	if err != nil {
		err = errors.Join(err, l.files.release(file))
		if t.index.file != nil {
			err = errors.Join(err, l.files.release(t.index.file))
		}
		return nil, err
	}
	var created int64
	b := make([]byte, segmentHeaderSize)
	if _, err := file.ReadAt(b, 0); err == nil {
		if h, _, err := parseSegmentHeader(b); err == nil {
			created = h.created
		}
	}
	return &activeSegment{
		segment: s, file: file, index: t.index, users: 1, created: created,
		written: m.FilePosition, records: m.records, digest: m.digest,
	}, nil
}

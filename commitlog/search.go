package commitlog

import (
	"errors"
	"sort"

	"github.com/trestlehq/trestle/proto/batch"
)

// found is where a search ended: a batch, or the end of the log.
type found struct {
	segment  *segment // nil: the end of the log
	position int64    // in the segment's file
	at       Position // of the batch
}

// search finds the first batch for which reached is true. It is false for batches up to some place in the log and true
// from there on. A logarithmic number of headers is read, and one stretch between two entries of an index.
func (l *Log) search(reached func(*batch.Header) bool) (found, error) {
	l.mu.Lock()
	segments, end := l.segments, l.end
	l.mu.Unlock()
	var firstErr error
	// The first segment whose first batch is reached; what is sought begins there, or in the segment before.
	i := sort.Search(len(segments), func(i int) bool {
		h, err := l.firstHeader(segments, i)
		if err != nil {
			firstErr = errors.Join(firstErr, err)
			return true
		}
		return h == nil || reached(h)
	})
	if firstErr != nil {
		return found{}, firstErr
	}
	if i > 0 {
		f, err := l.searchSegment(segments[i-1], reached)
		if err != nil || f.segment != nil {
			return f, err
		}
	}
	for ; i < len(segments); i++ {
		f, err := l.searchSegment(segments[i], reached)
		if err != nil || f.segment != nil {
			return f, err
		}
	}
	return found{at: end}, nil
}

// firstHeader is the header of the first batch in segment i or, as one that was compacted may be empty, after it; nil if
// there is none.
func (l *Log) firstHeader(segments []*segment, i int) (*batch.Header, error) {
	for ; i < len(segments); i++ {
		var h *batch.Header
		err := l.withSegment(segments[i], func(sc *scanner) error {
			sc.chunk = indexInterval
			e, err := sc.next()
			if err == nil && e.footer == nil {
				h = &e.header
			}
			if isEnd(err) {
				err = nil
			}
			return err
		})
		if h != nil || err != nil {
			return h, err
		}
	}
	return nil, nil
}

// searchSegment is search in one segment. Without a segment in what it returns there is no such batch in this one.
func (l *Log) searchSegment(s *segment, reached func(*batch.Header) bool) (found, error) {
	var f found
	err := l.withSegment(s, func(sc *scanner) error {
		from, err := l.seekIndex(s, func(e indexEntry) bool {
			h, err := headerAt(sc.file, e.position)
			return err == nil && !reached(&h)
		})
		if err != nil {
			return err
		}
		sc.jump(from.position)
		for {
			e, err := sc.next()
			if isEnd(err) || err == nil && e.footer != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if reached(&e.header) {
				f = found{segment: s, position: e.position, at: Position{Seq: e.header.Seq, Offset: e.header.BaseOffset}}
				return nil
			}
		}
	})
	return f, err
}

// withSegment calls use with a scanner at the first batch of the segment.
func (l *Log) withSegment(s *segment, use func(*scanner) error) error {
	l.mu.Lock()
	size := s.size
	l.mu.Unlock()
	file, err := l.files.acquire(s.name)
	if err != nil {
		return err
	}
	return errors.Join(use(newScanner(file, s.name, segmentHeaderSize, size)), l.files.release(file))
}

// OffsetAt is the offset of the first record that was appended at the time, unix nanoseconds, or after it; the next
// offset if there is none. It may lie below the log start, in a segment that is still there.
func (l *Log) OffsetAt(time int64) (int64, error) {
	f, err := l.search(func(h *batch.Header) bool { return h.Time >= time })
	return f.at.Offset, err
}

// EpochEnd is where the batches of the leader epoch end: the place of the first batch of a later one, or the end of the
// log.
func (l *Log) EpochEnd(epoch uint64) (Position, error) {
	f, err := l.search(func(h *batch.Header) bool { return h.LeaderEpoch > epoch })
	return f.at, err
}

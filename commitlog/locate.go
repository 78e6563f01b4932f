package commitlog

import (
	"errors"
	"io/fs"
	"sort"
)

// locate finds the segment where the reader begins, and in it a place at most one index interval before the first
// batch that it wants. Without any segment it leaves the reader as it is.
func (r *Reader) locate() error {
	l := r.log
	l.mu.Lock()
	err := l.usableLocked()
	if errors.Is(err, ErrFault) {
		err = nil // what is there can be read
	}
	beyond := r.from.Seq > l.end.Seq || r.from.Seq == 0 && r.from.Offset > l.end.Offset
	gone := r.from.Seq == 0 && r.from.Offset < l.startLocked() || r.from.Seq != 0 && r.from.Before(l.firstLocked())
	if err == nil && (beyond || gone) {
		err = l.rangeErrorLocked(r.from.Offset)
	}
	segments := l.segments
	l.mu.Unlock()
	if err != nil || len(segments) == 0 {
		return err
	}
	i := sort.Search(len(segments), func(i int) bool {
		if r.from.Seq != 0 {
			return segments[i].base.Seq > r.from.Seq
		}
		return segments[i].base.Offset >= r.from.Offset
	})
	r.segment = segments[max(i-1, 0)]
	r.next = r.segment.base
	r.position, err = r.seek()
	return err
}

// seek finds a place in the segment from which to look for the first batch that the reader wants.
func (r *Reader) seek() (int64, error) {
	l, s := r.log, r.segment
	index, err := l.files.acquire(s.indexName())
	if errors.Is(err, fs.ErrNotExist) {
		return segmentHeaderSize, nil
	}
	if err != nil {
		return 0, err
	}
	e, err := searchIndex(index, s.base, func(e indexEntry) bool {
		if r.from.Seq != 0 {
			return e.seq <= r.from.Seq
		}
		return e.offset < r.from.Offset
	})
	err = errors.Join(err, l.files.release(index))
	if errors.Is(err, errIndex) || err == nil && e.position == 0 {
		return segmentHeaderSize, nil
	}
	r.next = Position{Seq: e.seq, Offset: e.offset}
	return e.position, err
}

// nextSegment moves the reader to the segment after the current one, if there is one.
func (r *Reader) nextSegment() (bool, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	segments := l.segments
	i := sort.Search(len(segments), func(i int) bool { return segments[i].base.Seq > r.segment.base.Seq })
	if i == len(segments) {
		return false, nil
	}
	if r.next.Before(segments[i].base) {
		if i == 0 {
			return false, l.rangeErrorLocked(r.next.Offset)
		}
		return false, &CorruptError{File: r.segment.name, Position: r.position, Err: errHole}
	}
	r.segment, r.position = segments[i], segmentHeaderSize
	return true, nil
}

// errHole means that a file ends before the next one begins.
var errHole = errors.New("batches are missing before the next segment")

func (l *Log) rangeErrorLocked(offset int64) error {
	return &RangeError{Offset: offset, LogStart: l.startLocked(), NextOffset: l.end.Offset}
}

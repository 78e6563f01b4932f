package commitlog

import (
	"errors"
	"io/fs"
	"sort"

	"github.com/trestlehq/trestle/commitlog/vfs"
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
	e, err := r.log.seekIndex(r.segment, func(e indexEntry) bool {
		if r.from.Seq != 0 {
			return e.seq <= r.from.Seq
		}
		return e.offset < r.from.Offset
	})
	if err != nil || e.position == 0 {
		return segmentHeaderSize, err
	}
	r.next = Position{Seq: e.seq, Offset: e.offset}
	return e.position, nil
}

// seekIndex searches the index of a segment for the last entry for which before is true. One without position means that
// there is none, or that the index cannot be used: then whoever seeks begins at the start of the segment.
func (l *Log) seekIndex(s *segment, before func(indexEntry) bool) (indexEntry, error) {
	index, err := l.files.acquire(s.indexName())
	if errors.Is(err, fs.ErrNotExist) {
		return indexEntry{}, nil
	}
	if err != nil {
		return indexEntry{}, err
	}
	e, err := searchIndex(index, s.base, before)
	err = errors.Join(err, l.files.release(index))
	if errors.Is(err, errIndex) {
		return indexEntry{}, nil
	}
	if err != nil || e.position == 0 {
		return e, err
	}
	return l.confirm(s, e)
}

// confirm returns the entry if the batch that it names stands where it says. An index is not synced: after a crash it may
// have entries of batches that were truncated, and then it returns none.
func (l *Log) confirm(s *segment, e indexEntry) (indexEntry, error) {
	file, err := l.files.acquire(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return indexEntry{}, nil // whoever seeks finds out
	}
	if err != nil {
		return indexEntry{}, err
	}
	if !l.indexed(file, e) {
		e = indexEntry{}
	}
	return e, l.files.release(file)
}

// indexed says whether the batch that the entry names stands where it says.
func (l *Log) indexed(file vfs.File, e indexEntry) bool {
	h, err := headerAt(file, e.position)
	if mutant("commitlog-index-trusted") {
		return true
	}
	return err == nil && h.PartitionTag == l.tag && h.Seq == e.seq && h.BaseOffset == e.offset && h.Time == e.time
}

// nextSegment moves the reader to the segment after the current one, if there is one.
func (r *Reader) nextSegment(until Position) (bool, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.next.Before(until) {
		return false, nil
	}
	segments := l.segments
	i := sort.Search(len(segments), func(i int) bool { return segments[i].base.Seq > r.segment.base.Seq })
	if i == len(segments) {
		return false, r.endedLocked()
	}
	if base := segments[i].base; r.next.Before(base) {
		if i == 0 {
			return false, l.rangeErrorLocked(r.next.Offset)
		}
		if !r.compactedAwayLocked() {
			return false, &CorruptError{File: r.segment.name, Position: r.position, Err: errHole}
		}
		r.next = base // the end of the segment was compacted away
	}
	r.segment, r.position = segments[i], segmentHeaderSize
	return true, nil
}

// endedLocked says what is wrong if the last segment has nothing more and the log goes on.
func (r *Reader) endedLocked() error {
	l := r.log
	switch {
	case !r.next.Before(l.end) || r.position < r.segment.size-segmentFooterSize || !r.segment.sealed && r.position < r.segment.size:
		return nil
	case r.compactedAwayLocked() && r.segment.end == l.end:
		r.next = l.end
		return nil
	}
	return &CorruptError{File: r.segment.name, Position: r.position, Err: errHole}
}

// compactedAwayLocked says whether what is missing at the end of the segment was removed by compaction: then the footer
// stands where the batches end, unless the segment was truncated since and is appended to.
func (r *Reader) compactedAwayLocked() bool {
	end := r.segment.size
	if r.segment.sealed {
		end -= segmentFooterSize
	}
	return r.segment.generation > 0 && r.position == end
}

// errHole means that a file ends before the next one begins.
var errHole = errors.New("batches are missing before the next segment")

func (l *Log) rangeErrorLocked(offset int64) error {
	return &RangeError{Offset: offset, LogStart: l.startLocked(), NextOffset: l.end.Offset}
}

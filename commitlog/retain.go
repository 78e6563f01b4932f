package commitlog

import (
	"errors"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
)

// Retention says what may be deleted. A limit of 0 is none.
type Retention struct {
	Age      time.Duration // of the append time
	Bytes    int64         // of batches, as stored
	Messages int64
}

// Retain moves the log start up to what the limits leave of the committed records, exact to the record (to the batch
// where bytes are counted), and deletes the segments below it. It returns the log start. Only a leader calls it; followers
// get the log start told and call SetStart.
func (l *Log) Retain(r Retention, now int64) (int64, error) {
	committed := l.Committed()
	start := l.Start()
	if r.Messages > 0 {
		start = max(start, committed.Offset-r.Messages)
	}
	if r.Age > 0 {
		young, err := l.OffsetAt(now - int64(r.Age))
		if err != nil {
			return l.Start(), err
		}
		start = max(start, young)
	}
	if r.Bytes > 0 {
		kept, err := l.offsetOfLast(r.Bytes, committed)
		if err != nil {
			return l.Start(), err
		}
		start = max(start, kept)
	}
	return l.SetStart(min(start, committed.Offset))
}

// offsetOfLast is the offset of the oldest batch from which on at most n bytes are stored up to the end.
func (l *Log) offsetOfLast(n int64, end Position) (int64, error) {
	last, err := l.search(func(h *batch.Header) bool { return h.Seq >= end.Seq })
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	segments := l.segments
	sizes := make([]int64, len(segments)) // of the batches
	for i, s := range segments {
		sizes[i] = s.size - segmentHeaderSize
		if s.sealed {
			sizes[i] -= segmentFooterSize
		}
		if last.segment != nil && !s.base.Before(last.segment.base) { // what is not committed does not count
			sizes[i] = 0
			if s.base == last.segment.base {
				sizes[i] = last.position - segmentHeaderSize
			}
		}
	}
	l.mu.Unlock()
	for i := len(segments) - 1; i >= 0; i-- {
		if sizes[i] <= n {
			n -= sizes[i]
			continue
		}
		return l.offsetAtPosition(segments[i], segmentHeaderSize+sizes[i]-n)
	}
	return 0, nil
}

// offsetAtPosition is the base offset of the first batch that lies at the position in the file or behind it.
func (l *Log) offsetAtPosition(s *segment, position int64) (int64, error) {
	e, err := l.seekIndex(s, func(e indexEntry) bool { return e.position <= position })
	if err != nil {
		return 0, err
	}
	offset := int64(-1)
	err = l.withSegment(s, func(sc *scanner) error {
		sc.jump(e.position)
		for offset < 0 {
			e, err := sc.next()
			if isEnd(err) || err == nil && e.footer != nil {
				break
			}
			if err != nil {
				return err
			}
			if e.position >= position {
				offset = e.header.BaseOffset
			}
		}
		return nil
	})
	if offset < 0 && err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return s.end.Offset, nil
	}
	return offset, err
}

// SetStart moves the log start up to the offset, which is at most the end of what is committed, and deletes the segments
// that lie below it as a whole. It returns the log start. After a crash it may be lower again, but for Purge.
func (l *Log) SetStart(offset int64) (int64, error) {
	l.mu.Lock()
	if !mutant("commitlog-start-beyond-commit") {
		offset = min(offset, l.committed.Offset)
	}
	if offset > l.start {
		l.start = offset
		l.putMarkLocked()
	}
	start := l.startLocked()
	l.mu.Unlock()
	return start, l.dropSegments()
}

// Purge is SetStart for good: when it returns, no crash brings back what lies below the offset.
func (l *Log) Purge(offset, now int64) (int64, error) {
	l.mu.Lock()
	everything := offset >= l.end.Offset && l.committed == l.end
	l.mu.Unlock()
	if everything {
		if err := l.roll(now); err != nil {
			return l.Start(), err
		}
	}
	start, err := l.SetStart(offset)
	if err == nil {
		err = l.FS().SyncDir(l.dir) // also of what a purge removed before that was broken off
	}
	if l.opts.Marks != nil {
		err = errors.Join(err, l.opts.Marks.Flush())
	}
	return start, err
}

// roll ends the last segment, if it holds anything, and begins another.
func (l *Log) roll(now int64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if l.active == nil && l.empty() || l.active != nil && l.active.end == l.active.base {
		return nil
	}
	var err error
	if l.active != nil {
		err = l.seal()
	}
	if err == nil {
		err = l.beginSegment(now, 0)
	}
	return fullOr(err)
}

// dropSegments deletes the segments that end at or before the log start: oldest first, and durably one by one, so that
// no crash leaves a hole. The last one stays, and its name is made durable before: it says where the log goes on.
func (l *Log) dropSegments() error {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	for synced := false; ; {
		if len(l.dropped) == 0 {
			s := l.takeOldest()
			if s == nil {
				return nil
			}
			l.dropped = append(l.dropped, s)
		}
		if !synced {
			if err := l.FS().SyncDir(l.dir); err != nil {
				return err
			}
			synced = true
		}
		if err := l.deleteSegment(l.dropped[0]); err != nil && !mutant("commitlog-retention-goes-on") {
			return err // before it is gone nothing behind it goes
		}
		l.dropped = l.dropped[1:]
	}
}

// takeOldest takes the first segment out of the log if it ends at or before the log start; nil: it does not. The caller holds
// l.dropping.
func (l *Log) takeOldest() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) < 2 || l.segments[0].end.Offset > l.start || l.committed.Before(l.segments[0].end) || l.closed {
		return nil
	}
	s := l.segments[0]
	l.segments = l.segments[1:] // readers hold the slice: its elements never change
	return s
}

// deleteSegment removes the files of a segment that is no longer part of the log. Readers who are in it find out. The key
// goes last: no crash leaves values without it.
func (l *Log) deleteSegment(s *segment) error {
	l.removals.Add(1)
	err := l.files.remove(s.indexName())
	if isNotExist(err) {
		err = nil
	}
	if gone := l.files.remove(s.name); !isNotExist(gone) { // it is, if the time before something else failed
		err = errors.Join(err, gone)
	}
	if err = errors.Join(err, l.FS().SyncDir(l.dir)); err != nil {
		return err
	}
	removed, err := l.removeKey(s)
	if err == nil && removed {
		err = l.FS().SyncDir(l.dir)
	}
	if err == nil {
		l.removals.Add(-1)
	}
	return err
}

package commitlog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// ErrNotNext means that batches of another log do not follow from what this one ends with.
var ErrNotNext = errors.New("batches do not follow from the end of the log")

// Copy appends batches as they lie in the log of another replica, one behind the other in run, without changing a byte of
// them: replicas hold the same bytes. They must follow from the last batch here in seq, offset, chain, epoch and time, and
// be of this partition and log: ErrNotNext. Seqs may be missing below compacted, the seq up to which, exclusive, the other
// log is compacted; there a batch may also follow one that it does not name, for that was rewritten. When it returns they
// can be read and are not durable: Sync makes them so. On an error none of them is in the log. Values that the other
// replica encrypted stay as they are.
func (l *Log) Copy(run []byte, compacted uint64) (Appended, error) {
	headers, err := parseRun(run)
	if err != nil {
		return Appended{}, fmt.Errorf("not copied: %w", err)
	}
	last := headers[len(headers)-1]
	r, err := l.follow(headers, compacted)
	if err != nil {
		return Appended{}, fmt.Errorf("%w: %w", ErrNotNext, err)
	}
	if err := l.makeRoom(int64(len(run)), last.Time); err != nil {
		return Appended{}, err
	}
	defer l.writing.Unlock()
	holes := headers[0].Seq < compacted || headers[0].Seq > l.End().Seq && !mutant("commitlog-hole-unmarked")
	if err := l.fitGeneration(holes, last.Time); err != nil {
		return Appended{}, fullOr(err)
	}
	if err := l.wake(l.active); err != nil {
		return Appended{}, err
	}
	if err := l.write(run); err != nil {
		return Appended{}, err
	}
	r.commit()
	first := Position{Seq: headers[0].Seq, Offset: headers[0].BaseOffset}
	return Appended{First: first, End: r.end, Time: last.Time}, nil
}

// parseRun checks whole batches that lie one behind the other, at least one.
func parseRun(run []byte) ([]batch.Header, error) {
	if len(run) == 0 {
		return nil, errors.New("no batch")
	}
	var headers []batch.Header
	for len(run) > 0 {
		h, err := batch.Parse(run)
		if err != nil {
			return nil, err
		}
		headers, run = append(headers, h), run[h.Size:]
	}
	return headers, nil
}

// follow checks that batches follow from the end of the log. Nobody else appends to a log that is copied to.
func (l *Log) follow(headers []batch.Header, compacted uint64) (appendRun, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	r := appendRun{log: l, end: l.End(), last: l.last, headers: l.headers[:0]}
	for i := range headers {
		if err := r.copy(headers[i], compacted); err != nil {
			return r, err
		}
	}
	if l.active != nil && l.active.generation > 0 && headers[0].Seq <= max(compacted, l.Compacted()) {
		l.last.crc = headers[0].PreviousCRC // as the last batch was first written: the footer says so if the segment ends here
	}
	return r, nil
}

// copy places a batch that another replica stamped after those before it. Up to the seq up to which that replica is
// compacted, batches may be missing before it, and the one before may have been rewritten since it was named.
func (r *appendRun) copy(h batch.Header, compacted uint64) error {
	end, last := r.end, r.last
	if compacted = max(compacted, r.log.Compacted()); h.Seq <= compacted {
		last.crc = 0
		if h.Seq > end.Seq && h.BaseOffset >= end.Offset {
			end = Position{Seq: h.Seq, Offset: h.BaseOffset}
		}
	}
	if err := follows(&h, r.log.tag, end, last); err != nil {
		return err
	}
	r.place(h)
	return nil
}

// fitGeneration sees that what another replica may have rewritten, or has removed batches before, goes to a segment of
// generation 1, as if it had been rewritten here, and what comes after it to one of generation 0. The caller holds l.writing.
func (l *Log) fitGeneration(holes bool, now int64) error {
	a := l.active
	switch empty := a.end == a.base; {
	case holes && a.generation == 0 && empty:
		return l.replaceEmpty(now)
	case holes && a.generation == 0:
		return l.rollTo(now, 1)
	case !holes && a.generation > 0 && !empty:
		return l.rollTo(now, 0)
	}
	return nil
}

// rollTo begins a segment of the generation. The caller holds l.writing, which is released meanwhile: sealing takes syncing,
// which comes first. Nobody else appends to a log that is copied to.
func (l *Log) rollTo(now int64, generation uint32) error {
	l.writing.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	if err := l.writable(); err != nil {
		return err
	}
	if l.active != nil {
		if err := l.seal(); err != nil {
			return err
		}
	}
	return l.beginSegment(now, generation)
}

// replaceEmpty puts a segment that may have holes in the place of one that holds nothing yet. As after a compaction, a
// start that finds both believes the newer.
func (l *Log) replaceEmpty(now int64) error {
	l.writing.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	if err := l.writable(); err != nil {
		return err
	}
	old := l.active
	l.active = nil
	if err := l.leave(old); err != nil {
		return err
	}
	if err := l.beginSegment(now, 1); err != nil {
		l.active = nil
		return err
	}
	if err := l.active.sync(l); err != nil {
		return l.syncFailed(fmt.Errorf("syncing %s: %w", l.active.name, err))
	}
	l.mu.Lock()
	l.segments = slices.DeleteFunc(slices.Clone(l.segments), func(s *segment) bool { return s == old.segment })
	l.mu.Unlock()
	return l.deleteSegment(old.segment)
}

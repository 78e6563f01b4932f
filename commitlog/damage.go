package commitlog

import (
	"bytes"
	"errors"

	"github.com/trestlehq/trestle/proto/batch"
)

// SkipDamage moves a reader that got a *CorruptError on to the next sound batch, and returns where that is: what lies
// between is lost to whoever reads from here. Without one it is the end of the log. Batches that come before the place
// where the reader begins are passed over.
func (r *Reader) SkipDamage() (Position, error) {
	if r.segment == nil {
		if err := r.locate(); err != nil || r.segment == nil {
			return r.log.End(), err
		}
	}
	at, err := r.soundBatch()
	if err != nil {
		return r.next, err
	}
	if at.Seq != 0 {
		r.next = at
		r.from = Position{Seq: at.Seq, Offset: at.Offset}
		return at, nil
	}
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if r.segment.base.Before(s.base) {
			r.segment, r.position, r.next, r.from = s, segmentHeaderSize, s.base, s.base
			return s.base, nil
		}
	}
	r.next, r.from = l.end, l.end
	r.segment = nil
	return l.end, nil
}

// soundBatch looks through the rest of the segment for a batch of this log that is whole. A position with seq 0 means that
// there is none; else the reader stands before it. One that comes before a batch of a smaller seq is passed over: it would
// hide that one, and does not belong where it stands.
func (r *Reader) soundBatch() (Position, error) {
	if _, err := r.limit(); err != nil {
		return Position{}, err
	}
	place, found := r.position, Position{}
	err := r.log.withSegment(r.segment, func(sc *scanner) error {
		sc.jump(r.position)
		for {
			h, ok, err := r.nextSound(sc)
			if err != nil || !ok || found.Seq != 0 && h.Seq >= found.Seq {
				return err
			}
			place, found = sc.position, Position{Seq: h.Seq, Offset: h.BaseOffset}
			sc.position += int64(h.Size)
		}
	})
	if err != nil && !isNotExist(err) && !IsDamage(err) { // the file may be gone, or shorter than it was
		return Position{}, err
	}
	r.position = place
	return found, nil
}

// magicAt is where in a batch its magic stands, in bytes.
const magicAt = 6

// nextSound moves the scanner on to a batch with which the reader may go on, if there is one.
func (r *Reader) nextSound(sc *scanner) (batch.Header, bool, error) {
	from := sc.position
	for at := from; at < sc.size; {
		sc.position = at
		b, err := sc.peek(batch.HeaderSize)
		if err != nil {
			return batch.Header{}, false, err
		}
		i := bytes.Index(b, []byte{'T', 'R', batch.HeaderSize, batch.Version})
		if i < 0 {
			at += max(int64(len(b)-3), 1)
			continue
		}
		sc.position = at + int64(i) - magicAt
		if sc.position >= from {
			if h, ok := r.soundAt(sc); ok {
				return h, true, nil
			}
		}
		at += int64(i) + 1
	}
	return batch.Header{}, false, nil
}

// soundAt says whether the scanner stands at a batch with which the reader may go on. At the reader's own place that is
// one before which others are missing.
func (r *Reader) soundAt(sc *scanner) (batch.Header, bool) {
	least := r.next.Seq
	if sc.position == r.position {
		least++
	}
	at := newScanner(sc.file, sc.name, sc.position, sc.size)
	at.chunk = indexInterval
	e, err := at.next()
	ok := err == nil && e.footer == nil && e.header.PartitionTag == r.log.tag &&
		e.header.Seq >= least && e.header.Seq < r.end.Seq && !r.skip(&e.header)
	return e.header, ok
}

// IsDamage says whether an error means that stored bytes are not what was written.
func IsDamage(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt)
}

package commitlog

import (
	"bytes"
	"errors"

	"github.com/trestlehq/trestle/proto/batch"
)

// SkipDamage moves a reader that got a *CorruptError on to the next sound batch, and returns where that is: what lies
// between is lost to whoever reads from here. Without one it is the end of the log.
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
// there is none; else the reader stands before it.
func (r *Reader) soundBatch() (Position, error) {
	var found Position
	if _, err := r.limit(); err != nil {
		return found, err
	}
	err := r.log.withSegment(r.segment, func(sc *scanner) error {
		for at := max(r.position+1, segmentHeaderSize); at < sc.size; {
			sc.position = at
			b, err := sc.peek(batch.HeaderSize)
			if err != nil {
				return err
			}
			i := bytes.Index(b, []byte{'T', 'R', batch.HeaderSize, batch.Version})
			if i < 0 {
				at += max(int64(len(b)-3), 1)
				continue
			}
			sc.position = at + int64(i) - magicAt
			if h, ok := r.soundAt(sc); ok {
				r.position, found = sc.position, Position{Seq: h.Seq, Offset: h.BaseOffset}
				return nil
			}
			at += int64(i) + 1
		}
		return nil
	})
	if isNotExist(err) || IsDamage(err) { // the file is gone, or shorter than it was
		err = nil
	}
	return found, err
}

// magicAt is where in a batch its magic stands, in bytes.
const magicAt = 6

func (r *Reader) soundAt(sc *scanner) (batch.Header, bool) {
	if sc.position <= r.position {
		return batch.Header{}, false
	}
	at := newScanner(sc.file, sc.name, sc.position, sc.size)
	at.chunk = indexInterval
	e, err := at.next()
	ok := err == nil && e.footer == nil && e.header.PartitionTag == r.log.tag &&
		e.header.Seq >= r.next.Seq && e.header.Seq < r.end.Seq
	return e.header, ok
}

// IsDamage says whether an error means that stored bytes are not what was written.
func IsDamage(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt)
}

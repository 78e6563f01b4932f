package commitlog

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/proto/batch"
)

// BackReader reads a log from newer to older batches. It holds no file open between calls. It is not safe for concurrent
// use.
type BackReader struct {
	log  *Log
	next Position // the batch before it is the next one
}

// ReadBackFrom returns a reader whose first run ends before p.
func (l *Log) ReadBackFrom(p Position) *BackReader { return &BackReader{log: l, next: p} }

// Read fills buf with the batches that lie before what was read last: a run in the order of the log, whose end is where
// the run before it began. A run without bytes means that the start of the log is reached. Errors are those of Reader.
func (r *BackReader) Read(buf []byte) (Run, error) {
	for {
		s, from, err := r.seek()
		if err != nil || s == nil {
			return Run{First: r.next, End: r.next}, err
		}
		run, err := r.readRun(from, buf)
		if err != nil {
			return Run{}, err
		}
		if len(run.Bytes) > 0 {
			r.next = run.First
			return run, nil
		}
		r.next = s.base // the start of the segment was compacted away
	}
}

// seek finds the segment that holds the batch before next, and a place in it at or before that batch; no segment at the
// start of the log.
func (r *BackReader) seek() (*segment, Position, error) {
	l := r.log
	l.mu.Lock()
	segments, start, err := l.segments, l.firstLocked(), error(nil)
	if l.closed {
		err = ErrClosed
	}
	l.mu.Unlock()
	if err != nil || !start.Before(r.next) {
		return nil, start, err
	}
	i := len(segments) - 1
	for i > 0 && !segments[i].base.Before(r.next) {
		i--
	}
	e, err := l.seekIndex(segments[i], func(e indexEntry) bool { return e.seq < r.next.Seq })
	if err != nil || e.position == 0 {
		return segments[i], segments[i].base, err
	}
	return segments[i], Position{Seq: e.seq, Offset: e.offset}, nil
}

// readRun reads the batches from there up to next. They are at most what lies between two entries of an
// index, and one batch more; a buffer that does not hold them is a *TooLargeError.
func (r *BackReader) readRun(from Position, buf []byte) (Run, error) {
	total := Run{First: from, End: from}
	reader := r.log.ReadFromPosition(from)
	for len(total.Bytes) < len(buf) {
		run, err := reader.Read(buf[len(total.Bytes):], r.next)
		var large *TooLargeError
		if errors.As(err, &large) {
			return total, &TooLargeError{Offset: from.Offset, SizeBytes: max(2*len(buf), len(total.Bytes)+large.SizeBytes)}
		}
		if err != nil {
			return total, err
		}
		if len(run.Bytes) == 0 {
			return total, nil
		}
		if len(total.Bytes) == 0 {
			total.First = run.First
		}
		n := copy(buf[len(total.Bytes):], run.Bytes)
		total.Bytes, total.End, total.Records = buf[:len(total.Bytes)+n], run.End, total.Records+run.Records
	}
	if total.End.Before(r.next) {
		return total, &TooLargeError{Offset: from.Offset, SizeBytes: 2 * len(buf)}
	}
	return total, nil
}

// Record is a record with its place.
type Record struct {
	batch.Record
	Offset int64
	Time   int64 // unix nanoseconds
	Epoch  uint64
}

// records calls visit with each record of a run of batches that are not packed, in order. What visit gets is valid until
// it returns.
func records(run []byte, visit func(*Record) error) error {
	var rec Record
	for len(run) > 0 {
		h, err := batch.ParseHeader(run)
		if err != nil {
			return fmt.Errorf("records: %w", err)
		}
		b := run[:h.Size]
		run = run[h.Size:]
		if h.Control() {
			continue
		}
		list, err := h.RecordsOf(b)
		if err != nil {
			return err
		}
		rec.Time, rec.Epoch = h.Time, h.LeaderEpoch
		for {
			delta, ok, err := list.Next(&rec.Record)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			rec.Offset = h.BaseOffset + int64(delta)
			if err := visit(&rec); err != nil {
				return err
			}
		}
	}
	return nil
}

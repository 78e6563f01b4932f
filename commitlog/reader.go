package commitlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// Reader reads a log forwards, whole batches at a time, as they lie in the files. It holds no file open between calls.
// It is not safe for concurrent use.
type Reader struct {
	log      *Log
	segment  *segment // nil: not located yet
	position int64    // in the segment's file
	from     Position // batches before it are skipped; Seq 0: decided by Offset
	next     Position // of the batch at position; of the first one behind it where compaction removed it
	end      Position // of the segment when limit was called last: no batch of it lies there or behind
}

// Run is what one call of Read returns: batches one behind the other, all of which have passed their CRCs.
type Run struct {
	Bytes   []byte
	First   Position // of the first batch
	End     Position // after the last
	Records int
}

// ReadFrom returns a reader that begins with the batch that holds offset, or, if there is none yet, with what comes
// next; control batches that stand right before that offset are included.
func (l *Log) ReadFrom(offset int64) *Reader {
	return &Reader{log: l, from: Position{Offset: offset}}
}

// ReadFromPosition returns a reader that begins with the batch of that seq.
func (l *Log) ReadFromPosition(p Position) *Reader {
	return &Reader{log: l, from: p}
}

// Read fills buf with batches, from where the reader is up to until, which nothing that it returns reaches beyond; the
// run aliases buf. A run without bytes means that the reader has come to until. A batch that does not fit buf is a
// *TooLargeError, and the reader stays before it; damaged bytes are a *CorruptError; a place that the log does not hold
// any more is a *RangeError.
func (r *Reader) Read(buf []byte, until Position) (Run, error) {
	for {
		if r.segment == nil {
			if err := r.locate(); err != nil || r.segment == nil {
				return Run{First: until, End: until}, err
			}
		}
		if !r.next.Before(until) {
			return Run{First: r.next, End: r.next}, nil
		}
		if !r.from.Before(until) { // what lies before it in the segment need not be sound
			return Run{First: r.from, End: r.from}, nil
		}
		run, err := r.readSegment(buf, until)
		if errors.Is(err, errReplaced) {
			r.segment = nil
			continue
		}
		if len(run.Bytes) > 0 {
			r.from = run.End
		}
		if err != nil || len(run.Bytes) > 0 {
			return run, err
		}
		more, err := r.nextSegment(until)
		if err != nil || !more {
			return Run{First: r.next, End: r.next}, err
		}
	}
}

// skip says whether a batch comes before the place where the reader begins.
func (r *Reader) skip(h *batch.Header) bool {
	if r.from.Seq != 0 {
		return h.Seq < r.from.Seq
	}
	return h.NextOffset() < r.from.Offset || (h.NextOffset() == r.from.Offset && !h.Control())
}

// readSegment reads from the current segment. A run without bytes and without an error means that the segment has
// nothing more below until.
func (r *Reader) readSegment(buf []byte, until Position) (Run, error) {
	file, err := r.log.files.acquire(r.segment.name)
	if err != nil {
		return Run{}, r.gone(err)
	}
	run, err := r.readFile(file, buf, until)
	return run, errors.Join(err, r.log.files.release(file))
}

func (r *Reader) readFile(file io.ReaderAt, buf []byte, until Position) (Run, error) {
	for {
		limit, err := r.limit()
		if err != nil {
			return Run{}, err
		}
		want := min(int64(len(buf)), limit-r.position)
		if want <= 0 {
			return Run{}, nil
		}
		n, err := file.ReadAt(buf[:want], r.position)
		if err != nil && !errors.Is(err, io.EOF) {
			return Run{}, fmt.Errorf("reading %s: %w", r.segment.name, err)
		}
		before := r.position
		run, done, err := r.takeBatches(buf[:n], until, limit)
		if err != nil || done || len(run.Bytes) > 0 {
			return run, err
		}
		if r.position == before && !r.skipLarge(file) { // not one whole batch, and nothing skipped
			return Run{}, r.cutShort(buf[:n], limit, int64(n) == want)
		}
	}
}

// skipLarge passes over a batch that comes before the place where the reader begins, without reading all of it: it need
// not fit the buffer.
func (r *Reader) skipLarge(file io.ReaderAt) bool {
	var b [batch.HeaderSize]byte
	if _, err := file.ReadAt(b[:], r.position); err != nil {
		return false
	}
	h, err := batch.ParseHeader(b[:])
	if err != nil || r.follows(&h) != nil || !r.skip(&h) || int64(h.Size) > r.segmentLeft() {
		return false
	}
	r.position += int64(h.Size)
	r.next = Position{Seq: h.Seq + 1, Offset: h.NextOffset()}
	return true
}

// segmentLeft is how many bytes of batches the current segment has from the reader's place on.
func (r *Reader) segmentLeft() int64 {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	left := r.segment.size - r.position
	if r.segment.sealed {
		left -= segmentFooterSize
	}
	return left
}

// takeBatches takes whole batches off b, which was read from the current position of a segment that ends at limit; done
// means that there is no more to come below until in this segment.
func (r *Reader) takeBatches(b []byte, until Position, limit int64) (run Run, done bool, err error) {
	at, begin := 0, 0
	for at < len(b) {
		if b[at] == footerTag && r.position+int64(at-begin) == limit-segmentFooterSize {
			done = true
			break
		}
		h, err := checkedBatch(b[at:])
		if errors.Is(err, batch.ErrShort) {
			break
		}
		if err == nil {
			err = r.follows(&h)
		}
		if err != nil {
			if at > begin { // what is sound goes out first
				break
			}
			return Run{}, false, &CorruptError{File: r.segment.name, Position: r.position + int64(at-begin), Err: err}
		}
		if h.Seq >= until.Seq {
			if at == begin {
				r.next = until // what lies between was compacted away
			}
			done = true
			break
		}
		at += h.Size
		r.next = Position{Seq: h.Seq + 1, Offset: h.NextOffset()}
		if r.skip(&h) {
			begin, r.position = at, r.position+int64(h.Size)
			continue
		}
		if run.Records == 0 && run.First.Seq == 0 {
			run.First = Position{Seq: h.Seq, Offset: h.BaseOffset}
		}
		run.Records += int(h.RecordCount)
		run.End = r.next
	}
	run.Bytes = b[begin:at]
	r.position += int64(at - begin)
	return run, done, nil
}

// follows says what is wrong with a batch whose CRCs are right but which does not belong where it stands.
func (r *Reader) follows(h *batch.Header) error {
	if h.PartitionTag != r.log.tag {
		return fmt.Errorf("%w: batch of another log", batch.ErrCorrupt)
	}
	if h.Seq < r.next.Seq || h.Seq > r.next.Seq && r.segment.generation == 0 || !(Position{Seq: h.Seq}).Before(r.end) {
		return fmt.Errorf("%w: seq %d where %d is expected", batch.ErrCorrupt, h.Seq, r.next.Seq)
	}
	return nil
}

// limit is how far the current segment may be read. It takes note of its end.
func (r *Reader) limit() (int64, error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.log.closed {
		return 0, ErrClosed
	}
	r.end = r.segment.end
	return r.segment.size, nil
}

// cutShort explains why no batch could be taken off b: it needs a larger buffer, if b is all that the buffer takes, or the
// file ends inside it.
func (r *Reader) cutShort(b []byte, limit int64, filled bool) error {
	size, err := batch.Size(b)
	if filled && errors.Is(err, batch.ErrShort) {
		size, err = batch.HeaderSize, nil // so much must be read to know
	}
	if filled && err == nil && int64(size) <= limit-r.position {
		return &TooLargeError{Offset: r.next.Offset, SizeBytes: size}
	}
	if err == nil {
		err = fmt.Errorf("%w: %d bytes, the segment has %d left", batch.ErrShort, size, limit-r.position)
	}
	return &CorruptError{File: r.segment.name, Position: r.position, Err: err}
}

// errReplaced means that a segment was rewritten and the file that the reader was in is gone.
var errReplaced = errors.New("segment was rewritten")

// gone says why a segment file cannot be opened: because it was removed, or because something is wrong.
func (r *Reader) gone(err error) error {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("opening a segment: %w", err)
	}
	if l.closed {
		return ErrClosed
	}
	if r.next.Before(l.firstLocked()) && (r.from.Seq == 0 || !r.next.Before(r.from)) { // from was not come to yet
		return l.rangeErrorLocked(r.next.Offset)
	}
	if !slices.Contains(l.segments, r.segment) {
		return errReplaced
	}
	return &CorruptError{File: r.segment.name, Err: err}
}

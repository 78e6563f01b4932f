package commitlog

import (
	"errors"
	"fmt"
	"io"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// scanBuffer is how many bytes a scan reads at once.
const scanBuffer = 1 << 20

// errUnwritten means that zeros stand where a batch would: space that was allocated and not written yet.
var errUnwritten = errors.New("nothing written from here on")

// scanner steps through the elements of a segment file. Whatever it hands out has passed its CRCs. It never holds more
// than the largest batch that fits the file.
type scanner struct {
	file     vfs.File
	name     string
	position int64 // in the file, of the element that next will return
	size     int64 // bytes of the file
	chunk    int64 // how many bytes are read at once

	buf   []byte // file contents from start on
	start int64
}

// element is a batch or the footer.
type element struct {
	position int64
	header   batch.Header
	bytes    []byte // whole batch; valid until the next call
	footer   *segmentFooter
}

func newScanner(file vfs.File, name string, from, size int64) *scanner {
	return &scanner{file: file, name: name, position: from, start: from, size: size, chunk: scanBuffer}
}

// jump moves to the element at position, which comes from an index; 0 is the first batch.
func (s *scanner) jump(position int64) {
	s.position = max(position, segmentHeaderSize)
	s.start, s.buf = s.position, s.buf[:0]
}

// headerAt reads the header of the batch at the position.
func headerAt(file vfs.File, position int64) (batch.Header, error) {
	var b [batch.HeaderSize]byte
	if n, err := file.ReadAt(b[:], position); n < len(b) {
		return batch.Header{}, err
	}
	return batch.ParseHeader(b[:])
}

// next returns the element at the current position and moves on. At the end of the file it returns io.EOF; where what
// is there is no whole and sound element, a *CorruptError, and the position stays.
func (s *scanner) next() (element, error) {
	if s.position >= s.size {
		return element{}, io.EOF
	}
	b, err := s.peek(batch.HeaderSize)
	if err != nil {
		return element{}, err
	}
	switch b[0] {
	case 0:
		return element{}, s.corrupt(errUnwritten)
	case footerTag:
		f, err := parseSegmentFooter(b)
		if err != nil {
			return element{}, s.corrupt(err)
		}
		e := element{position: s.position, footer: &f}
		s.position += segmentFooterSize
		return e, nil
	}
	return s.nextBatch(b)
}

func (s *scanner) nextBatch(b []byte) (element, error) {
	size, err := batch.Size(b)
	if err != nil {
		return element{}, s.corrupt(err)
	}
	if int64(size) > s.size-s.position {
		return element{}, s.corrupt(fmt.Errorf("%w: %d bytes, the file has %d left", batch.ErrShort, size, s.size-s.position))
	}
	if b, err = s.peek(size); err != nil {
		return element{}, err
	}
	if mutant("commitlog-header-unchecked") {
		b = correctHeader(b)
	}
	h, err := checkedBatch(b)
	if err != nil {
		return element{}, s.corrupt(err)
	}
	e := element{position: s.position, header: h, bytes: b[:h.Size]}
	s.position += int64(h.Size)
	return e, nil
}

// checkedBatch reads the header of a whole batch that passes its CRCs.
func checkedBatch(b []byte) (batch.Header, error) {
	if mutant("commitlog-body-unchecked") {
		return batch.ParseHeader(b)
	}
	return batch.Parse(b)
}

// peek returns at least n bytes from the current position on, fewer where the file ends.
func (s *scanner) peek(n int) ([]byte, error) {
	have := s.start + int64(len(s.buf)) - s.position
	if have >= int64(n) || s.position+have >= s.size {
		return s.buf[s.position-s.start:], nil
	}
	want := min(max(int64(n), s.chunk), s.size-s.position)
	if int64(cap(s.buf)) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.start = s.buf[:want], s.position
	got, err := s.file.ReadAt(s.buf, s.start)
	s.buf = s.buf[:got]
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", s.name, err)
	}
	if int64(got) < want {
		return nil, s.corrupt(fmt.Errorf("%w: the file ended at byte %d, not %d", batch.ErrShort, s.start+int64(got), s.size))
	}
	return s.buf, nil
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

func (s *scanner) corrupt(err error) error {
	return &CorruptError{File: s.name, Position: s.position, Err: err}
}

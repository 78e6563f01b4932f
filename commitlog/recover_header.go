package commitlog

import (
	"errors"
	"fmt"
	"io"
)

// readHeader reads the segment's header. One that is damaged is written anew, for all that it says is known but when the
// segment was begun. It is false if the file holds nothing: no whole header and no whole batch, and no mark that knows
// better.
func (r *recovery) readHeader(t *tail, durable bool) (bool, error) {
	b := make([]byte, segmentHeaderSize)
	if _, err := t.file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("reading %s: %w", t.segment.name, err)
	}
	h, _, err := parseSegmentHeader(b)
	want := segmentHeader{partition: r.opts.Partition, logID: r.opts.LogID, base: t.segment.base, generation: t.segment.generation}
	if errors.Is(err, ErrNewer) {
		return false, fmt.Errorf("%s: %w", t.segment.name, err)
	}
	if err != nil {
		return r.mendHeader(t, want, durable, err)
	}
	t.created = h.created
	want.created = h.created
	if h != want {
		return false, fmt.Errorf("%s belongs to log %d of partition %x at %v, not here; move it away", t.segment.name, h.logID, h.partition, h.base)
	}
	return true, nil
}

func (r *recovery) mendHeader(t *tail, h segmentHeader, durable bool, why error) (bool, error) {
	size, err := t.file.Size()
	if err != nil {
		return false, err
	}
	e, err := newScanner(t.file, t.segment.name, segmentHeaderSize, size).next()
	sound := err == nil && e.footer == nil && e.header.PartitionTag == r.tag && e.header.Seq == t.segment.base.Seq
	placed := len(r.segments) == 1 && t.segment.base != r.opts.Base // all before is deleted: only the name says where the log is
	if !sound && !durable && !placed {
		return false, nil
	}
	if sound {
		h.created = e.header.Time
	}
	if _, err := t.file.WriteAt(h.encode(), 0); err != nil {
		return false, fmt.Errorf("mending the header of %s: %w", t.segment.name, err)
	}
	t.created = h.created
	if durable {
		r.report.Damaged = append(r.report.Damaged, &CorruptError{File: t.segment.name, Err: fmt.Errorf("mended: %w", why)})
	} else {
		r.report.Mended = append(r.report.Mended, t.segment.name)
	}
	return true, nil
}

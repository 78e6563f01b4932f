package partition

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// backwards is the part of a reader that reads from newer to older records.
type backwards struct {
	log   *commitlog.BackReader
	run   []byte // what was read and not handed out
	ends  []int  // of the batches of run, oldest first
	below int64  // only records below this offset are read
}

// beginBackwards places a reader that reads backwards: over the offsets from r.stop up to, exclusive, r.next.
func (r *Reader) beginBackwards(o *ReadOptions) error {
	p := r.partition
	committed, logStart := p.log.Committed(), p.log.Start()
	upper, err := r.upperEnd(o.Start, logStart, committed)
	if err != nil {
		return err
	}
	r.stop = logStart
	switch o.Stop.Kind {
	case AtNever, AtEnd, AtLatest:
	case AtTime:
		r.stop, err = p.offsetOf(o.Stop, logStart, committed)
	case AtOffset, AtEarliest, AtLast:
		r.stop, err = p.offsetOf(o.Stop, logStart, committed)
		if o.Stop.Kind != AtLast && r.stop < math.MaxInt64 { // exclusive; the last so many are an amount
			r.stop++
		}
	}
	if err != nil {
		return err
	}
	r.next, r.stop = upper, max(r.stop, logStart)
	from, err := r.positionAbove(upper, committed)
	if err != nil {
		return err
	}
	r.back = &backwards{log: p.log.ReadBackFrom(from), below: upper}
	return nil
}

// upperEnd is the offset after the first record that a reader that goes backwards gets.
func (r *Reader) upperEnd(start Place, logStart int64, committed commitlog.Position) (int64, error) {
	p := r.partition
	if start.Kind == AtTime {
		if start.Time == math.MaxInt64 { // all were appended before
			return committed.Offset, nil
		}
		start.Time++ // the newest record that was appended then or before
		return p.offsetOf(start, logStart, committed)
	}
	offset, err := p.offsetOf(start, logStart, committed)
	if err != nil {
		return 0, err
	}
	if err := p.checkRange(offset, logStart); err != nil {
		return 0, err
	}
	return min(offset+1, committed.Offset), nil
}

// positionAbove is a place in the log before which all records below the offset lie, with as little else as can be.
func (r *Reader) positionAbove(offset int64, committed commitlog.Position) (commitlog.Position, error) {
	if offset >= committed.Offset {
		return committed, nil
	}
	r.log = r.partition.log.ReadFrom(offset)
	hard := r.hard
	r.hard = false
	run, err := r.read(committed)
	r.hard, r.size = hard, 0
	if err != nil {
		return committed, r.damaged(err)
	}
	if len(run.Bytes) == 0 {
		return committed, nil
	}
	h, err := batch.ParseHeader(run.Bytes)
	if err != nil {
		return committed, fmt.Errorf("finding offset %d: %w", offset, err)
	}
	return commitlog.Position{Seq: h.Seq + 1, Offset: h.NextOffset()}, nil
}

func (r *Reader) nextBackwards() (Chunk, error) {
	back := r.back
	for {
		if len(back.ends) == 0 {
			if r.next <= r.stop {
				return Chunk{}, io.EOF
			}
			if err := r.readBack(); err != nil {
				return Chunk{}, err
			}
			if len(back.ends) == 0 {
				r.next = r.stop
				return Chunk{}, io.EOF
			}
		}
		batches, err := r.handOut()
		if err != nil {
			return Chunk{}, err
		}
		if len(batches) > 0 {
			log := r.partition.log
			return Chunk{Batches: batches, HighWatermark: log.Committed().Offset, LogStart: log.Start()}, nil
		}
	}
}

// readBack reads the run of batches before what was read last.
func (r *Reader) readBack() error {
	back := r.back
	r.size = max(r.size, firstChunk)
	run, err := back.log.Read(make([]byte, r.size))
	var large *commitlog.TooLargeError
	for errors.As(err, &large) && large.SizeBytes > r.size {
		r.size = large.SizeBytes
		run, err = back.log.Read(make([]byte, r.size))
	}
	if commitlog.IsDamage(err) {
		return &DamagedError{Offset: r.partition.log.Start(), NextGood: r.next, Err: err}
	}
	if err != nil {
		return err
	}
	back.run = run.Bytes
	for at := 0; at < len(run.Bytes); {
		size, err := batch.Size(run.Bytes[at:])
		if err != nil {
			return fmt.Errorf("reading backwards: %w", err)
		}
		at += size
		back.ends = append(back.ends, at)
	}
	return nil
}

// handOut takes batches off the end of what was read, newest first, up to the size of a chunk.
func (r *Reader) handOut() ([]byte, error) {
	back := r.back
	var all []byte
	for len(back.ends) > 0 {
		begin := 0
		if n := len(back.ends); n > 1 {
			begin = back.ends[n-2]
		}
		b := back.run[begin:back.ends[len(back.ends)-1]]
		h, err := batch.ParseHeader(b)
		if err != nil {
			return nil, fmt.Errorf("reading backwards: %w", err)
		}
		if len(all) > 0 && len(all)+len(b) > r.limit {
			return all, nil
		}
		if r.hard && len(b) > r.limit && !h.Control() {
			return nil, &commitlog.TooLargeError{Offset: h.BaseOffset, SizeBytes: len(b)}
		}
		back.ends = back.ends[:len(back.ends)-1]
		switch {
		case h.Control(), h.BaseOffset >= back.below:
			continue
		case h.NextOffset() <= r.stop:
			r.next, back.ends = r.stop, nil
			return all, nil
		case r.deliverable(&h, r.stop, back.below):
			all = append(all, b...)
		default:
			if all, err = r.deliver(all, &h, b, r.stop, back.below); err != nil {
				return nil, err
			}
		}
		r.next = max(h.BaseOffset, r.stop)
	}
	return all, nil
}

package partition

import (
	"math"

	"github.com/trestlehq/trestle/commitlog"
)

// Place names an offset of a partition that may not be known as a number.
type Place struct {
	Kind   PlaceKind
	Offset int64  // with AtOffset
	Last   uint64 // with AtLast
	Time   int64  // with AtTime, unix nanoseconds
}

// PlaceKind says how a Place is named.
type PlaceKind uint8

// Kinds of Place.
const (
	AtEnd      PlaceKind = iota // the high watermark
	AtEarliest                  // the log start
	AtLatest                    // to start from: the newest committed record; to stop at: the high watermark
	AtOffset
	AtLast  // so many records before the high watermark
	AtNever // to stop: not at all
	AtTime  // the first record that was appended then or later
)

// offsetOf is the offset of the place, as of the ends given. That of a record to start from can be the newest one; for a
// time to come it is the end.
func (p *Partition) offsetOf(place Place, logStart int64, committed commitlog.Position) (int64, error) {
	switch place.Kind {
	case AtEarliest:
		return logStart, nil
	case AtLatest:
		return max(committed.Offset-1, logStart), nil
	case AtOffset:
		return place.Offset, nil
	case AtLast:
		return max(committed.Offset-int64(min(place.Last, uint64(committed.Offset))), logStart), nil
	case AtTime:
		offset, err := p.log.OffsetAt(place.Time)
		return max(min(offset, committed.Offset), logStart), err
	case AtEnd, AtNever:
	}
	return committed.Offset, nil
}

// ReadOptions say what to read. Places are as of the call, but for times to come.
type ReadOptions struct {
	Start Place
	// Stop is exclusive. The zero Place, AtEnd, stops at the high watermark; AtNever does not stop.
	Stop Place
	// MaxBytes is the size of a chunk at most; 0: DefaultChunk unless a single batch is larger.
	MaxBytes int
	// Backwards reads from newer to older records: from the one at Start, or before it if Start is the end, down to the one
	// above Stop, or to the log start with AtNever, AtEnd and AtLatest. With times it reads from the newest record appended
	// then or earlier, down to the oldest appended then or later. Batches come newest first, as they are stored: the
	// records within one are not turned around. Gaps and other control batches are left out. At the stop it ends; it never waits.
	Backwards bool
	// LeaderEpoch is that of the last record that the reader has seen, before the offset to start from: if that is not in the log
	// the error is a *TruncatedError; 0: not looked at. It counts with a Start of AtOffset.
	LeaderEpoch uint64
	// Plain unpacks batches that are packed; they are decrypted in any case.
	Plain bool
	// Buffers are what chunks are read into, if a chunk is used no longer than until the next one is asked for, or else its memory
	// is given away (Reader.Give); nil: each has memory of its own, and so it has Backwards.
	Buffers *Buffers
}

// Read returns a reader. An offset below the log start or above the next offset is a *commitlog.RangeError.
func (p *Partition) Read(o ReadOptions) (*Reader, error) {
	r := &Reader{partition: p, limit: o.MaxBytes, hard: o.MaxBytes > 0, plain: o.Plain, buffers: o.Buffers, stop: math.MaxInt64, startTime: math.MinInt64, stopTime: math.MaxInt64}
	if o.MaxBytes == 0 {
		r.limit = DefaultChunk
	}
	if o.LeaderEpoch != 0 && o.Start.Kind == AtOffset {
		if err := p.checkHistory(o.Start.Offset, o.LeaderEpoch); err != nil {
			return nil, err
		}
	}
	if o.Backwards {
		r.buffers = nil
		return r, r.beginBackwards(&o)
	}
	return r, r.begin(&o)
}

// begin places a reader that reads forwards.
func (r *Reader) begin(o *ReadOptions) error {
	p := r.partition
	end, logStart := p.log.Committed(), p.log.Start()
	var err error
	if r.next, err = p.offsetOf(o.Start, logStart, end); err != nil {
		return err
	}
	if o.Start.Kind == AtTime {
		r.startTime = o.Start.Time
	}
	switch o.Stop.Kind {
	case AtNever:
	case AtEnd, AtLatest: // with the gaps after the last record
		r.stopAt = end
	case AtTime:
		r.stopTime = o.Stop.Time
	case AtOffset, AtEarliest, AtLast:
		if r.stop, err = p.offsetOf(o.Stop, logStart, end); err != nil {
			return err
		}
	}
	if err := p.checkRange(r.next, logStart); err != nil {
		return err
	}
	r.log = p.log.ReadFrom(r.next)
	return nil
}

func (p *Partition) checkRange(offset, logStart int64) error {
	if next := p.log.End().Offset; offset < logStart || offset > next {
		return &commitlog.RangeError{Offset: offset, LogStart: logStart, NextOffset: next}
	}
	return nil
}

package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// Place names an offset of a partition that may not be known as a number.
type Place struct {
	Kind   PlaceKind
	Offset int64  // with AtOffset
	Last   uint64 // with AtLast
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
)

// Chunk is a run of whole batches for a reader, as stored, but that the first and last may be cut. The bytes belong to
// whoever holds the chunk: gRPC is still sending one while the next is read.
type Chunk struct {
	Batches       []byte
	HighWatermark int64
	LogStart      int64
}

// Reader reads the committed records of a partition from one offset to another. It is not safe for concurrent use.
type Reader struct {
	partition *Partition
	log       *commitlog.Reader
	next      int64              // offset below which everything was read
	stop      int64              // exclusive
	stopAt    commitlog.Position // stop here as well; Seq 0: nowhere
	ended     bool
	size      int  // bytes of the next buffer
	limit     int  // bytes of a chunk
	hard      bool // limit holds for a single batch, too
}

// Sizes of a Reader's buffers: they grow where there is much to read and shrink where there is little.
const (
	smallestChunk = 4 << 10
	firstChunk    = 64 << 10
	DefaultChunk  = 1 << 20
)

// NewReader returns a reader of the records from start to stop, both as of now. A chunk has at most maxBytes, 0 meaning
// DefaultChunk unless a single batch is larger.
func (p *Partition) NewReader(start, stop Place, maxBytes int) (*Reader, error) {
	r := &Reader{partition: p, limit: maxBytes, hard: maxBytes > 0}
	if maxBytes == 0 {
		r.limit = DefaultChunk
	}
	end := p.log.Committed()
	committed, logStart := end.Offset, p.log.Start()
	switch start.Kind {
	case AtEarliest:
		r.next = logStart
	case AtLatest:
		r.next = max(committed-1, logStart)
	case AtOffset:
		r.next = start.Offset
	case AtLast:
		r.next = max(committed-int64(min(start.Last, uint64(committed))), logStart)
	case AtEnd, AtNever:
		r.next = committed
	}
	switch stop.Kind {
	case AtNever:
		r.stop = math.MaxInt64
	case AtOffset:
		r.stop = stop.Offset
	case AtEarliest:
		r.stop = logStart
	case AtLast:
		r.stop = max(committed-int64(min(stop.Last, uint64(committed))), logStart)
	case AtEnd, AtLatest: // with the gaps after the last record
		r.stop, r.stopAt = math.MaxInt64, end
	}
	if next := p.log.End().Offset; r.next < logStart || r.next > next {
		return nil, &commitlog.RangeError{Offset: r.next, LogStart: logStart, NextOffset: next}
	}
	r.log = p.log.ReadFrom(r.next)
	return r, nil
}

// Next returns the next chunk, waiting for one if there is none yet. At the stop position it returns io.EOF. A batch
// that is larger than the limit is a *commitlog.TooLargeError.
func (r *Reader) Next(ctx context.Context) (Chunk, error) {
	for {
		if r.ended || r.next >= r.stop {
			return Chunk{}, io.EOF
		}
		committed := r.partition.log.Committed()
		until := committed
		if r.stopAt.Seq != 0 && r.stopAt.Before(until) {
			until = r.stopAt
		}
		run, err := r.read(until)
		if err != nil {
			return Chunk{}, r.damaged(err)
		}
		if len(run.Bytes) == 0 {
			if until == r.stopAt {
				return Chunk{}, io.EOF
			}
			if _, err := r.partition.log.WaitCommitted(ctx, committed); err != nil {
				return Chunk{}, err
			}
			continue
		}
		batches, err := r.trim(run)
		if err != nil {
			return Chunk{}, err
		}
		if r.next = max(r.next, run.End.Offset); len(batches) > 0 {
			return Chunk{Batches: batches, HighWatermark: committed.Offset, LogStart: r.partition.log.Start()}, nil
		}
	}
}

// damaged tells of damage by offsets, and leaves word of it with the partition. Other errors stay as they are.
func (r *Reader) damaged(err error) error {
	if !commitlog.IsDamage(err) {
		return err
	}
	next, skipErr := r.log.SkipDamage()
	if skipErr != nil {
		return errors.Join(err, skipErr)
	}
	err = &DamagedError{Offset: r.next, NextGood: next.Offset, Err: err}
	r.partition.mu.Lock()
	defer r.partition.mu.Unlock()
	r.partition.damage = err
	return err
}

// read reads a run of batches into a new buffer that fits them.
func (r *Reader) read(until commitlog.Position) (commitlog.Run, error) {
	if r.size == 0 {
		r.size = min(firstChunk, r.limit)
	}
	run, err := r.log.Read(make([]byte, r.size), until)
	var large *commitlog.TooLargeError
	for errors.As(err, &large) && large.SizeBytes > r.size && (large.SizeBytes <= r.limit || !r.hard) {
		r.size = large.SizeBytes
		run, err = r.log.Read(make([]byte, r.size), until)
	}
	switch n := len(run.Bytes); {
	case n > r.size/2 || r.size > r.limit:
		r.size = min(4*r.size, r.limit)
	case n < r.size/8:
		r.size = max(r.size/2, min(smallestChunk, r.limit))
	}
	return run, err
}

// trim cuts the first and last batch of a run so that no record outside the reader's range is left.
func (r *Reader) trim(run commitlog.Run) ([]byte, error) {
	if run.First.Offset >= r.next && run.End.Offset <= r.stop {
		return run.Bytes, nil
	}
	var cut []byte
	for at := 0; at < len(run.Bytes); {
		b := run.Bytes[at:]
		h, err := batch.ParseHeader(b)
		if err != nil {
			return nil, fmt.Errorf("cutting a batch: %w", err)
		}
		at += h.Size
		switch {
		case h.BaseOffset >= r.stop:
			r.ended = true
			return cut, nil
		case h.Control(), h.BaseOffset >= r.next && h.NextOffset() <= r.stop:
			cut = append(cut, b[:h.Size]...)
		default:
			if cut, err = batch.Cut(cut, &h, b, r.next, r.stop); err != nil {
				return nil, fmt.Errorf("cutting a batch: %w", err)
			}
		}
	}
	return cut, nil
}

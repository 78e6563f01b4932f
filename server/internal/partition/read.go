package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// Chunk is a run of whole batches for a reader, as stored, but that the first and last may be cut. The bytes belong to
// whoever holds the chunk, unless the reader has Buffers: then until the next chunk is asked for, or see Reader.Give.
type Chunk struct {
	Batches       []byte
	HighWatermark int64
	LogStart      int64
}

// Reader reads the committed records of a partition from one place to another. It is not safe for concurrent use.
type Reader struct {
	partition *Partition
	log       *commitlog.Reader
	back      *backwards         // nil: it reads forwards
	next      int64              // offset below which everything was read
	stop      int64              // exclusive
	stopAt    commitlog.Position // stop here as well; Seq 0: nowhere
	startTime int64              // what was appended before is left out, unix nanoseconds
	stopTime  int64              // what was appended then or later is left out
	ended     bool
	plain     bool // packed batches are unpacked
	size      int  // bytes of the next buffer
	limit     int  // bytes of a chunk
	hard      bool // limit holds for a single batch, too
	buffers   *Buffers
	buf       *[]byte // of the last chunk, from buffers; nil: none
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
	return p.Read(ReadOptions{Start: start, Stop: stop, MaxBytes: maxBytes})
}

// NextOffset is the offset from which on nothing was read yet; backwards, that down to which everything was.
func (r *Reader) NextOffset() int64 { return r.next }

// Give gives away the memory in which the last chunk lies, so that it can be used while the next is read: whoever has it gives
// it back to the Buffers that the reader reads into. nil: the chunk has memory of its own.
func (r *Reader) Give() *[]byte {
	given := r.buf
	r.buf = nil
	return given
}

// Release gives back what the reader holds of its Buffers. The last chunk, unless its memory was given away, is not used any more.
func (r *Reader) Release() { r.buffers.giveBack(&r.buf) }

// Next returns the next chunk, waiting for one if there is none yet. At the stop position it returns io.EOF, and so it does
// at the end of a partition that is read-only. A batch that is larger than the limit is a *commitlog.TooLargeError.
func (r *Reader) Next(ctx context.Context) (Chunk, error) {
	if r.back != nil {
		return r.nextBackwards()
	}
	for {
		if r.ended || r.next >= r.stop {
			return Chunk{}, io.EOF
		}
		growing := r.partition.whileGrowing()
		last := growing.Err() != nil || r.partition.passed(r.stopTime) // what is committed by now is all
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
			if until == r.stopAt || last {
				return Chunk{}, io.EOF
			}
			r.Release()
			if err := r.wait(ctx, growing, committed); err != nil {
				return Chunk{}, err
			}
			continue
		}
		batches, asStored, err := r.trim(run)
		if err != nil {
			return Chunk{}, err
		}
		if !asStored {
			r.Release() // the batches are a copy
		}
		if r.next = max(r.next, run.End.Offset); len(batches) > 0 {
			r.partition.meter.Read(len(batches))
			return Chunk{Batches: batches, HighWatermark: committed.Offset, LogStart: r.partition.log.Start()}, nil
		}
	}
}

// whileGrowing ends when nothing more can come.
func (p *Partition) whileGrowing() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.growing.Context
}

// errLook means that a reader is to look again whether it is done.
var errLook = errors.New("look again")

// lookAgain is how often a reader whose stop time has come looks whether what was under way then is committed.
const lookAgain = 10 * time.Millisecond

// wait waits for more to be committed, or for a reason to look whether there will be.
func (r *Reader) wait(ctx, growing context.Context, committed commitlog.Position) error {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(growing, func() { cancel(errLook) })()
	if r.stopTime != math.MaxInt64 {
		left := max(time.Duration(r.stopTime-r.partition.config.Now().UnixNano()), lookAgain)
		timer := time.AfterFunc(left, func() { cancel(errLook) })
		defer timer.Stop()
	}
	_, err := r.partition.log.WaitCommitted(waiting, committed)
	if errors.Is(err, errLook) {
		return nil
	}
	return err
}

// passed says whether nothing can be committed any more that was appended before the time.
func (p *Partition) passed(stopTime int64) bool {
	if p.config.Now().UnixNano() < stopTime {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.writing && p.log.Committed() == p.log.End()
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
	run, err := r.log.Read(r.buffers.take(&r.buf, r.size), until)
	var large *commitlog.TooLargeError
	for errors.As(err, &large) && large.SizeBytes > r.size && (large.SizeBytes <= r.limit || !r.hard) {
		r.size = large.SizeBytes
		run, err = r.log.Read(r.buffers.take(&r.buf, r.size), until)
	}
	switch n := len(run.Bytes); {
	case n > r.size/2 || r.size > r.limit:
		r.size = min(4*r.size, r.limit)
	case n < r.size/8:
		r.size = max(r.size/2, min(smallestChunk, r.limit))
	}
	return run, err
}

// trim cuts the first and last batch of a run so that no record outside the reader's range is left, and makes readable what
// the reader cannot read. What it returns is the run, asStored, or shares no memory with it.
func (r *Reader) trim(run commitlog.Run) (all []byte, asStored bool, err error) {
	asStored = true // all is not needed: the run is as it is to be
	for at := 0; at < len(run.Bytes); {
		b := run.Bytes[at:]
		h, err := batch.ParseHeader(b)
		if err != nil {
			return nil, false, fmt.Errorf("cutting a batch: %w", err)
		}
		over := h.BaseOffset >= r.stop && (r.stop != math.MaxInt64) || h.Time >= r.stopTime
		whole := !over && h.Time >= r.startTime && r.deliverable(&h, r.next, r.stop)
		if asStored && !whole {
			all, asStored = append(all, run.Bytes[:at]...), false
		}
		at += h.Size
		switch {
		case over:
			r.ended = true
			return all, false, nil
		case h.Time < r.startTime:
		case whole && !asStored:
			all = append(all, b[:h.Size]...)
		case !whole:
			if all, err = r.deliver(all, &h, b, r.next, r.stop); err != nil {
				return nil, false, err
			}
		}
	}
	if asStored {
		return run.Bytes, true, nil
	}
	return all, false, nil
}

// deliverable says whether a batch goes out as it is stored.
func (r *Reader) deliverable(h *batch.Header, from, to int64) bool {
	if h.Control() {
		return true
	}
	packed := h.Body == batch.BodyPacked && r.plain
	return h.BaseOffset >= from && h.NextOffset() <= to && h.Attributes&batch.Encrypted == 0 && !packed
}

// deliver appends what a reader gets of a batch that does not go out as it is stored: its records from one offset to
// another, exclusive.
func (r *Reader) deliver(dst []byte, h *batch.Header, b []byte, from, to int64) ([]byte, error) {
	cut := h.BaseOffset < from || h.NextOffset() > to
	b = b[:h.Size]
	var err error
	if h.Attributes&batch.Encrypted != 0 {
		b, err = r.partition.log.Decrypt(nil, h, b)
	} else if cut || r.plain {
		b, err = commitlog.Unpack(nil, h, b, r.partition.config.Codec)
	}
	if err != nil {
		return nil, fmt.Errorf("making a batch readable: %w", err)
	}
	if !cut {
		return append(dst, b...), nil
	}
	plain, err := batch.ParseHeader(b)
	if err == nil {
		dst, err = batch.Cut(dst, &plain, b, from, to)
	}
	if err != nil {
		return nil, fmt.Errorf("cutting a batch: %w", err)
	}
	return dst, nil
}

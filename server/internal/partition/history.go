package partition

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// TruncatedError says that the record that a reader saw last is not in the log any more: what it has read from Divergence on
// was lost, and other records stand there or will.
type TruncatedError struct {
	Offset      int64 // from which it wants to go on
	LeaderEpoch uint64
	Divergence  int64 // the records before it may be those that it saw: go on from here, or from where its epochs agree
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("the record of leader epoch %d before offset %d is not in the log any more; it differs from offset %d on, or earlier",
		e.LeaderEpoch, e.Offset, e.Divergence)
}

// checkHistory sees whether the record before the offset is one of that leader epoch: then it is the one that the reader
// saw, and so are those before it (log matching). Where that record is gone, the end of the epoch says whether it may
// have been there.
func (p *Partition) checkHistory(offset int64, epoch uint64) error {
	end, err := p.log.EpochEnd(epoch)
	if err != nil {
		return err
	}
	if end.Offset < offset {
		return &TruncatedError{Offset: offset, LeaderEpoch: epoch, Divergence: end.Offset}
	}
	if offset <= p.log.Start() {
		return nil
	}
	r := &Reader{partition: p, limit: DefaultChunk, log: p.log.ReadFrom(offset - 1)}
	for {
		run, err := r.read(p.log.End())
		if err != nil || len(run.Bytes) == 0 {
			return err
		}
		for b := run.Bytes; len(b) > 0; {
			h, err := batch.ParseHeader(b)
			if err != nil {
				return fmt.Errorf("looking for offset %d: %w", offset-1, err)
			}
			switch {
			case h.Control():
			case h.BaseOffset >= offset, h.LeaderEpoch == epoch: // compacted away, or it
				return nil
			default:
				return &TruncatedError{Offset: offset, LeaderEpoch: epoch, Divergence: min(end.Offset, offset-1)}
			}
			b = b[h.Size:]
		}
	}
}

// ErrCompacted means that a record was removed because a newer one has its key.
var ErrCompacted = errors.New("the record was compacted away")

// Fetch returns the batch with the one committed record at the offset. One below the log start, or not committed yet, is a
// *commitlog.RangeError; one that was compacted away is ErrCompacted.
func (p *Partition) Fetch(ctx context.Context, offset int64) (Chunk, error) {
	if committed := p.log.Committed().Offset; offset >= committed {
		return Chunk{}, &commitlog.RangeError{Offset: offset, LogStart: p.log.Start(), NextOffset: committed}
	}
	r, err := p.Read(ReadOptions{
		Start: Place{Kind: AtOffset, Offset: offset}, Stop: Place{Kind: AtOffset, Offset: offset + 1}, Plain: true,
	})
	if err != nil {
		return Chunk{}, err
	}
	r.stopAt = p.log.Committed() // behind it nothing is waited for
	for {
		chunk, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return Chunk{}, fmt.Errorf("offset %d: %w", offset, ErrCompacted)
		}
		if err != nil {
			return Chunk{}, err
		}
		for b := chunk.Batches; len(b) > 0; {
			h, err := batch.ParseHeader(b)
			if err != nil {
				return Chunk{}, fmt.Errorf("fetching offset %d: %w", offset, err)
			}
			if !h.Control() && h.RecordCount > 0 {
				chunk.Batches = b[:h.Size]
				return chunk, nil
			}
			b = b[h.Size:]
		}
	}
}

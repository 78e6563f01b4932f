package commitlog

import (
	"fmt"

	"github.com/trestlehq/trestle/proto/batch"
)

// BatchName tells a batch from any other that may stand, or have stood, at the same place in a log or in another
// replica's. The zero value names none.
type BatchName struct {
	Seq   uint64
	Epoch uint64
	CRC   uint32 // of the header, which covers the body's and names the batch before
}

// EpochStart says where the batches of a leader epoch begin.
type EpochStart struct {
	Epoch uint64
	Start Position
}

// Last names the last batch of the log, also of one whose older batches were deleted; the zero name if there never was
// one, or if the log was cut at its oldest batch, so that nobody knows any more of which leader epoch the one before was.
func (l *Log) Last() BatchName {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.last.epoch == 0 {
		return BatchName{}
	}
	return BatchName{Seq: l.End().Seq - 1, Epoch: l.last.epoch, CRC: l.last.crc}
}

// First is where the oldest batch begins that is kept, below or at the log start; the end of the log if there is none.
func (l *Log) First() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstLocked()
}

// Compacted is the seq up to which, exclusive, seqs may be missing.
func (l *Log) Compacted() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	compacted := l.compacted
	for _, s := range l.segments {
		if s.generation > 0 { // the mark that says so may have been lost in a crash
			compacted = max(compacted, s.end.Seq)
		}
	}
	return compacted
}

// NameOf names the batch with that seq. It is false if there is none: the seq is not reached yet, deleted or compacted
// away.
func (l *Log) NameOf(seq uint64) (BatchName, bool, error) {
	h, err := l.headerFrom(seq)
	if err != nil || h == nil || h.Seq != seq {
		return BatchName{}, false, err
	}
	return BatchName{Seq: h.Seq, Epoch: h.LeaderEpoch, CRC: h.HeaderCRC}, true, nil
}

// headerFrom reads the header of the first batch with that seq or a higher one; nil if there is none.
func (l *Log) headerFrom(seq uint64) (*batch.Header, error) {
	f, err := l.search(func(h *batch.Header) bool { return h.Seq >= seq })
	if err != nil || f.segment == nil {
		return nil, err
	}
	file, err := l.files.acquire(f.segment.name)
	if err != nil {
		return nil, fmt.Errorf("reading the batch with seq %d: %w", seq, err)
	}
	h, err := headerAt(file, f.position)
	if released := l.files.release(file); err == nil {
		err = released
	}
	if err != nil {
		return nil, fmt.Errorf("reading the batch with seq %d: %w", seq, err)
	}
	return &h, nil
}

// Epochs is the history of leader epochs that the log holds, oldest first. It is read out of the batches, a logarithmic
// number of headers for each epoch; the log keeps none besides.
func (l *Log) Epochs() ([]EpochStart, error) {
	var epochs []EpochStart
	at := l.First()
	for {
		h, err := l.headerFrom(at.Seq)
		if err != nil || h == nil {
			return epochs, err
		}
		epochs = append(epochs, EpochStart{Epoch: h.LeaderEpoch, Start: Position{Seq: h.Seq, Offset: h.BaseOffset}})
		if at, err = l.EpochEnd(h.LeaderEpoch); err != nil {
			return epochs, err
		}
	}
}

package replication_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/replication"
)

// toyLog is a log without bytes: its batches are their headers, and the CRC of one stands for all that led to it.
type toyLog struct {
	batches   []replication.BatchHeader
	first     commitlog.Position
	end       commitlog.Position
	durable   commitlog.Position
	committed commitlog.Position
	last      replication.Name
	compacted uint64
}

func newToyLog() *toyLog {
	return &toyLog{first: commitlog.Origin, end: commitlog.Origin, durable: commitlog.Origin, committed: commitlog.Origin}
}

// append stamps a batch of one record, or of none: a control batch. Logs with the same epochs, kinds and flavours of
// batches are the same.
func (l *toyLog) append(epoch uint64, control bool, flavour string) {
	h := replication.BatchHeader{
		Seq: l.end.Seq, Epoch: epoch, Offset: l.end.Offset, NextOffset: l.end.Offset + 1, Time: int64(l.end.Seq), PreviousCRC: l.last.CRC,
	}
	if control {
		h.NextOffset = h.Offset
	}
	b := binary.LittleEndian.AppendUint64(nil, h.Seq)
	b = binary.LittleEndian.AppendUint64(b, epoch)
	b = binary.LittleEndian.AppendUint32(b, h.PreviousCRC)
	h.CRC = crc32.ChecksumIEEE(append(b, fmt.Sprint(control, flavour)...)) | 1
	l.take(h)
}

// take appends a batch as it is.
func (l *toyLog) take(h replication.BatchHeader) {
	l.batches = append(l.batches, h)
	l.end = commitlog.Position{Seq: h.Seq + 1, Offset: h.NextOffset}
	l.last = replication.Name{Seq: h.Seq, Epoch: h.Epoch, CRC: h.CRC}
}

// sync makes durable what lies below seq.
func (l *toyLog) sync(seq uint64) {
	p := l.end
	for _, h := range l.batches {
		if h.Seq >= seq {
			p = commitlog.Position{Seq: h.Seq, Offset: h.Offset}
			break
		}
	}
	if l.durable.Before(p) {
		l.durable = p
	}
}

// truncate removes what has that seq or a higher one.
func (l *toyLog) truncate(seq uint64) {
	i := slices.IndexFunc(l.batches, func(h replication.BatchHeader) bool { return h.Seq >= seq })
	if i < 0 {
		return
	}
	l.end, l.last = l.first, replication.Name{}
	if i > 0 {
		h := l.batches[i-1]
		l.end = commitlog.Position{Seq: h.Seq + 1, Offset: h.NextOffset}
		l.last = replication.Name{Seq: h.Seq, Epoch: h.Epoch, CRC: h.CRC}
	}
	if h := l.batches[i]; h.Seq == seq { // else it ends where a hole begins
		l.end = commitlog.Position{Seq: seq, Offset: h.Offset}
	}
	l.batches = slices.Clone(l.batches[:i])
	l.settleAt(l.end)
}

func (l *toyLog) settleAt(end commitlog.Position) {
	l.durable = end
	l.compacted = min(l.compacted, end.Seq)
	if end.Before(l.committed) {
		l.committed = end
	}
}

// crash loses all that lies at or above seq, which is at least the durable end.
func (l *toyLog) crash(seq uint64) {
	durable := l.durable
	l.truncate(max(seq, durable.Seq))
	l.durable = l.end
}

// reset empties the log, which then begins there.
func (l *toyLog) reset(begin commitlog.Position) {
	*l = toyLog{first: begin, end: begin, durable: begin, committed: begin}
}

// expire deletes what lies below seq.
func (l *toyLog) expire(seq uint64) {
	l.batches = slices.DeleteFunc(slices.Clone(l.batches), func(h replication.BatchHeader) bool { return h.Seq < seq })
	l.first = l.end
	if len(l.batches) > 0 {
		l.first = commitlog.Position{Seq: l.batches[0].Seq, Offset: l.batches[0].Offset}
	}
}

// compact keeps, below seq, control batches and those named; what is kept may be rewritten.
func (l *toyLog) compact(seq uint64, kept ...uint64) {
	l.batches = slices.DeleteFunc(slices.Clone(l.batches), func(h replication.BatchHeader) bool {
		return h.Seq < seq && h.Offset != h.NextOffset && !slices.Contains(kept, h.Seq)
	})
	for i := range l.batches {
		if h := &l.batches[i]; h.Seq < seq && h.Offset != h.NextOffset {
			h.CRC ^= 0x5a5a0000
		}
	}
	l.compacted = max(l.compacted, seq)
}

func (l *toyLog) history() replication.History {
	h := replication.History{First: l.first, End: l.end}
	for _, b := range l.batches {
		if n := len(h.Epochs); n == 0 || h.Epochs[n-1].Epoch < b.Epoch {
			h.Epochs = append(h.Epochs, replication.EpochStart{
				Epoch: b.Epoch, Start: commitlog.Position{Seq: b.Seq, Offset: b.Offset},
			})
		}
	}
	return h
}

func (l *toyLog) held(seq uint64) (replication.Name, bool) {
	for _, h := range l.batches {
		if h.Seq == seq {
			return replication.Name{Seq: h.Seq, Epoch: h.Epoch, CRC: h.CRC}, true
		}
	}
	return replication.Name{}, false
}

// from returns at most n batches from seq on.
func (l *toyLog) from(seq uint64, n int) []replication.BatchHeader {
	i := slices.IndexFunc(l.batches, func(h replication.BatchHeader) bool { return h.Seq >= seq })
	if i < 0 {
		return nil
	}
	return slices.Clone(l.batches[i:min(i+n, len(l.batches))])
}

// String lists the epochs with the number of their batches, as a scenario writes them.
func (l *toyLog) String() string {
	text := ""
	for i := 0; i < len(l.batches); {
		n := i
		for n < len(l.batches) && l.batches[n].Epoch == l.batches[i].Epoch {
			n++
		}
		text += fmt.Sprintf(" %d*%d", l.batches[i].Epoch, n-i)
		i = n
	}
	return fmt.Sprintf("%d..%d%s", l.first.Seq, l.end.Seq, text)
}

package client_test

import (
	"sync"
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// fakeLog is a partition of the fake server: batches in memory, numbered and stamped as a leader does.
type fakeLog struct {
	mu       sync.Mutex
	batches  []storedBatch
	seq      uint64
	next     int64
	logStart int64
	epoch    uint64
	grown    chan struct{} // closed when a batch is appended
	numbered map[uint64]fakeProducer
}

// storedBatch is a batch with its header.
type storedBatch struct {
	batch.Header
	bytes []byte
}

func newFakeLog() *fakeLog { return &fakeLog{epoch: 1, grown: make(chan struct{})} }

// timeOf is the append time of the batch with that number.
func timeOf(seq uint64) int64 { return 1_700_000_000_000_000_000 + int64(seq)*1_000_000 }

// append stamps and stores a batch.
func (l *fakeLog) append(t testing.TB, b []byte) batch.Header {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	h, err := l.store(b)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (l *fakeLog) store(b []byte) (batch.Header, error) {
	l.seq++
	stamp := batch.Stamp{Seq: l.seq, BaseOffset: l.next, LeaderEpoch: l.epoch, Time: timeOf(l.seq)}
	stamp.Put(b)
	h, err := batch.ParseHeader(b) // a body that is not right is stored like any other
	if err != nil {
		return h, err
	}
	l.next = h.NextOffset()
	l.batches = append(l.batches, storedBatch{h, b})
	close(l.grown)
	l.grown = make(chan struct{})
	return h, nil
}

// appendRecords stores records as one batch.
func (l *fakeLog) appendRecords(t testing.TB, records ...batch.Record) batch.Header {
	t.Helper()
	var b batch.Builder
	b.Reset(nil)
	for i := range records {
		b.Append(&records[i])
	}
	return l.append(t, b.Finish(0))
}

// appendValues stores messages that have a value only as one batch.
func (l *fakeLog) appendValues(t testing.TB, values ...string) batch.Header {
	t.Helper()
	records := make([]batch.Record, 0, len(values))
	for _, v := range values {
		records = append(records, batch.Record{Value: []byte(v)})
	}
	return l.appendRecords(t, records...)
}

func (l *fakeLog) appendControl(t testing.TB, c batch.Control) batch.Header {
	t.Helper()
	return l.append(t, batch.AppendControl(nil, &c))
}

func (l *fakeLog) bounds() (logStart, next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logStart, l.next
}

// from returns the batches with records in the range, cut to it, and the control batches that stand in it, from the
// batch with that number in the order of the log on; and a channel that is closed when there are more.
func (l *fakeLog) from(index int, first, end int64) (out []storedBatch, next int, grown <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; index < len(l.batches); index++ {
		b := l.batches[index]
		switch {
		case b.Control() && b.BaseOffset >= first && b.BaseOffset <= end, !b.Control() && b.BaseOffset >= first && b.NextOffset() <= end:
			out = append(out, b)
		case !b.Control() && b.NextOffset() > first && b.BaseOffset < end:
			cut, err := batch.Cut(nil, &b.Header, b.bytes, first, end)
			if err != nil {
				return nil, 0, nil, err
			}
			h, err := batch.Parse(cut)
			if err != nil {
				return nil, 0, nil, err
			}
			out = append(out, storedBatch{h, cut})
		}
	}
	return out, index, l.grown, nil
}

// offsetOf finds the offset that a position means.
func (l *fakeLog) offsetOf(p *trestlev1.Position, isStop bool) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch at := p.GetAt().(type) {
	case *trestlev1.Position_Earliest:
		return l.logStart
	case *trestlev1.Position_Offset:
		return at.Offset
	case *trestlev1.Position_Last:
		return max(l.next-int64(at.Last), l.logStart)
	case *trestlev1.Position_Latest:
		if isStop {
			return l.next
		}
		return max(l.next-1, l.logStart)
	case *trestlev1.Position_Time:
		for _, b := range l.batches {
			if !b.Control() && b.Time >= at.Time {
				return b.BaseOffset
			}
		}
	}
	return l.next
}

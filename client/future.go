package client

import (
	"context"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
)

// Future is what will have become of a message that a Producer was given.
type Future struct {
	parcel *parcel
	index  int // of the message in the batch
}

// failedFuture is that of a message that was not put on its way.
func failedFuture(err error) *Future {
	b := &parcel{settled: make(chan struct{}), err: err}
	close(b.settled)
	return &Future{parcel: b}
}

// Done is closed when the message is settled: Ack returns at once then.
func (f *Future) Done() <-chan struct{} { return f.parcel.settled }

// Ack waits until the message is settled, and says where it is stored. An error means that it is not; ErrOutcomeUnknown,
// that nobody knows; and the context's, that it is not settled yet.
func (f *Future) Ack(ctx context.Context) (ack Ack, err error) {
	select {
	case <-f.parcel.settled:
	default:
		select {
		case <-f.parcel.settled:
		case <-ctx.Done():
			return Ack{}, ctx.Err()
		}
	}
	b, index := f.parcel, f.index
	for b.moved != nil {
		b, index = b.moved[index].parcel, b.moved[index].index
	}
	if b.err != nil {
		return Ack{}, b.err
	}
	b.acknowledge(&ack, index)
	return ack, nil
}

// parcel is a batch of a Producer. But for what belongs to a lane, it is under the producer's mu until it is settled.
type parcel struct {
	records []byte // encoded; nil once it is settled
	size    int    // bytes that its records had, one by one
	count   int    // of records
	futures []Future

	partition int32

	settled chan struct{} // closed when ack and err are set for good
	ack     Ack
	err     error

	// Of its lane.
	number   number
	stage    stage
	attempts int
	unknown  bool      // an attempt may have stored it, under the number that it still has
	failed   time.Time // when it failed first; zero: never

	shipped *shipment // the attempt whose answer is waited for

	// Of messages that were placed anew (growth.go).
	moved     []movedMessage // where those of this batch are now; nil: here
	unsettled int            // batches that have some of them and are not settled
	origins   []*parcel      // the batches that messages of this one come from
}

// movedMessage is a message that another batch took over.
type movedMessage struct {
	parcel *parcel
	index  int
}

func newParcel(partition int32, memory []byte) *parcel {
	return &parcel{partition: partition, settled: make(chan struct{}), records: memory}
}

// put puts a record of that size behind the others.
func (b *parcel) put(r *batch.Record, size int) {
	b.records = batch.AppendRecord(b.records, r)
	b.size += size
	b.count++
}

// movedTo notes that the next message of the batch is the last of another one now.
func (b *parcel) movedTo(to *parcel) {
	b.moved = append(b.moved, movedMessage{to, to.count - 1})
	if n := len(to.origins); n == 0 || to.origins[n-1] != b {
		to.origins = append(to.origins, b)
		b.unsettled++
	}
}

// future is that of the last record. Futures are made several at a time.
func (b *parcel) future() *Future {
	if len(b.futures) == cap(b.futures) {
		b.futures = make([]Future, 0, min(b.count, 64))
	}
	b.futures = append(b.futures, Future{parcel: b, index: b.count - 1})
	return &b.futures[len(b.futures)-1]
}

// acknowledge sets ack to that of one message of the batch. Its offset is -1 where that is not known.
func (b *parcel) acknowledge(ack *Ack, index int) {
	*ack = b.ack
	ack.Count = 1
	if b.ack.Duplicates != nil || b.ack.DuplicatesUnknown {
		b.acknowledgeDuplicate(ack, index)
	} else if ack.Offset >= 0 {
		ack.Offset += int64(index)
	}
}

func (b *parcel) acknowledgeDuplicate(ack *Ack, index int) {
	ack.Duplicates, ack.DuplicatesUnknown = nil, false
	before := 0
	for _, d := range b.ack.Duplicates {
		switch {
		case d.Index == index:
			ack.Offset, ack.Count = d.Offset, 0
			ack.Duplicates = []Duplicate{{Offset: d.Offset}}
			return
		case d.Index < index:
			before++
		}
	}
	if ack.Offset >= 0 {
		ack.Offset += int64(index - before)
	}
	if b.ack.DuplicatesUnknown {
		ack.Offset, ack.DuplicatesUnknown = -1, true
	}
}

// each calls f for the messages of the batch, as they were to be stored.
func (b *parcel) each(f func(m *Message)) {
	records, err := batch.ParseRecords(b.records)
	if err != nil { // they are our own
		return
	}
	d := decoder{}
	d.begin(&records, &batch.Header{})
	for range b.count {
		var m Message
		if d.next(&m) != nil {
			return
		}
		m.Offset, m.Partition = -1, int(b.partition)
		f(&m)
	}
}

package partition

import (
	"sync"

	"github.com/trestlehq/trestle/proto/batch"
)

// queue is what waits to be appended. It is guarded by Partition.mu.
type queue struct {
	open         *batch.Builder   // captured records; nil: none
	full         []*batch.Builder // captured records of batches that are full, oldest first
	publications []*publication
	bytes        int
	room         sync.Cond // bytes went down

	spare []*batch.Builder // builders to use again
}

// maxSpare is how many builders are kept for use.
const maxSpare = 4

// addRecord adds a captured record to the open batch.
func (q *queue) addRecord(r *batch.Record) {
	if q.open != nil && q.open.Size()+r.Size() > MaxBatchBytes {
		q.full = append(q.full, q.open)
		q.open = nil
	}
	if q.open == nil {
		q.open = q.builder()
		q.open.Reset(r.Subject)
		q.bytes += q.open.Size()
	}
	before := q.open.Size()
	q.open.Append(r)
	q.bytes += q.open.Size() - before
}

func (q *queue) builder() *batch.Builder {
	if n := len(q.spare); n > 0 {
		b := q.spare[n-1]
		q.spare = q.spare[:n-1]
		return b
	}
	return &batch.Builder{}
}

func (q *queue) addPublication(p *publication) {
	q.publications = append(q.publications, p)
	q.bytes += len(p.bytes)
}

// work is what is appended in one write.
type work struct {
	publications []*publication
	captured     []*batch.Builder
}

func (w *work) empty() bool { return len(w.publications) == 0 && len(w.captured) == 0 }

// take takes what is to be appended next: publications first, then captured records, up to maxAppendBytes of each.
func (q *queue) take() work {
	var w work
	n, size := 0, 0
	for n < len(q.publications) && (n == 0 || size+len(q.publications[n].bytes) <= maxAppendBytes) {
		size += len(q.publications[n].bytes)
		n++
	}
	w.publications = q.publications[:n:n]
	q.publications = q.publications[n:]

	if q.open != nil {
		q.full = append(q.full, q.open)
		q.open = nil
	}
	n, size = 0, 0
	for n < len(q.full) && (n == 0 || size+q.full[n].Size() <= maxAppendBytes) {
		size += q.full[n].Size()
		n++
	}
	w.captured = q.full[:n:n]
	q.full = q.full[n:]
	return w
}

// putBack returns captured records that could not be appended to where they were taken from.
func (q *queue) putBack(captured []*batch.Builder) {
	q.full = append(captured[:len(captured):len(captured)], q.full...)
}

// done gives back the room that publications and captured records took.
func (q *queue) done(publications []*publication, captured []*batch.Builder) {
	for _, p := range publications {
		q.bytes -= len(p.bytes)
	}
	for _, b := range captured {
		q.bytes -= b.Size()
		if len(q.spare) < maxSpare && b.Size() <= MaxBatchBytes {
			q.spare = append(q.spare, b)
		}
	}
	if q.bytes < maxQueuedBytes {
		q.room.Broadcast()
	}
}

// rest gives back the memory that an idle partition has no use for.
func (q *queue) rest() {
	if q.bytes == 0 {
		q.spare, q.full, q.publications = nil, nil, nil
	}
}

package partition

import (
	"slices"
	"sync"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/dedup"
	"github.com/trestlehq/trestle/server/internal/shadow"
)

// queue is what waits to be appended. It is guarded by Partition.mu.
type queue struct {
	open         *capturedBatch   // captured records; nil: none
	full         []*capturedBatch // captured records of batches that are full, oldest first
	publications []*publication
	bytes        int
	room         sync.Cond // bytes went down, or nothing is to be waited for

	spare []*capturedBatch // to use again
	busy  bool             // something was added since it rested last
}

// capturedBatch gathers captured records.
type capturedBatch struct {
	batch.Builder
	notes []note // by rising index
	// missing are records for which there was no room behind these; nil: none.
	missing *batch.Gap
}

// note is what is to be known of a captured record that is more than bytes to store.
type note struct {
	index    int      // in its batch
	id       dedup.ID // zero: none
	expected *int64
	notify   func(Ack, error) // nil: nobody waits
	unheard  bool             // nobody waits, though notify is called
}

// maxSpare is how many builders are kept for use.
const maxSpare = 4

// addRecord adds a captured record to the open batch. The note's index is found out.
func (q *queue) addRecord(r *batch.Record, n note) {
	if q.open != nil && q.open.Size()+r.Size() > MaxBatchBytes {
		q.full = append(q.full, q.open)
		q.open = q.builder()
		q.open.Grow(MaxBatchBytes) // there is much to come
		q.open.Reset(r.Subject)
		q.bytes += q.open.Size()
	}
	if q.open == nil {
		q.open = q.builder()
		q.open.Reset(r.Subject)
		q.bytes += q.open.Size()
	}
	before := q.open.Size()
	if n.id != (dedup.ID{}) || n.expected != nil || n.notify != nil {
		n.index = q.open.Count()
		q.open.notes = append(q.open.notes, n)
	}
	q.open.Append(r)
	q.bytes += q.open.Size() - before
}

// miss adds to what is missing behind the captured records that are queued, and says false if none are.
func (q *queue) miss(gap batch.Gap) bool {
	if q.open != nil {
		q.full = append(q.full, q.open)
		q.open = nil
	}
	if len(q.full) == 0 {
		return false
	}
	last := q.full[len(q.full)-1]
	if last.missing == nil {
		last.missing = &gap
		return true
	}
	last.missing.ToTime = max(last.missing.ToTime, gap.ToTime)
	last.missing.AtLeast += gap.AtLeast
	return true
}

func (q *queue) builder() *capturedBatch {
	q.busy = true
	if n := len(q.spare); n > 0 {
		b := q.spare[n-1]
		q.spare = q.spare[:n-1]
		return b
	}
	return &capturedBatch{}
}

func (q *queue) addPublication(p *publication) {
	q.busy = true
	q.publications = append(q.publications, p)
	q.bytes += len(p.bytes)
}

// work is what is appended in one write.
type work struct {
	gaps         []shadow.DueGap
	publications []*publication
	captured     []*capturedBatch
}

func (w *work) empty() bool {
	return len(w.publications) == 0 && len(w.captured) == 0 && len(w.gaps) == 0
}

func (q *queue) empty() bool { return q.open == nil && len(q.full) == 0 && len(q.publications) == 0 }

// take takes what is to be appended next: publications first, then captured records, up to maxAppendBytes of each.
func (q *queue) take() work {
	w := work{publications: q.takePublications()}
	if q.open != nil {
		q.full = append(q.full, q.open)
		q.open = nil
	}
	n, size := 0, 0
	for n < len(q.full) && (n == 0 || size+q.full[n].Size() <= maxAppendBytes) {
		size += q.full[n].Size()
		n++
	}
	w.captured = q.full[:n:n]
	q.full = q.full[n:]
	return w
}

func (q *queue) takePublications() []*publication {
	n, size := 0, 0
	for n < len(q.publications) && (n == 0 || size+len(q.publications[n].bytes) <= maxAppendBytes) {
		size += len(q.publications[n].bytes)
		n++
	}
	taken := q.publications[:n:n]
	q.publications = q.publications[n:]
	return taken
}

// putBack returns captured records that could not be appended to where they were taken from.
func (q *queue) putBack(captured []*capturedBatch) {
	q.full = append(captured[:len(captured):len(captured)], q.full...)
}

// done gives back the room that publications and captured records took.
func (q *queue) done(publications []*publication, captured []*capturedBatch) {
	for _, p := range publications {
		q.bytes -= len(p.bytes)
	}
	for _, b := range captured {
		q.bytes -= b.Size()
		if len(q.spare) < maxSpare && b.Size() <= MaxBatchBytes {
			clear(b.notes)
			b.notes, b.missing = b.notes[:0], nil
			q.spare = append(q.spare, b)
		}
	}
	if q.bytes < maxQueuedBytes {
		q.room.Broadcast()
	}
}

// rest gives back the memory that a partition has no use for to which nothing was added since it rested last. What waits for
// no more than an answer has no bytes.
func (q *queue) rest() {
	if q.bytes == 0 && !q.busy && len(q.publications) == 0 {
		q.spare, q.full, q.publications = nil, nil, nil
	}
	q.busy = false
}

// abandon empties the queue and returns those who wait for what was in it.
func (q *queue) abandon() (waiting []*pending) {
	for _, pub := range q.publications {
		waiting = append(waiting, &pub.pending)
	}
	captured := q.full
	if q.open != nil {
		captured = append(slices.Clip(captured), q.open)
	}
	for _, c := range captured {
		waiting = append(waiting, c.waiting()...)
	}
	q.publications, q.full, q.open, q.bytes = nil, nil, nil, 0
	q.room.Broadcast()
	return waiting
}

// waiting are those who wait for a record of the batch.
func (c *capturedBatch) waiting() (waiting []*pending) {
	for i := range c.notes {
		if c.notes[i].notify != nil {
			waiting = append(waiting, &pending{notify: c.notes[i].notify})
		}
	}
	return waiting
}

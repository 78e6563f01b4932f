package dedup

import (
	"fmt"
	"math"
)

// Window holds the message ids of a partition that were stored in the last so many nanoseconds of append time.
type Window struct {
	nanos  int64
	budget *Budget

	entries entries
	table   table
	// shadows are the ids that were added again, after they had expired, while the first entry is still held: it is not in
	// the table, and returns to it if the later one is undone. They are ordered by both.
	shadows ring[shadow]

	settled   uint64 // the log is not cut at or below
	forgotten int64  // what was appended at or before may have been dropped
	accounted int64  // bytes reported to the budget
}

type shadow struct{ newer, older uint64 }

const shadowBytes = 16

// NewWindow makes an empty window of so many nanoseconds; with none or less no id is ever found. A nil budget sets no
// limit. Close gives the memory back to the budget.
func NewWindow(nanos int64, budget *Budget) *Window {
	w := &Window{nanos: nanos, budget: budget, forgotten: math.MinInt64}
	w.entries.front, w.entries.end = 1, 1
	budget.join(1)
	return w
}

// Lookup says under which offset an id was stored, if that was less than a window before now: the append time that the
// batch in question would get. Whether that offset is committed is for the caller to know.
func (w *Window) Lookup(id ID, now int64) (offset int64, found bool) {
	_, position, found := w.table.find(&w.entries, &id)
	if !found || w.expired(w.entries.time(position), now) {
		return 0, false
	}
	c, i := w.entries.chunk(position)
	return c.offsets[i], true
}

// Add remembers an id that a batch stored. Batches come in the order of the log, and so their times never go back. An
// id that is there already is from now on found under the later offset.
func (w *Window) Add(id ID, offset int64, seq uint64, time int64) {
	if w.nanos <= 0 {
		w.forgotten = max(w.forgotten, time)
		return
	}
	for w.entries.len() > 0 && seq-w.entries.seq(w.entries.front) >= math.MaxUint32 {
		w.forget()
	}
	w.makeRoom()
	link, older, again := w.table.find(&w.entries, &id)
	position := w.entries.push(entry{id: id, offset: offset, seq: seq, time: time})
	if again {
		*link = *w.entries.link(older)
		w.shadows.push(shadow{newer: position, older: older})
	}
	if w.table.buckets == 0 {
		w.table.fit(&w.entries)
	}
	w.table.insert(&w.entries, position)
	w.table.fit(&w.entries)
	w.account()
}

// Truncated undoes every Add of a batch with the sequence seq or a greater one: the window is what it was before them. If
// ids that had expired by then are gone, because seq was settled or the window was loaded later than that, the error is
// ErrRebuild; the ids of the batches that were cut are removed all the same.
func (w *Window) Truncated(seq uint64) error {
	if mutant("dedup-truncation-keeps") {
		return nil
	}
	for w.entries.len() > 0 && w.entries.seq(w.entries.end-1) >= seq {
		w.undo()
	}
	w.table.fit(&w.entries)
	w.account()
	if seq <= w.settled {
		return fmt.Errorf("%w: the log was cut at seq %d, and ids that had expired by seq %d are gone",
			ErrRebuild, seq, w.settled)
	}
	return nil
}

// Settled says that the batches up to seq, appended at the given time or later, are committed and will not be cut: what
// expired by then is dropped. Without it nothing is, but for want of memory.
func (w *Window) Settled(seq uint64, time int64) {
	w.settled = max(w.settled, seq)
	w.forgotten = max(w.forgotten, before(time, w.nanos))
	for w.entries.len() > 0 && w.goes(time) {
		w.dropFront()
	}
	if w.table.buckets > 0 {
		w.table.fit(&w.entries)
	}
	w.account()
}

// goes says whether the oldest id has expired and is settled.
func (w *Window) goes(time int64) bool {
	if mutant("dedup-expiry-by-count") {
		return w.entries.len() > 100
	}
	return w.expired(w.entries.time(w.entries.front), time) && w.entries.seq(w.entries.front) <= w.settled
}

// SetNanos changes the window. What a shorter one lets go does not come back: see EffectiveNanos.
func (w *Window) SetNanos(nanos int64) { w.nanos = nanos }

// Nanos is the window as it was set.
func (w *Window) Nanos() int64 { return w.nanos }

// EffectiveNanos is the window that is kept in truth: shorter than the one set while memory is short, and for a time
// after it was made longer. All ids stored in so many nanoseconds before now are found.
func (w *Window) EffectiveNanos(now int64) int64 { return min(max(w.nanos, 0), age(w.forgotten, now)) }

// Len is the number of ids held, expired ones included.
func (w *Window) Len() int { return w.entries.len() }

// Bytes is the memory that the window takes.
func (w *Window) Bytes() int64 {
	return w.entries.bytes() + w.table.bytes() + int64(len(w.shadows.buf))*shadowBytes
}

// Trim forgets the oldest ids for as long as the windows of the broker exceed their budget and this one has more than
// its share. An owner calls it from time to time: a window to which nothing is added gives nothing back by itself.
func (w *Window) Trim() {
	for w.budget.exceeded(w.accounted) && w.entries.chunks.len() > 1 {
		w.forgetChunk()
		w.entries.free = nil
		w.table.fit(&w.entries)
		w.account()
	}
}

// Close gives the memory back to the budget. The window must not be used afterwards.
func (w *Window) Close() {
	w.budget.take(-w.accounted)
	w.budget.join(-1)
	*w = Window{}
}

func (w *Window) expired(time, now int64) bool {
	if mutant("dedup-never-expires") {
		return false
	}
	return age(time, now) >= w.nanos
}

// makeRoom drops the oldest ids if the next one needs memory that the budget does not have.
func (w *Window) makeRoom() {
	if !w.entries.full() || len(w.entries.free) > 0 {
		return
	}
	if !w.budget.allows(w.accounted, chunkBytes) && w.entries.chunks.len() > 1 {
		w.forgetChunk()
	}
	w.Trim()
}

// forgetChunk drops the oldest ids until a chunk is free.
func (w *Window) forgetChunk() {
	for chunks := w.entries.chunks.len(); w.entries.chunks.len() == chunks && w.entries.len() > 0; {
		w.forget()
	}
}

// forget drops the oldest id before its time.
func (w *Window) forget() {
	if !mutant("dedup-shortened-silently") {
		w.forgotten = max(w.forgotten, w.entries.time(w.entries.front))
	}
	w.dropFront()
}

func (w *Window) dropFront() {
	if w.shadows.len() > 0 && w.shadows.front().newer == w.entries.front {
		w.shadows.popFront()
	}
	w.entries.popFront()
}

// undo takes back the newest Add. The newest id is the first of its bucket.
func (w *Window) undo() {
	newest := w.entries.end - 1
	*w.table.headOf(w.entries.id(newest)) = *w.entries.link(newest)
	w.entries.popBack()
	if w.shadows.len() == 0 || w.shadows.back().newer != newest {
		return
	}
	older := w.shadows.popBack().older
	if older >= w.entries.front && !mutant("dedup-readded-forgotten") {
		w.table.insert(&w.entries, older)
	}
}

func (w *Window) account() {
	if bytes := w.Bytes(); bytes != w.accounted {
		w.budget.take(bytes - w.accounted)
		w.accounted = bytes
	}
}

// age is how long before now that time was, 0 for a time after now.
func age(time, now int64) int64 {
	switch {
	case now <= time:
		return 0
	case now-time < 0: // more than an int64 can say
		return math.MaxInt64
	}
	return now - time
}

// before is the time so many nanoseconds before another.
func before(time, nanos int64) int64 {
	nanos = max(nanos, 0)
	if time < math.MinInt64+nanos {
		return math.MinInt64
	}
	return time - nanos
}

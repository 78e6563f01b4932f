package capture

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/trestlehq/trestle/server/internal/partition"
)

// markEvery is after how many bytes at most a partition is asked to say how far it has come. What came since is not counted.
const markEvery = 16 << 10

// room is how many bytes of captured records may wait in all partitions together until they are committed.
type room struct {
	limit int

	used atomic.Int64 // changed under mu

	mu    sync.Mutex
	freed chan struct{} // closed when used went down; nil: nobody waits; guarded by mu
}

// full says whether nothing more fits, and what to wait for then.
func (r *room) full() (freed <-chan struct{}, full bool) {
	if r.used.Load() < int64(r.limit) {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used.Load() < int64(r.limit) {
		return nil, false
	}
	if r.freed == nil {
		r.freed = make(chan struct{})
	}
	return r.freed, true
}

func (r *room) take(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used.Add(int64(bytes))
}

func (r *room) give(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used.Add(-int64(bytes))
	if r.freed != nil && r.used.Load() < int64(r.limit) {
		close(r.freed)
		r.freed = nil
	}
}

// bytes that wait.
func (r *room) bytes() int {
	return int(r.used.Load())
}

// looksAtDisk is how often a wait for room looks whether the disk is full.
const looksAtDisk = 100 * time.Millisecond

// await waits until there is room, or says false: nobody waits with a NATS that cuts off who does not read, nor for a
// dispatcher that ends. On a full disk what waits frees no room: the record is handed on then, to become part of a gap.
func (d *dispatcher) await(to *taker) bool {
	for {
		freed, full := d.room.full()
		if !full {
			return true
		}
		if d.limits.drops > 0 {
			return false
		}
		if (to.sink.Full() || d.anyFull()) && !mutant("capture-waits-for-a-full-disk") {
			return true
		}
		look := time.NewTimer(looksAtDisk)
		select {
		case <-freed:
		case <-look.C:
		case <-d.quit:
			look.Stop()
			return false
		}
		look.Stop()
	}
}

// anyFull says whether one of the partitions has found the disk full.
func (d *dispatcher) anyFull() bool {
	for _, r := range d.listens.all() {
		for _, t := range r.takers.Load().list {
			if t != nil && t.sink.Full() {
				return true
			}
		}
	}
	return false
}

// unmarked is what one partition was given since it was last asked how far it has come. Only the dispatcher uses it.
type unmarked struct {
	bytes int
	asked *mark // last; nil: never
}

// mark is a record whose answer says that all those before it do not wait any more.
type mark struct {
	room  *room
	bytes int // up to it
	once  sync.Once
	done  atomic.Bool
}

// over is called when the record is stored, or will not be.
func (m *mark) over() {
	m.once.Do(func() {
		m.done.Store(true)
		m.room.give(m.bytes)
	})
}

// count counts a record of that size, which is handed to the partition next, for as long as it waits. It now and then asks for
// an answer, and returns the mark that this is; it is over, too, when the record is not taken. nil: none.
func (t *taker) count(r *room, bytes int, c *partition.Captured) *mark {
	w := &t.waits
	w.bytes += bytes
	if w.asked != nil && !w.asked.done.Load() && w.bytes < markEvery {
		return nil
	}
	m := &mark{room: r, bytes: w.bytes}
	c.OnSettled = m.over
	*w = unmarked{asked: m}
	r.take(m.bytes)
	return m
}

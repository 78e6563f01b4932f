package partition

import (
	"container/heap"
	"sync"
	"time"
)

const (
	// DefaultTurns is how many logs of a data folder are synced at once (protocol.md 1.8).
	DefaultTurns = 32
	// heldBack is how much longer data that nobody waits for may wait for a turn than data that somebody does.
	heldBack = 50 * time.Millisecond
)

// Turns are those at which the partitions of a data folder sync their logs: so many at once, and next the one that is due
// first. What somebody waits for is due when it was appended, all else 50 ms later. What is appended to a log that waits for
// its turn joins its round, so the more partitions there are to sync, the more each sync is for. Without it thousands of
// partitions would keep as many threads waiting for one disk. It is safe for concurrent use; a nil Turns bounds nothing.
type Turns struct {
	mu      sync.Mutex
	free    int
	waiting queueOfTurns
}

// turn is one for which a partition waits.
type turn struct {
	due   time.Time
	place int           // in the queue; -1: not there any more
	taken chan struct{} // closed when it is this one's
}

// NewTurns lets n logs be synced at once.
func NewTurns(n int) *Turns { return &Turns{free: n} }

// ask asks for a turn that is due then; taken is closed when it has come.
func (t *Turns) ask(due time.Time) *turn {
	one := &turn{due: due, place: -1, taken: make(chan struct{})}
	if t == nil {
		close(one.taken)
		return one
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	heap.Push(&t.waiting, one)
	t.serveLocked()
	return one
}

// take takes a turn if one is free and nobody waits for it.
func (t *Turns) take() bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free == 0 || len(t.waiting) > 0 {
		return false
	}
	t.free--
	return true
}

// hurry makes a turn due earlier, if it has not come yet.
func (t *Turns) hurry(one *turn, due time.Time) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.place >= 0 && due.Before(one.due) {
		one.due = due
		heap.Fix(&t.waiting, one.place)
	}
}

// give ends a turn.
func (t *Turns) give() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	t.serveLocked()
}

func (t *Turns) serveLocked() {
	for t.free > 0 && len(t.waiting) > 0 {
		next, ok := heap.Pop(&t.waiting).(*turn)
		if !ok {
			return
		}
		t.free--
		close(next.taken)
	}
}

// queueOfTurns is a heap, of which the first is due first.
type queueOfTurns []*turn

// Len, Less, Swap, Push and Pop make it a heap.Interface.
func (q queueOfTurns) Len() int { return len(q) }

// Less compares when two are due.
func (q queueOfTurns) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

// Swap swaps two.
func (q queueOfTurns) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push adds a *turn.
func (q *queueOfTurns) Push(x any) {
	if one, ok := x.(*turn); ok {
		one.place = len(*q)
		*q = append(*q, one)
	}
}

// Pop removes the last.
func (q *queueOfTurns) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = nil
	*q = (*q)[:len(*q)-1]
	last.place = -1
	return last
}

// unsynced says since when a log has something to sync. The zero value: it has nothing. Guarded by Partition.mu.
type unsynced struct {
	since   time.Time       // of the oldest append that is not synced
	awaited time.Time       // of the oldest that somebody waits for; zero: nobody does
	turn    *turn           // for which the partition waits; nil: none
	hurried chan<- struct{} // closed when somebody begins to wait; nil: nothing is held back
}

// due is when the log is to be synced, as its turns count.
func (u *unsynced) due() time.Time {
	due := u.since.Add(heldBack)
	if !u.awaited.IsZero() && u.awaited.Before(due) {
		return u.awaited
	}
	return due
}

// add notes an append.
func (u *unsynced) add(turns *Turns, awaited bool) {
	now := time.Now()
	if u.since.IsZero() {
		u.since = now
	}
	if awaited && u.awaited.IsZero() {
		u.awaited = now
		if u.hurried != nil {
			close(u.hurried)
			u.hurried = nil
		}
	}
	if u.turn != nil {
		turns.hurry(u.turn, u.due())
	}
}

// takeTurn waits for the turn of the log; what was appended until then is synced with it.
func (p *Partition) takeTurn() {
	p.mu.Lock()
	if p.unsynced.since.IsZero() {
		p.unsynced.since = time.Now()
	}
	one := p.config.Turns.ask(p.unsynced.due())
	p.unsynced.turn = one
	p.mu.Unlock()
	<-one.taken
	p.mu.Lock()
	p.unsynced = unsynced{}
	p.mu.Unlock()
}

package rpc

import (
	"sync"

	"github.com/trestlehq/trestle/server/internal/partition"
)

// job is a batch of a PublishStream that a partition has and has not settled.
type job struct {
	to   destination
	cost int // of the stream's window, given back once the answer is sent
}

// flight is the batches of a PublishStream on their way through partitions, and the answers that are to be sent. It is the
// partition.Listener of the batches, whose tags are their ids.
type flight struct {
	inFlight *budget       // bytes of the broker, lent for what is not settled
	ready    chan struct{} // holds a token while there are answers
	landed   chan struct{} // closed when nothing more takes off and all is settled

	mu       sync.Mutex
	jobs     map[uint64]job // guarded by mu, as is what follows
	closed   bool           // nothing more takes off
	attended bool           // somebody will take the answers without being told of them
	answers  []answer
	spare    []answer // to use again
	settled  int      // bytes to be given back to inFlight with the end of the group
}

func newFlight(inFlight *budget) *flight {
	return &flight{inFlight: inFlight, ready: make(chan struct{}, 1), landed: make(chan struct{}), jobs: map[uint64]job{}}
}

// takeOff counts a batch in before a partition gets it; false: nothing more takes off.
func (f *flight) takeOff(id uint64, j job) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.jobs[id] = j
	return true
}

// Settled takes the answer to a batch.
func (f *flight) Settled(id uint64, ack partition.Ack, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.jobs[id]
	delete(f.jobs, id)
	f.settled += j.cost
	f.addLocked(answer{first: id, last: id, to: j.to, ack: ack, err: err, cost: j.cost})
	f.landedLocked()
}

// SettledGroup has the answers sent.
func (f *flight) SettledGroup() {
	f.mu.Lock()
	settled, attended := f.settled, f.attended
	f.settled = 0
	f.mu.Unlock()
	f.inFlight.giveBack(settled)
	if !attended {
		f.wake()
	}
}

// attend says that the caller will take the answers there are, from now on until it says otherwise, and then.
func (f *flight) attend(will bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attended = will
}

// empty is true when nothing is on its way, and nothing waits to be answered.
func (f *flight) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs) == 0 && len(f.answers) == 0
}

// refuse answers a batch that no partition has got.
func (f *flight) refuse(a answer) {
	f.mu.Lock()
	f.addLocked(a)
	f.mu.Unlock()
	f.wake()
}

// addLocked adds an answer, to the last one if it goes on there.
func (f *flight) addLocked(one answer) {
	if n := len(f.answers); n == 0 || !f.answers[n-1].extend(&one) {
		f.answers = append(f.answers, one)
	}
}

func (f *flight) wake() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// take takes the answers there are; they are good until the next call.
func (f *flight) take() []answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.answers
	clear(f.spare)
	f.answers, f.spare = f.spare[:0], list
	return list
}

// close sees that nothing more takes off.
func (f *flight) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.landedLocked()
}

func (f *flight) landedLocked() {
	if !f.closed || len(f.jobs) > 0 {
		return
	}
	select {
	case <-f.landed:
	default:
		close(f.landed)
	}
}

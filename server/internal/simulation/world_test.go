package simulation_test

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// epoch0 is when every simulation begins, unix nanoseconds.
const epoch0 = 1_700_000_000_000_000_000

// world is one simulated cluster and all that happens to it.
type world struct {
	seed  uint64
	rng   *rand.Rand
	plan  plan
	now   int64 // simulated unix nanoseconds, which no broker sees as they are
	queue eventQueue
	order uint64

	control *control
	brokers []*broker
	nats    *natsModel
	clients *clients
	oracle  *oracle
	links   map[[2]int]*link
	healed  bool
	events  int
	trace   uint64 // a hash of all that happened
	counts  map[string]int
	verbose bool
	history []string
	buffer  []byte
	jumped  bool // a wall clock did
	spoiled int  // copies that a fault took, of the budget of S1
	trashed int
	rings   int
	ctx     context.Context
}

// event is something that happens at a time. Events of one time happen in the order in which they were made.
type event struct {
	at    int64
	order uint64
	run   func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

// after makes something happen later.
func (w *world) after(d time.Duration, run func()) {
	w.order++
	heap.Push(&w.queue, event{at: w.now + int64(max(d, 0)), order: w.order, run: run})
}

// every makes something happen again and again, with a little jitter, until it returns false.
func (w *world) every(d time.Duration, run func() bool) {
	w.after(w.around(d), func() {
		if run() {
			w.every(d, run)
		}
	})
}

// runFor lets the time pass.
func (w *world) runFor(d time.Duration) {
	end := w.now + int64(d)
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		w.events++
		w.step(e.run)
		w.oracle.check()
	}
	w.now = end
}

// processEnded unwinds an event whose process has just ended.
type processEnded struct{}

// step runs an event up to its end, or to the end of the process that it happens in.
func (w *world) step(run func()) {
	defer func() {
		if r := recover(); r != nil {
			if _, ended := r.(processEnded); !ended {
				panic(r)
			}
		}
	}()
	run()
}

// between is a duration from low up to high.
func (w *world) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// around is a duration near d.
func (w *world) around(d time.Duration) time.Duration { return w.between(d*9/10, d*11/10) }

// chance is true in p of 1000 cases.
func (w *world) chance(p int) bool { return w.rng.IntN(1000) < p }

// log keeps what happens as text if somebody is to read it.
func (w *world) log(format string, args ...any) {
	if w.verbose {
		w.history = append(w.history, fmt.Sprintf("%12.6f ", float64(w.now-epoch0)/1e9)+fmt.Sprintf(format, args...))
	}
}

// happened counts something and folds it into the trace.
func (w *world) happened(what string, numbers ...uint64) {
	w.counts[what]++
	w.fold(uint64(w.now))
	for i := range len(what) {
		w.fold(uint64(what[i]))
	}
	for _, n := range numbers {
		w.fold(n)
	}
	if w.verbose {
		w.log("%s %v", what, numbers)
	}
}

// fold takes a number into the trace, as FNV-1a does with words for bytes.
func (w *world) fold(n uint64) { w.trace = (w.trace ^ n) * 1099511628211 }

// violation ends a simulation: the cluster did what it must not.
type violation struct{ rule, message string }

func (v violation) Error() string { return v.rule + ": " + v.message }

// violate ends the simulation. The rule is one of reliability's S, C or R, or a section of the protocol.
func (w *world) violate(rule, format string, args ...any) {
	panic(violation{rule, fmt.Sprintf(format, args...)})
}

// must ends the simulation if something failed that nothing was done to.
func (w *world) must(err error, format string, args ...any) {
	if err != nil {
		w.violate("unexpected", "%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// caught runs a simulation and returns the violation, or the panic, that it ended with.
func caught(run func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case violation:
			err = r
		default:
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	run()
	return nil
}

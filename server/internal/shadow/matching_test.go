package shadow

import (
	"flag"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var (
	seedsFlag = flag.Uint64("seeds", defaultSeeds, "histories of TestMatching")
	fromFlag  = flag.Uint64("from", 0, "first seed of TestMatching")
	seedFlag  = flag.Int64("seed", -1, "the only seed of TestMatching, with its history")
)

// TestMatching simulates the rule of protocol.md 2.4 and 2.9: see DESIGN.md for what (a) to (f) and S10 mean here.
func TestMatching(t *testing.T) {
	t.Parallel()
	if *seedFlag >= 0 {
		var trace strings.Builder
		w := newWorld(uint64(*seedFlag), &trace)
		w.run()
		t.Log("\n" + trace.String())
		for _, fault := range w.faults {
			t.Error(fault)
		}
		return
	}
	var sum sums
	workers := runtime.GOMAXPROCS(0)
	var done sync.WaitGroup
	for worker := range workers {
		done.Go(func() {
			for seed := *fromFlag + uint64(worker); seed < *fromFlag+*seedsFlag && !sum.enough(); seed += uint64(workers) {
				w := newWorld(seed, nil)
				w.run()
				sum.add(t, seed, w)
			}
		})
	}
	done.Wait()
	sum.log(t)
}

// sums is what all seeds came to.
type sums struct {
	mu           sync.Mutex
	seeds, clean int
	faulty       int
	stats        stats
	withGap      int
}

func (s *sums) enough() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faulty >= 10
}

func (s *sums) add(t *testing.T, seed uint64, w *world) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds++
	if w.clean() {
		s.clean++
	}
	if w.stats.gaps > 0 {
		s.withGap++
	}
	if len(w.faults) > 0 {
		s.faulty++
		t.Errorf("seed %d (%s): %d faults, the first: %s", seed, &w.plan, len(w.faults), w.faults[0])
	}
	a, b := &s.stats, &w.stats
	a.published += b.published
	a.stored += b.stored
	a.recovered += b.recovered
	a.gaps += b.gaps
	a.elections += b.elections
	a.truncated += b.truncated
	a.settled += b.settled
}

func (s *sums) log(t *testing.T) {
	t.Helper()
	t.Logf("%d seeds, %d of them without loss, %d with gaps: %d messages published, %d stored, %d of them recovered, %d gaps, %d elections, %d batches cut, %d acks",
		s.seeds, s.clean, s.withGap, s.stats.published, s.stats.stored, s.stats.recovered, s.stats.gaps, s.stats.elections,
		s.stats.truncated, s.stats.settled)
}

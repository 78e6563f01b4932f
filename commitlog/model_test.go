package commitlog_test

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestModel holds logs against a model through random histories of appends, deletions, failures and crashes, each from a
// seed. Set SIM_LOG_SEEDS for how many, SIM_LOG_FROM for the first, and SIM_LOG_SEED for one of them with its history.
func TestModel(t *testing.T) {
	t.Parallel()
	if one := os.Getenv("SIM_LOG_SEED"); one != "" {
		s, err := simulate(envNumber(t, "SIM_LOG_SEED", 0))
		t.Logf("seed %s: %v\n%s", one, s.stats, strings.Join(s.history, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := envNumber(t, "SIM_LOG_SEEDS", defaultSeeds)
	from := envNumber(t, "SIM_LOG_FROM", 0)
	begun := time.Now()
	stats, failures := simulateAll(from, seeds)
	took := time.Since(begun)
	t.Logf("%d seeds from %d, %.0f/s: %v", stats.seeds, from, float64(stats.seeds)/took.Seconds(), stats)
	slices.SortFunc(failures, func(a, b simFailure) int { return cmp.Compare(a.steps, b.steps) })
	for i, f := range failures {
		t.Errorf("seed %d, step %d: %v", f.seed, f.steps, f.err)
		if i == 0 {
			t.Logf("history, replayed by make sim-log SEED=%d:\n%s", f.seed, f.history)
		}
	}
}

// simFailure is a history that ended badly.
type simFailure struct {
	seed    uint64
	steps   int
	err     error
	history string
}

// mostFailures is after how many of them no more seeds are tried.
const mostFailures = 20

// simulateAll runs so many seeds on all processors.
func simulateAll(from, seeds uint64) (stats simStats, failures []simFailure) {
	var mu sync.Mutex
	next := from
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= from+seeds && len(failures) < mostFailures
	}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed, more := take(); more; seed, more = take() {
				s, err := simulate(seed)
				mu.Lock()
				stats.add(s.stats)
				stats.seeds++
				if err != nil {
					lines := append([]string{s.settings()}, s.history...)
					failures = append(failures, simFailure{seed, s.stats.steps, err, strings.Join(lines, "\n")})
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return stats, failures
}

func simulate(seed uint64) (*sim, error) {
	s := newSim(seed)
	err := s.caught(func() {
		s.prepare()
		s.run(30 + s.rng.IntN(170))
	})
	return s, err
}

func envNumber(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func (s *sim) settings() string {
	return fmt.Sprintf("segments of %d bytes and %v, marks %v, compress %v, base %v", s.opts.SegmentBytes, s.opts.SegmentAge,
		s.marks, s.opts.Compress, s.base)
}

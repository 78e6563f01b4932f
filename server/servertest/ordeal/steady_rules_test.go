package ordeal

import (
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
)

// Each fault of a server is found.
func TestSteadyRules(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	away := &outage{begin: at(10), gone: at(10.1), end: at(20), back: at(20.1)}
	first, last := 10-nearby.Seconds(), 20.1+nearby.Seconds() // of what a gap may be
	published := map[uint64]time.Time{1: at(9), 2: at(12), 3: at(19), 4: at(22)}
	gap := func(from, to float64) gaps { return gaps{{From: at(from), To: at(to)}} }
	for _, c := range []struct {
		name    string
		numbers []uint64
		gaps    gaps
		whole   bool
		missing int
		sound   bool
	}{
		{"as it should be", []uint64{1, 4}, gap(10, 20), false, 2, true},
		{"as long as it may be", []uint64{1, 4}, gap(first+.1, last-.1), false, 2, true},
		{"in parts", []uint64{1, 4}, append(gap(9, 13), gap(18, 21)...), false, 2, true},
		{"nothing was missed", []uint64{1, 2, 3, 4}, nil, true, 0, true},
		{"nothing was missed and nobody can know", []uint64{1, 2, 3, 4}, nil, false, 0, false},
		{"something was missed shortly before the end", []uint64{1, 2, 4}, gap(18, 21), true, 1, true},
		{"nothing was missed and a gap says more", []uint64{1, 2, 3, 4}, gap(first-1, 21), true, 0, false},
		{"no gap", []uint64{1, 4}, nil, true, 2, false},
		{"one message outside", []uint64{1, 4}, append(gap(9, 13), gap(19.5, 21)...), false, 2, false},
		{"too short at the begin", []uint64{1, 2, 4}, gap(15, 21), false, 1, false},
		{"too short at the end", []uint64{1, 3, 4}, gap(9, 13), false, 1, false},
		{"too long at the begin", []uint64{1, 4}, gap(first-.1, 21), false, 2, false},
		{"too long at the end", []uint64{1, 4}, gap(9, last+.1), false, 2, false},
		{"not recorded afterwards", []uint64{1}, gap(9, 21), false, 0, false},
		{"twice", []uint64{1, 1, 4}, gap(9, 21), false, 0, false},
		{"out of order", []uint64{2, 1, 4}, gap(9, 21), false, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := records{numbers: c.numbers, gaps: c.gaps}
			missing, err := r.hold(published, away, c.whole)
			if missing != c.missing || (err == nil) != c.sound {
				t.Errorf("%d missing, %v; want %d and sound: %v", missing, err, c.missing, c.sound)
			}
		})
	}
	if g := (gaps{{Cause: client.GapRestart}}); g.String() == gaps(nil).String() {
		t.Error("a gap reads like none")
	}
}

package shadow

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/proto/batch"
)

const second = 1000 * ms

func gap(cause batch.GapCause, from, to int64, atLeast uint64) batch.Gap {
	return batch.Gap{Cause: cause, FromTime: from, ToTime: to, AtLeast: atLeast, Counted: true}
}

func due(t *testing.T, g *Gaps, now int64, want ...batch.Gap) []uint64 {
	t.Helper()
	var got []batch.Gap
	var ids []uint64
	for _, d := range g.Due(now) {
		got = append(got, d.Gap)
		ids = append(ids, d.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("due at %d (-want +got):\n%s", now, diff)
	}
	return ids
}

// At most one a second per cause; what comes meanwhile is one gap (2.9).
func TestGapsAreMerged(t *testing.T) {
	t.Parallel()
	var g Gaps
	g.Add(gap(batch.GapNATSDropped, 5, 6, 2), "")
	due(t, &g, start, gap(batch.GapNATSDropped, 5, 6, 2))
	g.Add(gap(batch.GapNATSDropped, 9, 9, 1), "")
	g.Add(gap(batch.GapNATSDropped, 7, 8, 1), "")
	g.Add(gap(batch.GapRestart, 7, 8, 1), "")
	due(t, &g, start+second-1, gap(batch.GapRestart, 7, 8, 1))
	due(t, &g, start+second, gap(batch.GapNATSDropped, 7, 9, 2))
	due(t, &g, start+3*second)
}

// Two brokers may miss the same messages; one never misses a message twice.
func TestGapsOfSeveralBrokers(t *testing.T) {
	t.Parallel()
	var g Gaps
	g.Add(gap(batch.GapHeardElsewhere, 5, 6, 2), "a")
	g.Add(gap(batch.GapHeardElsewhere, 5, 9, 3), "b")
	g.Add(gap(batch.GapHeardElsewhere, 7, 8, 2), "a")
	due(t, &g, start, gap(batch.GapHeardElsewhere, 5, 9, 4))
	unknown := gap(batch.GapHeardElsewhere, 5, 6, 0)
	unknown.Counted = false
	g.Add(gap(batch.GapHeardElsewhere, 5, 6, 2), "a")
	g.Add(unknown, "b")
	want := gap(batch.GapHeardElsewhere, 5, 6, 2)
	want.Counted = false
	due(t, &g, start+second, want)
}

// A gap is kept until a batch that says so is committed: one that is cut is open again.
func TestGapsAreKeptUntilCommitted(t *testing.T) {
	t.Parallel()
	var g Gaps
	first := g.Add(gap(batch.GapRestart, 5, 6, 2), "")
	ids := due(t, &g, start, gap(batch.GapRestart, 5, 6, 2))
	g.Written(ids[0], 7)
	if done := g.Committed(7); len(done) > 0 || g.Len() != 1 {
		t.Errorf("gaps %v at seq 7 are committed at 7", done)
	}
	g.Retry()
	due(t, &g, start+2*second)
	g.Truncated(8)
	due(t, &g, start+2*second)
	g.Truncated(7)
	again := due(t, &g, start+2*second, gap(batch.GapRestart, 5, 6, 2))
	if len(again) != 1 {
		t.Fatal("a gap that was cut is gone")
	}
	g.Written(again[0], 7)
	if diff := cmp.Diff(again, g.Committed(8)); diff != "" || g.Len() != 0 {
		t.Errorf("committed (-want +got), %d are left:\n%s", g.Len(), diff)
	}
	if again[0] == first {
		t.Error("a gap that is open again has the id it had")
	}
}

// Word that a report is committed may come after it was opened again and grew (seed 2481).
func TestGapsDoneLate(t *testing.T) {
	t.Parallel()
	var g Gaps
	g.Add(gap(batch.GapHeardElsewhere, 5, 6, 2), "")
	ids := due(t, &g, start, gap(batch.GapHeardElsewhere, 5, 6, 2))
	g.Retry()
	g.Add(gap(batch.GapHeardElsewhere, 8, 9, 1), "")
	g.Done(ids[0])
	ids = due(t, &g, start+second, gap(batch.GapHeardElsewhere, 5, 9, 3))
	if len(ids) != 1 {
		t.Fatal("what was added to a gap went with it")
	}
	g.Done(ids[0])
	if g.Len() != 0 {
		t.Errorf("%d gaps are left", g.Len())
	}
}

// Gaps that are open again become one of each cause: what a partition without a leader keeps stays small.
func TestGapsStayFew(t *testing.T) {
	t.Parallel()
	var g Gaps
	for i := range int64(50) {
		g.Add(gap(batch.GapRestart, i, i, 1), "")
		g.Due(start + i*second)
		g.Retry()
	}
	if g.Len() != 1 {
		t.Errorf("%d gaps of one cause are kept", g.Len())
	}
}

package shadow

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/proto/batch"
)

// The same function that judged a message before the ring judges it again at promotion (2.5). One that was accepted once
// does not vanish silently (seed 49844).
func TestRefusedIsNotRecovered(t *testing.T) {
	r := newRingTest(t)
	refused := ""
	r.options.Refuse = func(record []byte, _ Fingerprint) bool { return string(record) == refused }
	r.hears("a", start, true)
	r.hears("b", start, true)
	refused = "a"
	r.hears("a", start, false)
	recovery := r.recovers(start+1, "b")
	if diff := cmp.Diff([][]byte{[]byte("ack of a")}, recovery.Refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	want := []batch.Gap{{Cause: batch.GapPaused, FromTime: start, ToTime: start}}
	if diff := cmp.Diff(want, recovery.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// A setting that refusals read has changed: what was heard before, and for a window after, is not recovered (2.5); that
// the leader may have refused it as well makes the gap one of unknown count.
func TestEmptied(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.Empty(batch.GapPaused, start+1)
	r.hears("b", start+2, false)
	r.hears("c", start+2*window, true)
	want := []batch.Gap{{Cause: batch.GapPaused, FromTime: start, ToTime: start + 2, AtLeast: 2}}
	if diff := cmp.Diff(want, r.recovers(start+2*window, "c").Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// What this replica refuses a leader that lags behind may accept: its record is not early (seed 1085).
func TestRefusedHereAndAcceptedThere(t *testing.T) {
	r := newRingTest(t)
	r.options.Refuse = func(record []byte, _ Fingerprint) bool { return string(record) == "a" }
	r.Empty(batch.GapPaused, start)
	r.hears("a", start+1, false)
	r.has(5, start+2)
	if r.Expects(tick, start+3) {
		t.Error("the message of an accepted record is expected again")
	}
	r.hears("a", start+4, false)
	r.reports(r.ticks(start, start+4*window, true))
	if len(r.recovers(start+5*window).Gaps) > 0 || r.Bytes() != 0 {
		t.Errorf("a refused message leaves %d bytes or a gap", r.Bytes())
	}
}

// A message whose record is in the log is not refused, whatever the settings say by now (seed 812).
func TestExpected(t *testing.T) {
	r := newRingTest(t)
	r.has(5, start)
	if !r.Expects(tick, start+1) {
		t.Error("the message of an early record is not expected")
	}
	if r.Expects(tick, start+window) {
		t.Error("the message of an early record is expected after its window")
	}
}

// What a leader refused until another took over is not accepted by that one when it comes late (seed 3470).
func TestRefusedByTheLeaderBefore(t *testing.T) {
	r := newRingTest(t)
	r.recovers(start)
	r.Empty(batch.GapPaused, start+1)
	r.hears("a", start+window/2, false)
	r.hears("b", start+window, true)
	r.Empty(batch.GapPaused, start+2*window)
	r.hears("c", start+2*window+1, true)
	r.Follow(start + 3*window)
	r.Empty(batch.GapPaused, start+3*window)
	r.recovers(start + 3*window + window/2)
	r.hears("d", start+4*window, false)
	r.hears("e", start+5*window, true)
}

// What was in the log when settings changed is not recovered if it is cut later: the next leader may have refused it (seed
// 96315).
func TestCutFromBeforeAChange(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.has(5, start+1)
	r.Empty(batch.GapPaused, start+3*window)
	r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start + 1}}, start+5*window)
	gaps := r.recovers(start + 6*window).Gaps
	if len(gaps) != 1 || gaps[0].FromTime != start || gaps[0].Counted {
		t.Errorf("gaps %+v, want one of unknown count from %d", gaps, start)
	}
}

// A record that is put back without its bytes still expects its message (seed 152916).
func TestLostIsStillExpected(t *testing.T) {
	r := newRingTest(t)
	r.Empty(batch.GapPaused, start)
	r.has(5, start+1)
	r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start + 1}}, start+2)
	r.has(5, start+3)
	r.hears("a", start+4, false)
	r.recovers(start + 2*window)
}

// What was dropped for a change of settings and is not appended either is reported, as many as may be: the leader may
// have refused it (seed 173).
func TestEmptiedIsReported(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.hears("b", start+1, true)
	r.Empty(batch.GapPaused, start+2)
	r.has(5, start+3)
	r.reports(r.ticks(start, start+3*window, true), Report{Cause: batch.GapPaused, First: start + 1, Last: start + 1})
	if r.Bytes() != 0 {
		t.Errorf("the ring keeps %d bytes of nothing", r.Bytes())
	}
}

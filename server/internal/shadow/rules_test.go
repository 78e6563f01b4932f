package shadow

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/proto/batch"
)

// Each test here is a rule, or a fault of one that the simulation found: DESIGN.md names them.

const start = 100 * window

// tick is the fingerprint of messages that look alike.
var tick = Fingerprint{1}

type ringTest struct {
	*Ring
	t *testing.T
}

func newRingTest(t *testing.T) ringTest {
	t.Helper()
	t.Parallel()
	return ringTest{NewRing(Options{WindowNanos: window, MaxBytes: 1 << 20}), t}
}

func (r ringTest) hears(record string, at int64, fresh bool) {
	r.t.Helper()
	if got := r.Hear(Message{Fingerprint: tick, Record: []byte(record), Ack: []byte("ack of " + record)}, at); got != fresh {
		r.t.Errorf("Hear of %q says %v for new, want %v", record, got, fresh)
	}
}

func (r ringTest) has(seq uint64, at int64) {
	r.Appended(Captured{Fingerprint: tick, Seq: seq, Offset: int64(seq), AppendTime: at}, at)
}

func (r ringTest) recovers(at int64, want ...string) Recovery {
	r.t.Helper()
	recovery := r.Promote(at)
	var got []string
	for _, record := range recovery.Records {
		got = append(got, string(record))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("recovered records (-want +got):\n%s", diff)
	}
	return recovery
}

func (r ringTest) settles(seq uint64, want ...string) {
	r.t.Helper()
	var got []string
	for _, s := range r.Committed(seq) {
		got = append(got, string(s.Ack))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("settled at %d (-want +got):\n%s", seq, diff)
	}
}

// ticks lets a time pass in which a leader progresses, or not.
func (r ringTest) ticks(from, to int64, progress bool) []Report {
	var all []Report
	for at := from; at <= to; at += window / 10 {
		all = append(all, r.Tick(at, progress)...)
	}
	return all
}

func (r ringTest) reports(got []Report, want ...Report) {
	r.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// An entry's acknowledgement waits for the commit position, and goes once (2.4).
func TestAcknowledgedAtCommit(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.settles(5)
	r.has(5, start)
	r.recovers(start)
	r.settles(5)
	r.settles(6, "ack of a")
	r.settles(7)
	if r.Bytes() != 0 {
		t.Errorf("the ring keeps %d bytes of nothing", r.Bytes())
	}
}

// A message that is heard after its record was committed is acknowledged then.
func TestAcknowledgedLate(t *testing.T) {
	r := newRingTest(t)
	r.has(5, start)
	r.settles(6)
	r.hears("a", start+1, false)
	r.settles(6, "ack of a")
	r.settles(6)
}

// Of messages that look alike the one that waits longest is the one that was appended, or it would be reported.
func TestOldestMatches(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.hears("b", start+1, true)
	r.has(5, start+2)
	r.settles(6, "ack of a")
	r.recovers(start+3, "b")
}

// Two publications that look alike are two messages.
func TestTwoAlikeAreTwo(t *testing.T) {
	r := newRingTest(t)
	r.has(5, start)
	r.hears("a", start, false)
	r.hears("b", start, true)
	r.recovers(start, "b")
}

// A leader is not to append what the leader before it did.
func TestEarlyAcrossPromotion(t *testing.T) {
	r := newRingTest(t)
	r.has(5, start)
	r.recovers(start)
	r.hears("a", start+window/2, false)
}

// One missed message must not hide every later one that looks like it.
func TestEarlyExpires(t *testing.T) {
	r := newRingTest(t)
	r.has(5, start)
	r.Tick(start+window, true)
	if r.Bytes() != 0 {
		t.Errorf("the ring keeps %d bytes of an early record after its window", r.Bytes())
	}
	r.hears("b", start+window, true)
	r.recovers(start+window, "b")
}

// Truncated records wait again, heard or not (2.4).
func TestCutRecordsWaitAgain(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.has(5, start+1)
	r.has(6, start+2)
	cut := []CutRecord{
		{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start + 1}, {Fingerprint: tick, Record: []byte("b"), Seq: 6, Time: start + 2},
	}
	r.Truncated(5, cut, start+3)
	r.settles(9)
	r.recovers(start+4, "a", "b")
	r.has(5, start+5)
	r.has(6, start+5)
	r.settles(9, "ack of a")
}

// The mark of a cut record ends when its twin arrives: the next one is another message.
func TestUnheardMarkEnds(t *testing.T) {
	r := newRingTest(t)
	r.has(5, start)
	r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start}}, start+1)
	r.hears("a", start+2, false)
	r.hears("b", start+3, true)
	r.recovers(start+4, "a", "b")
}

// The mark of a cut record ends with its window as well.
func TestUnheardMarkExpires(t *testing.T) {
	r := newRingTest(t)
	r.has(5, start)
	r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start}}, start+1)
	r.hears("b", start+window, true)
	r.recovers(start+window+1, "a", "b")
}

// A cut record that the ring knows nothing of expects no message: that one came and went.
func TestUnknownCutRecordIsHeard(t *testing.T) {
	r := newRingTest(t)
	r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start}}, start+1)
	r.hears("b", start+2, true)
	r.recovers(start+3, "a", "b")
}

// A cut record may come back with a batch of an older leader, appended before the one that was cut (seed 2362).
func TestCutRecordMatchesOlder(t *testing.T) {
	r := newRingTest(t)
	r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start + 3*window}}, start+3*window)
	r.Appended(Captured{Fingerprint: tick, Seq: 5, AppendTime: start}, start+3*window)
	r.recovers(start + 3*window)
}

// A record that was appended before this replica listened is not what it hears now.
func TestRecordFromBefore(t *testing.T) {
	r := newRingTest(t)
	r.Incomplete(batch.GapRestart, start-window, start, 0, false)
	r.hears("a", start+1, true)
	r.Appended(Captured{Fingerprint: tick, Seq: 5, AppendTime: start - 1}, start+2)
	r.recovers(start+3, "a")
}

// A cut record does not count as heard after the listening began: it may match what was appended before (seed 91).
func TestCutRecordMatchesFromBefore(t *testing.T) {
	r := newRingTest(t)
	r.Incomplete(batch.GapRestart, start-window, start, 0, false)
	r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start - 3*window}}, start+1)
	r.Appended(Captured{Fingerprint: tick, Seq: 5, AppendTime: start - window}, start+2)
	r.recovers(start + 3)
}

// What was appended while this replica was cut off will not be heard any more, so it hides nothing.
func TestNothingIsExpectedOfAnAbsence(t *testing.T) {
	r := newRingTest(t)
	r.has(5, start)
	r.Incomplete(batch.GapNATSDisconnected, start-1, start+10, 0, false)
	r.hears("a", start+12, true)
	r.Appended(Captured{Fingerprint: tick, Seq: 6, AppendTime: start + 13}, start+13)
	r.Appended(Captured{Fingerprint: tick, Seq: 7, AppendTime: start + 5}, start+14)
	r.hears("b", start+15, true)
	r.recovers(start+16, "b")
}

// A record with a message id ends the waiting of the other messages with it (2.4); they are acknowledged with it (2.7).
func TestMessageIDEndsWaiting(t *testing.T) {
	r := newRingTest(t)
	id := Fingerprint{9}
	first := Message{Fingerprint: Fingerprint{2}, ID: id, Record: []byte("a"), Ack: []byte("ack of a")}
	again := Message{Fingerprint: Fingerprint{3}, ID: id, Record: []byte("b"), Ack: []byte("ack of b")}
	third := Message{Fingerprint: Fingerprint{4}, ID: id, Record: []byte("c"), Ack: []byte("ack of c")}
	r.Hear(first, start)
	r.Hear(again, start+1)
	r.recovers(start+1, "a")
	r.Appended(Captured{Fingerprint: again.Fingerprint, ID: id, Seq: 5, AppendTime: start + 2}, start+2)
	if r.Hear(third, start+3) {
		t.Error("a message whose id is in the log is new")
	}
	r.recovers(start + 4)
	r.settles(6, "ack of b", "ack of a", "ack of c")
	if r.Bytes() != 0 {
		t.Errorf("the ring keeps %d bytes of nothing", r.Bytes())
	}
}

// What a leader had a window's time to append is reported and forgotten (2.4).
func TestOverdueIsReported(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.hears("b", start+5, true)
	r.reports(r.ticks(start, start+window*12/10, true))
	want := Report{Cause: batch.GapHeardElsewhere, First: start, Last: start + 5, Count: 2, Counted: true}
	r.reports(r.ticks(start+window*13/10, start+2*window, true), want)
	r.recovers(start + 2*window)
}

// Time without a leader is no time in which it could have appended.
func TestLeaderlessTimeDoesNotCount(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.ticks(start, start+5*window, false)
	r.reports(r.ticks(start+5*window, start+6*window-window/5, true))
	r.recovers(start+6*window, "a")
}

// A new leader has a whole window.
func TestWindowBeginsAgainWithALeader(t *testing.T) {
	r := newRingTest(t)
	r.hears("a", start, true)
	r.ticks(start, start+window*9/10, true)
	r.Follow(start + window*9/10)
	r.reports(r.ticks(start+window, start+window*15/10, true))
	r.recovers(start+2*window, "a")
}

// Full: the newest is dropped and counted; what is dropped and yet appended is no loss (2.8).
func TestOverflowIsCounted(t *testing.T) {
	r := newRingTest(t)
	r.options.MaxBytes = 8 * overhead
	for i := range 6 {
		r.hears(string(rune('a'+i)), start+int64(i), true)
	}
	r.hears("x", start+10, false)
	recovery := r.recovers(start+12, "a", "b", "c", "d", "e", "f")
	want := []batch.Gap{{Cause: batch.GapRingOverflow, FromTime: start + 10, ToTime: start + 10, AtLeast: 1, Counted: true}}
	if diff := cmp.Diff(want, recovery.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	if r.Bytes() > r.options.MaxBytes {
		t.Errorf("the ring holds %d bytes of at most %d", r.Bytes(), r.options.MaxBytes)
	}
}

// A ring that was too full to remember a record expects any message (seed 32727).
func TestFullRingExpectsAnything(t *testing.T) {
	r := newRingTest(t)
	r.options.MaxBytes = overhead / 2
	r.has(5, start)
	if !r.Expects(Fingerprint{7}, start+window-1) || r.Expects(Fingerprint{7}, start+window) {
		t.Error("a ring that forgot a record expects its message for no window, or for longer")
	}
}

// What a leader drops is never taken for what it appends (seed 1252).
func TestLeaderForgetsWhatItDrops(t *testing.T) {
	r := newRingTest(t)
	r.recovers(start)
	r.options.MaxBytes = overhead
	r.hears("a", start+1, false)
	r.options.MaxBytes = 1 << 20
	r.hears("b", start+2, true)
	r.has(5, start+3)
	if r.Len() != 0 {
		t.Errorf("%d messages wait on a leader that has appended all it was to", r.Len())
	}
	want := Report{Cause: batch.GapRingOverflow, First: start + 1, Last: start + 1, Count: 1, Counted: true}
	r.reports(r.Tick(start+4, false), want)
}

// A ring that missed something says so when its replica leads, and no longer once a leader had time to make it good.
func TestIncompleteRingHasAGap(t *testing.T) {
	r := newRingTest(t)
	r.Incomplete(batch.GapNATSDropped, start, start+1, 3, true)
	r.Incomplete(batch.GapRestart, start, start+2, 0, false)
	want := []batch.Gap{
		{Cause: batch.GapNATSDropped, FromTime: start, ToTime: start + 1, AtLeast: 3, Counted: true},
		{Cause: batch.GapRestart, FromTime: start, ToTime: start + 2},
	}
	if diff := cmp.Diff(want, r.recovers(start+3).Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	r.Follow(start + 4)
	r.Incomplete(batch.GapNATSDropped, start+5, start+6, 3, true)
	r.reports(r.ticks(start+5, start+5+3*window, true))
	if gaps := r.recovers(start + 4*window).Gaps; len(gaps) > 0 {
		t.Errorf("a gap for what a leader had time to append: %+v", gaps)
	}
}

// Acknowledgements are what a full ring gives up first: their records are in the log.
func TestFullRingGivesUpAcknowledgements(t *testing.T) {
	r := newRingTest(t)
	r.options.MaxBytes = 8 * overhead
	for i := range uint64(20) {
		r.hears("a", start+int64(i), true)
		r.has(i, start+int64(i))
	}
	if got := len(r.Committed(math.MaxUint64)); got == 0 || got == 20 {
		t.Errorf("%d of 20 acknowledgements are left, want some", got)
	}
	if r.Bytes() != 0 {
		t.Errorf("the ring keeps %d bytes of nothing", r.Bytes())
	}
}

// Making room for a duplicate's acknowledgement does not take the message it is a duplicate of (seed 1857).
func TestFullRingKeepsWhatItAddsTo(t *testing.T) {
	r := newRingTest(t)
	id := Fingerprint{9}
	r.Hear(Message{Fingerprint: tick, ID: id, Record: []byte("a"), Ack: []byte("ack of a")}, start)
	r.Appended(Captured{Fingerprint: tick, ID: id, Seq: 5, AppendTime: start}, start)
	r.options.MaxBytes = r.Bytes() + 10
	r.Hear(Message{Fingerprint: Fingerprint{2}, ID: id, Record: []byte("b"), Ack: []byte("ack of b")}, start+1)
	r.settles(6, "ack of a")
	if r.Bytes() != 0 {
		t.Errorf("the ring keeps %d bytes of nothing", r.Bytes())
	}
}

// A cut record matches an old record also behind an entry that was heard too late for it (seed 1464).
func TestCutRecordBehindAHeardOne(t *testing.T) {
	r := newRingTest(t)
	r.hears("b", start+2*window, true)
	r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: start + 3*window}}, start+3*window)
	r.Appended(Captured{Fingerprint: tick, Seq: 5, AppendTime: start}, start+3*window)
	r.recovers(start+4*window, "b")
}

// Messages for which there is no room even to count them make a gap of unknown count, with a leader or without.
func TestOverflowBeyondCounting(t *testing.T) {
	r := newRingTest(t)
	r.options.MaxBytes = overhead / 2
	r.hears("a", start, false)
	r.hears("b", start+1, false)
	want := Report{Cause: batch.GapRingOverflow, First: start, Last: start + 1}
	r.reports(r.ticks(start, start+3*window, true), want)
	r.hears("c", start+4*window, false)
	wantGaps := []batch.Gap{{Cause: batch.GapRingOverflow, FromTime: start + 4*window, ToTime: start + 4*window}}
	if diff := cmp.Diff(wantGaps, r.recovers(start+4*window).Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

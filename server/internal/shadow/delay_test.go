package shadow

import (
	"math/rand/v2"
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
)

// A record that a new leader recovered long after its message was heard, and whose message the ring has forgotten since,
// is missed as of when it was heard, and not only as of when it was appended (2.4; seed 201814 of the cluster).
func TestCutRecordHeardLongBefore(t *testing.T) {
	t.Parallel()
	const recovered = start + 4*window
	tests := map[string]struct {
		ack   string
		then  func(r ringTest)
		count uint64
	}{
		"nobody asks for its acknowledgement": {then: func(ringTest) {}, count: 1},
		"its acknowledgement made room for another": {ack: "a", then: func(r ringTest) {
			r.Hear(Message{Fingerprint: Fingerprint{2}, Record: make([]byte, 2*overhead)}, recovered)
		}, count: 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ringTest{NewRing(Options{WindowNanos: window, MaxBytes: 4 * overhead}), t}
			r.Hear(Message{Fingerprint: tick, Record: []byte("a"), Ack: []byte(test.ack)}, start)
			r.recovers(recovered, "a")
			r.has(5, recovered)
			test.then(r)
			if r.matched.head != nil {
				t.Fatal("the ring remembers what it is to have forgotten")
			}
			r.Truncated(5, []CutRecord{{Fingerprint: tick, Record: []byte("a"), Seq: 5, Time: recovered}}, recovered)
			r.Follow(recovered)
			r.reports(r.ticks(recovered, recovered+2*window, true),
				Report{Cause: batch.GapHeardElsewhere, First: start, Last: recovered, Count: test.count, Counted: true})
		})
	}
}

// What is committed cannot be cut: how late it was appended says nothing of what is cut behind it.
func TestDelayEndsWithItsCommit(t *testing.T) {
	r := newRingTest(t)
	r.Hear(Message{Fingerprint: tick, Record: []byte("a")}, start)
	r.recovers(start+4*window, "a")
	r.has(5, start+4*window)
	r.settles(6)
	at := start + 5*window
	var cut []CutRecord
	for seq := uint64(6); len(cut) < delaysKept; seq++ { // each later, and appended with less delay
		heard, appended := at+10*int64(seq)*ms, at+10*int64(seq)*ms+ms*int64(20-seq)
		r.Hear(Message{Fingerprint: tick, Record: []byte("b")}, heard)
		r.has(seq, appended)
		cut = append(cut, CutRecord{Fingerprint: tick, Record: []byte("b"), Seq: seq, Time: appended})
	}
	r.Truncated(6, cut, at+window)
	r.Follow(at + window)
	r.reports(r.ticks(at+window, at+3*window, true), Report{
		Cause: batch.GapHeardElsewhere, First: at + 60*ms, Last: cut[len(cut)-1].Time, Count: delaysKept, Counted: true,
	})
}

func TestDelays(t *testing.T) {
	t.Parallel()
	var d delays
	is := func(seq uint64, want int64) {
		t.Helper()
		if got := d.longest(seq); got != want {
			t.Errorf("the longest delay from %d on is %d, want %d: %v", seq, got, want, d)
		}
	}
	d.note(5, 10)
	d.note(9, 3)
	d.note(7, 4)
	d.note(6, 2)
	is(5, 10)
	is(6, 4)
	is(8, 3)
	is(10, 0)
	d.truncated(8)
	is(7, 4)
	is(8, 0)
	d.committed(6)
	is(1, 4)
	d.committed(8)
	is(1, 0)
}

// Few are kept, and what they say is never too little.
func TestDelaysAreBounds(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var d delays
	var all []delay // all that were noted and not cut or committed
	next, full := uint64(1), 0
	forget := func(which func(delay) bool) {
		var kept []delay
		for _, k := range all {
			if !which(k) {
				kept = append(kept, k)
			}
		}
		all = kept
	}
	for range 20_000 {
		switch from := next - min(next, rng.Uint64N(20)); rng.IntN(30) {
		case 0:
			d.committed(from)
			forget(func(k delay) bool { return k.seq < from })
		case 1:
			d.truncated(from)
			forget(func(k delay) bool { return k.seq >= from })
		default:
			next += rng.Uint64N(3)
			k := delay{next, 1000 - int64(next%100)*10 + rng.Int64N(20)}
			d.note(k.seq, k.nanos)
			all = append(all, k)
		}
		if len(d) > delaysKept {
			t.Fatalf("%d are kept, at most %d are to be", len(d), delaysKept)
		}
		if len(d) == delaysKept {
			full++
		}
		for _, k := range all {
			if got := d.longest(k.seq); got < k.nanos {
				t.Fatalf("the longest delay from %d on is %d, although one was %d: %v", k.seq, got, k.nanos, d)
			}
		}
	}
	if full == 0 {
		t.Error("there were never as many as are kept")
	}
}

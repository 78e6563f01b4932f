package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
)

// laneWorld is a lane, a server that judges by protocol.md 1.6, and what is between them: a connection that keeps order and
// breaks, and the ends of those that have broken, out of which copies still come.
type laneWorld struct {
	rng  *rand.Rand
	lane lane
	now  time.Time

	sent    []*parcel // all that ever were, in their order
	waiting []*parcel // in the end, to be placed anew
	link    []transit
	remains [][]transit

	grows bool // at some time partitions are added
	grown bool // the server knows of them

	known  bool
	last   number
	stored []int64 // offsets of the last batches of the epoch, five at most
	log    []string
}

// transit is a copy of a batch under way, and its answer on the way back.
type transit struct {
	b        *parcel
	number   number
	placed   bool // it says among how many partitions
	values   []string
	answered bool
	ack      Ack
	err      error
}

func newLaneWorld(seed uint64) *laneWorld {
	return &laneWorld{rng: rand.New(rand.NewPCG(seed, 1)), lane: lane{stream: "s"}, now: time.Unix(0, 0)}
}

// step does one thing that can happen.
func (w *laneWorld) step(values *int, faults bool) {
	switch n := w.rng.IntN(100); {
	case n < 25:
		size := []int{1, 100, 9 << 10, 130 << 10}[w.rng.IntN(4)]
		f := w.lane.add(&batch.Record{Value: []byte(strconv.Itoa(*values))}, size, func() []byte { return nil })
		if !slices.Contains(w.sent, f.parcel) {
			w.sent = append(w.sent, f.parcel)
		}
		*values++
	case n < 55:
		w.serve(faults)
	case n < 85:
		w.hear()
	case n < 90 && faults:
		w.cut()
	case n < 93 && faults && len(w.remains) > 0:
		w.haunt()
	case n < 94 && faults:
		w.now = w.now.Add(time.Second)
	case n < 95 && w.grows:
		w.grown = true
	}
	w.send()
}

func (w *laneWorld) send() {
	for b := w.lane.next(); b != nil; b = w.lane.next() {
		w.link = append(w.link, transit{b: b, number: b.number, placed: b.mayBeRefused(), values: valuesOf(b.records)})
	}
}

func valuesOf(encoded []byte) (values []string) {
	records, err := batch.ParseRecords(encoded)
	for err == nil {
		var r batch.Record
		var more bool
		if _, more, err = records.Next(&r); !more {
			break
		}
		values = append(values, string(r.Value))
	}
	return values
}

// serve has the server judge the next batch that has arrived.
func (w *laneWorld) serve(faults bool) {
	for i := range w.link {
		if !w.link[i].answered {
			w.judge(&w.link[i], faults)
			return
		}
	}
}

// judge answers one copy of a batch.
func (w *laneWorld) judge(t *transit, faults bool) {
	t.answered = true
	producer := map[string]string{"producer_id": "1"}
	next := number{epoch: w.last.epoch, sequence: w.last.sequence + 1}
	back := int(w.last.sequence) - int(t.number.sequence)
	switch sameEpoch := w.known && t.number.epoch == w.last.epoch; {
	case w.grown && t.placed:
		t.err = newError(reasonStalePartitions, "there are more")
	case faults && w.rng.IntN(12) == 0:
		t.err = newError("NOT_ENOUGH_REPLICAS", "one is away")
	case faults && w.rng.IntN(40) == 0:
		t.err = newError("PAUSED", "it is paused")
	case w.known && t.number.epoch < w.last.epoch:
		t.err = newError("FENCED", "a later epoch has begun")
	case sameEpoch && back >= 0 && back < len(w.stored):
		t.ack.Offset = w.stored[len(w.stored)-1-back]
	case sameEpoch && back >= 0:
		t.err = &Error{Names: producer, kind: ErrOutcomeUnknown}
	case sameEpoch && t.number != next, w.known && !sameEpoch && t.number.sequence != 0:
		t.err = newError("SEQUENCE_GAP", "one before it is missing")
	case !w.known && t.number.sequence != 0:
		t.err = &Error{Names: producer, kind: ErrOutcomeUnknown}
	default:
		if !sameEpoch {
			w.stored = nil
		}
		w.known, w.last = true, t.number
		t.ack.Offset = int64(len(w.log))
		w.stored = append(w.stored, t.ack.Offset)
		w.stored = w.stored[max(0, len(w.stored)-5):]
		w.log = append(w.log, t.values...)
		if faults && w.rng.IntN(30) == 0 {
			t.err = newError(reasonOutcomeUnknown, "the disk says nothing")
		}
	}
}

// hear has the lane hear the next answer.
func (w *laneWorld) hear() {
	if len(w.link) == 0 || !w.link[0].answered {
		return
	}
	t := w.link[0]
	w.link = w.link[1:]
	w.told(t.b, t.ack, t.err)
}

// cut breaks the connection: the lane hears no more answers of it, and the server what had left.
func (w *laneWorld) cut() {
	lost := w.link
	w.link = nil
	var rest []transit
	for _, t := range lost {
		if !t.answered {
			rest = append(rest, t)
		}
	}
	w.remains = append(w.remains, rest)
	for _, t := range lost {
		w.told(t.b, Ack{}, newError(reasonOutcomeUnknown, "the connection broke"))
	}
}

// haunt brings the server a copy that was sent before the connection broke, or loses the rest of them.
func (w *laneWorld) haunt() {
	i := w.rng.IntN(len(w.remains))
	if len(w.remains[i]) == 0 || w.rng.IntN(8) == 0 {
		w.remains = slices.Delete(w.remains, i, i+1)
		return
	}
	w.judge(&w.remains[i][0], false)
	w.remains[i] = w.remains[i][1:]
}

// told is what a producer does with an answer.
func (w *laneWorld) told(b *parcel, ack Ack, err error) {
	w.lane.answer(b, ack, err)
	w.finish(w.lane.stored())
	if w.lane.unresolved() {
		w.finish(w.lane.resolve(retrying{now: w.now, forTime: 5 * time.Second}))
	}
	w.lane.stopped = w.lane.stopped || len(w.lane.stale) > 0 // so does a producer
}

func (w *laneWorld) finish(batches []*parcel) {
	for _, b := range batches {
		close(b.settled)
	}
}

// check compares what was told with what is stored.
func (w *laneWorld) check(t *testing.T) {
	t.Helper()
	last := -1
	for _, value := range w.log {
		n, err := strconv.Atoi(value)
		if err != nil || n <= last {
			t.Fatalf("%s is stored behind %d: %v", value, last, err)
		}
		last = n
	}
	w.waiting = w.lane.moveOut()
	if !slices.IsSortedFunc(w.waiting, func(a, b *parcel) int { return slices.Index(w.sent, a) - slices.Index(w.sent, b) }) {
		t.Fatal("what is to be placed anew is not in the order in which it was sent")
	}
	for i, b := range w.sent {
		select {
		case <-b.settled:
		default:
			if slices.Contains(w.waiting, b) {
				w.checkAbsent(t, b)
				continue
			}
			t.Fatalf("batch %d of %d is not settled: %+v", i, len(w.sent), b)
		}
		values := valuesOf(b.records)
		at := slices.Index(w.log, values[0])
		whole := at >= 0 && at+len(values) <= len(w.log) && slices.Equal(w.log[at:at+len(values)], values)
		switch {
		case b.err == nil && (!whole || b.ack.Offset != int64(at)):
			t.Fatalf("batch %d was acknowledged at %d and is at %d", i, b.ack.Offset, at)
		case b.err != nil && !errors.Is(b.err, ErrOutcomeUnknown) && at >= 0:
			t.Fatalf("batch %d was refused, %v, and is stored at %d", i, b.err, at)
		case at >= 0 && !whole:
			t.Fatalf("batch %d is stored in part", i)
		}
	}
}

// checkAbsent: what is placed anew is not stored where it was, nor is anything that was sent behind it.
func (w *laneWorld) checkAbsent(t *testing.T, b *parcel) {
	t.Helper()
	for _, value := range valuesOf(b.records) {
		n, err := strconv.Atoi(value)
		if slices.ContainsFunc(w.log, func(stored string) bool {
			m, errStored := strconv.Atoi(stored)
			return err != nil || errStored != nil || m >= n
		}) {
			t.Fatalf("%s is to be placed anew, and it or what was sent behind it is stored", value)
		}
	}
}

// TestLaneNumbers: nothing leaves behind a failure until all is answered, what was certainly not stored leaves its number to
// the next, and what may be leaves its epoch.
func TestLaneNumbers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want []number
	}{
		"a no":        {newError("PAUSED", "it is paused"), []number{{0, 0}, {0, 1}}},
		"unknown":     {newError(reasonOutcomeUnknown, "lost"), []number{{0, 0}, {0, 1}, {0, 2}}},
		"passes":      {newError(reasonUnavailable, "away"), []number{{0, 0}, {0, 1}, {0, 2}}},
		"gap":         {newError("SEQUENCE_GAP", "gap"), []number{{1, 0}, {1, 1}, {1, 2}}},
		"not known":   {&Error{Names: map[string]string{"producer_id": "1"}, kind: ErrOutcomeUnknown}, []number{{1, 0}, {1, 1}, {1, 2}}},
		"no, unknown": {newError("PAUSED", "it is paused"), []number{{1, 0}, {1, 1}}},
	} {
		w := newLaneWorld(0)
		for range 2 {
			w.lane.add(&batch.Record{}, 1, func() []byte { return nil })
			w.send()
		}
		w.lane.add(&batch.Record{}, parcelBytes, func() []byte { return nil })
		first, second := w.link[0].b, w.link[1].b
		w.told(first, Ack{}, test.err)
		if w.send(); len(w.link) != 2 {
			t.Errorf("%s: a batch left behind one that failed", name)
		}
		behind := newError("SEQUENCE_GAP", "one before it is missing")
		if name == "no, unknown" {
			behind = newError(reasonOutcomeUnknown, "lost")
		}
		w.link = nil
		w.told(second, Ack{}, behind)
		w.send()
		var got []number
		for _, t := range w.link {
			got = append(got, t.number)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: sent again as %v, want %v", name, got, test.want)
		}
	}
}

// TestLaneBarred: what is refused for good is not sent again with what stands before it, and what stands behind it waits.
func TestLaneBarred(t *testing.T) {
	t.Parallel()
	w := newLaneWorld(0)
	for range 3 {
		w.lane.add(&batch.Record{}, parcelBytes, func() []byte { return nil })
		w.send()
	}
	first, second, third := w.link[0].b, w.link[1].b, w.link[2].b
	w.link = nil
	w.told(first, Ack{}, newError(reasonOutcomeUnknown, "the connection broke"))
	w.told(second, Ack{}, newError(reasonTooLarge, "it is too large"))
	w.told(third, Ack{}, newError(reasonUnavailable, "the connection broke"))
	if w.send(); len(w.link) != 1 || w.link[0].b != first {
		t.Fatalf("%d batches are sent again, want the first only", len(w.link))
	}
	w.link = nil
	w.told(first, Ack{}, nil)
	if w.send(); len(w.link) != 1 || w.link[0].b != third || third.number != (number{0, 1}) || second.attempts != 1 {
		t.Errorf("%d batches are sent once the first is stored, the last as %v, want that under the second number", len(w.link), third.number)
	}
	<-second.settled
	if !errors.Is(second.err, ErrTooLarge) {
		t.Errorf("got %v of what is too large", second.err)
	}
}

// TestLane is S11 without a network: whatever breaks and whatever still comes out of what broke, batches are stored in their
// order, once where the lane says that they are, never where it says no, and at most once where it does not know.
func TestLane(t *testing.T) {
	t.Parallel()
	outcomes := map[string]int{}
	for seed := range uint64(4000) {
		w := newLaneWorld(seed)
		w.grows = seed%4 == 0
		w.lane.crowded, w.lane.window = seed%3 == 0, window{messages: 8, bytes: 1 << 20}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			values := 0
			for range 300 {
				w.step(&values, true)
			}
			for len(w.lane.flight) > 0 || len(w.lane.queue) > 0 && !w.lane.stopped { // now all goes well
				w.send()
				w.serve(false)
				w.hear()
			}
			for len(w.remains) > 0 {
				w.haunt()
			}
			w.check(t)
		})
		for _, b := range w.sent {
			switch {
			case slices.Contains(w.waiting, b):
				outcomes["placed anew"]++
			case b.err == nil && b.attempts > 1:
				outcomes["stored after several attempts"]++
			case b.err == nil:
				outcomes["stored"]++
			case errors.Is(b.err, ErrOutcomeUnknown):
				outcomes["unknown"]++
			default:
				outcomes["refused"]++
			}
		}
		outcomes["epochs"] += int(w.lane.number.epoch)
	}
	t.Log(outcomes)
	for _, outcome := range []string{"placed anew", "stored after several attempts", "stored", "unknown", "refused", "epochs"} {
		if outcomes[outcome] < 100 {
			t.Errorf("%d times %q, want it to happen", outcomes[outcome], outcome)
		}
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// numbered appends batches of that many messages, whose values are their offsets.
func numbered(t testing.TB, log *fakeLog, sizes ...int) (values []string) {
	t.Helper()
	for _, size := range sizes {
		_, next := log.bounds()
		var batch []string
		for i := range size {
			batch = append(batch, fmt.Sprint(next+int64(i)))
		}
		log.appendValues(t, batch...)
		values = append(values, batch...)
	}
	return values
}

func TestNextMessagesAndBatchesMix(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	want := numbered(t, server.log(0), 3, 400, 1, 250)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest(), client.UntilLatest())
	var got []string
	for len(got) < len(want) {
		m, err := sub.Next(within(t))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Value))
		for m, err := range sub.Messages(within(t)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(m.Value))
			break
		}
		for run, err := range sub.Batches(within(t)) {
			if err != nil || len(run) == 0 {
				t.Fatalf("a run of %d messages (%v)", len(run), err)
			}
			for _, m := range run {
				got = append(got, string(m.Value))
			}
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d messages in another order or with others, want %d", len(got), len(want))
	}
	if _, err := sub.Next(within(t)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: got %v, want io.EOF", err)
	}
	for run, err := range sub.Batches(within(t)) {
		t.Errorf("a loop over batches goes on after the end: %d messages (%v)", len(run), err)
	}
}

func TestNextIsBoundByItsContext(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	if _, err := collect(ctx, sub); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a loop: got %v, want context.DeadlineExceeded", err)
	}
	server.log(0).appendValues(t, "after")
	if m, err := sub.Next(within(t)); err != nil || string(m.Value) != "after" {
		t.Errorf("the subscription does not go on: got %v (%v)", m, err)
	}
}

func TestStopDiscards(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 2)
	numbered(t, server.log(0), 1000)
	numbered(t, server.log(1), 1000)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest())
	read := 0
	for _, err := range sub.Messages(within(t)) {
		if err != nil {
			t.Fatalf("Stop in a loop: got %v, want its end without an error", err)
		}
		if read++; read == 5 {
			sub.Stop()
		}
	}
	if read != 5 {
		t.Errorf("read %d messages, want none after the 5th", read)
	}
	sub.Stop()
	if _, err := sub.Next(within(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("afterwards: got %v, want ErrClosed", err)
	}
	server.awaitReads(t, 0)
}

func TestStopWakesNext(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s)
	next := make(chan error)
	go func() {
		_, err := sub.Next(within(t))
		next <- err
	}()
	sub.Stop()
	if err := <-next; !errors.Is(err, client.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestDrainHandsOutWhatWasReceived(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	want := numbered(t, server.log(0), 1000)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest())
	m, err := sub.Next(within(t))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{string(m.Value)}

	drained := make(chan error, 1)
	go func() { drained <- sub.Drain(within(t)) }()
	server.awaitReads(t, 0) // now nothing more can arrive
	numbered(t, server.log(0), 1)
	for len(got) < len(want) {
		m, err := sub.Next(within(t))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Value))
	}
	if !slices.Equal(got, want) {
		t.Error("what was received was not handed out as it was")
	}
	for range 10 { // time enough for a Drain that does not wait to return
		if _, err := s.Info(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-drained:
		t.Errorf("Drain returned (%v) before the last message was handled", err)
	default:
	}
	if m, err := sub.Next(within(t)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: got %v (%v), want io.EOF", m, err)
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
}

func TestDrainThatTakesTooLongIsStop(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	numbered(t, server.log(0), 1000)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest())
	if _, err := sub.Next(within(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := sub.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain: got %v, want context.DeadlineExceeded", err)
	}
	if _, err := sub.Next(within(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("afterwards: got %v, want ErrClosed", err)
	}
}

func TestDrainOfWhatHasEnded(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	s := connect(t, server.listen(t).addr).Stream("orders")
	ended := subscribe(t, s, client.FromEarliest(), client.UntilLatest())
	if _, err := collect(within(t), ended); err != nil {
		t.Fatal(err)
	}
	if err := ended.Drain(within(t)); err != nil {
		t.Errorf("at the stop position: %v", err)
	}
	stopped := subscribe(t, s)
	stopped.Stop()
	if err := stopped.Drain(within(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("stopped: got %v, want ErrClosed", err)
	}
}

func TestCloseEndsSubscriptions(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 2)
	numbered(t, server.log(0), 1000)
	c := connect(t, server.listen(t).addr)
	sub := subscribe(t, c.Stream("orders"), client.FromEarliest())
	if _, err := sub.Next(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if values, err := collect(within(t), sub); !errors.Is(err, client.ErrClosed) || len(values) != 0 {
		t.Errorf("got %d messages and %v, want ErrClosed: a loop that Close ends is told", len(values), err)
	}
}

func TestASubscriptionThatHasEndedIsForgotten(t *testing.T) {
	t.Parallel()
	s := connect(t, newFakeServer("orders", 1).listen(t).addr).Stream("orders")
	held := func() weak.Pointer[client.Subscription] {
		sub, err := s.Subscribe(within(t))
		if err != nil {
			t.Fatal(err)
		}
		sub.Stop()
		return weak.Make(sub)
	}()
	for ctx := within(t); held.Value() != nil; runtime.GC() {
		if ctx.Err() != nil {
			t.Fatal("the client holds on to a subscription that was stopped")
		}
	}
}

func TestGapsComeInTheirPlace(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	log := server.log(0)
	gap := func(cause batch.GapCause, atLeast uint64) batch.Control {
		return batch.Control{Kind: batch.ControlGap, Gap: batch.Gap{Cause: cause, FromTime: 1, ToTime: 2, AtLeast: atLeast, Counted: atLeast > 0}}
	}
	log.appendControl(t, batch.Control{Kind: batch.ControlEpoch, Epoch: 1})
	log.appendValues(t, "0", "1")
	log.appendControl(t, gap(batch.GapRestart, 0))
	log.appendControl(t, gap(batch.GapTooLarge, 7))
	log.appendValues(t, "2")
	log.appendControl(t, batch.Control{Kind: batch.ControlUnclean, Unclean: batch.Unclean{LeaderEpoch: 2}})
	log.append(t, batch.AppendControl(nil, &batch.Control{})) // of a kind that is not known
	log.appendControl(t, gap(99, 0))
	log.appendValues(t, "3")
	s := connect(t, server.listen(t).addr).Stream("orders")

	var got []string
	sub := subscribe(t, s, client.FromEarliest(), client.UntilLatest(), client.OnGap(func(partition int, g client.Gap) {
		got = append(got, fmt.Sprintf("gap before %d in %d: %s, %d or more, %d to %d", g.Offset, partition, g.Cause, g.AtLeast, g.From.UnixNano(), g.To.UnixNano()))
	}))
	for m, err := range sub.Messages(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Value))
	}
	want := []string{
		"0", "1", "gap before 2 in 0: restart, 0 or more, 1 to 2", "gap before 2 in 0: too_large, 7 or more, 1 to 2",
		"2", "gap before 3 in 0: 99, 0 or more, 1 to 2", "3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages and gaps (-want +got):\n%s", diff)
	}
	values, err := collect(within(t), subscribe(t, s, client.FromEarliest(), client.UntilLatest()))
	if err != nil || !slices.Equal(values, []string{"0", "1", "2", "3"}) {
		t.Errorf("by one who does not ask for gaps: got %q (%v)", values, err)
	}
}

func TestBackwardsIsNewestFirst(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	want := numbered(t, server.log(0), 3, 300, 1, 5)
	slices.Reverse(want)
	s := connect(t, server.listen(t).addr).Stream("orders")
	got, err := collect(within(t), subscribe(t, s, client.Backwards()))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q (%v), want %d messages from the newest to the oldest", got, err, len(want))
	}
	got, err = collect(within(t), subscribe(t, s, client.Backwards(), client.FromOffset(4), client.UntilOffset(1)))
	if err != nil || !slices.Equal(got, []string{"4", "3", "2"}) {
		t.Errorf("from 4 until 1: got %q (%v)", got, err)
	}
}

func TestBatchesLargerThanAskedFor(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	log := server.log(0)
	want := []string{"small", strings.Repeat("l", 3<<20), "small", strings.Repeat("L", 9<<20), "small"}
	for _, value := range want {
		log.appendValues(t, value)
	}
	s := connect(t, server.listen(t).addr).Stream("orders")
	got, err := collect(within(t), subscribe(t, s, client.FromEarliest(), client.UntilLatest()))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d messages (%v), want %d", len(got), err, len(want))
	}
	var asked []uint32
	for _, req := range server.requests() {
		asked = append(asked, req.GetMaxResponseBytes())
	}
	if want := []uint32{1 << 20, uint32(log.batches[1].Size), uint32(log.batches[3].Size)}; !slices.Equal(asked, want) {
		t.Errorf("asked for responses of %d bytes, want %d", asked, want)
	}
}

func TestWhatIsNotReadIsNotReceived(t *testing.T) {
	t.Parallel()
	const limit = 5 << 20 // a response in hand, one under way, and what gRPC holds at both ends
	stalled, busy := newFakeServer("orders", 1), newFakeServer("orders", 1)
	value := strings.Repeat("v", 64<<10)
	for range 512 { // 32 MiB
		stalled.log(0).appendValues(t, value)
		busy.log(0).appendValues(t, value)
	}
	first := connect(t, stalled.listen(t).addr).Stream("orders")
	if _, err := subscribe(t, first, client.FromEarliest()).Next(within(t)); err != nil {
		t.Fatal(err)
	}
	// While one reader stands still, another reads as much as the first could.
	second := connect(t, busy.listen(t).addr).Stream("orders")
	if values, err := collect(within(t), subscribe(t, second, client.FromEarliest(), client.UntilLatest())); err != nil || len(values) != 512 {
		t.Fatalf("read %d messages (%v)", len(values), err)
	}
	stalled.with(func() {
		if stalled.sentBytes > limit {
			t.Errorf("%d bytes were sent to one who reads nothing, want %d at most", stalled.sentBytes, limit)
		}
	})
}

func TestManyPartitionsShareWhatIsHeld(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 16)
	s := connect(t, server.listen(t).addr).Stream("orders")
	subscribe(t, s)
	asked := 0
	for _, req := range server.requests() {
		asked += int(req.GetMaxResponseBytes())
	}
	if asked != 4<<20 {
		t.Errorf("16 partitions ask for responses of %d bytes together, want 4 MiB", asked)
	}
}

func TestAReadOnlyPartitionEnds(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	want := numbered(t, server.log(0), 2)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest())
	go func() { server.endReads <- nil }()
	got, err := collect(within(t), sub)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the server has nothing more to send: got %q (%v), want the messages and the end", got, err)
	}
}

func TestAServerThatConfirmsNothing(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	server.onRead = func(*trestlev1.SubscribeRequest) error { return errEndAtOnce }
	s := connect(t, server.listen(t).addr).Stream("orders")
	if _, err := s.Subscribe(within(t)); !errors.Is(err, client.ErrInternal) || !strings.Contains(err.Error(), "before it had begun") {
		t.Errorf("got %v, want ErrInternal that says that the call was over at once", err)
	}
}

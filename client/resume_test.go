package client_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// randomLog appends batches of random sizes with gaps between them, and returns what one sees who reads it all.
func randomLog(t *testing.T, log *fakeLog, rng *rand.Rand, batches int) (events []string) {
	t.Helper()
	for range batches {
		if rng.IntN(4) == 0 {
			h := log.appendControl(t, batch.Control{Kind: batch.ControlGap, Gap: batch.Gap{Cause: batch.GapRestart, AtLeast: rng.Uint64(), Counted: true}})
			gap, err := batch.ParseControl(h.BodyOf(log.batches[len(log.batches)-1].bytes))
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, fmt.Sprintf("gap of %d before %d", gap.Gap.AtLeast, h.BaseOffset))
		}
		var values []string
		_, next := log.bounds()
		for i := range 1 + rng.IntN(50) {
			values = append(values, fmt.Sprintf("%d: %d", next+int64(i), rng.Uint64()))
		}
		log.appendValues(t, values...)
		events = append(events, values...)
	}
	return events
}

// events reads to the end, and returns messages and gaps in the order in which they came.
func events(t *testing.T, s *client.Stream, opts ...client.SubscribeOption) (events []string) {
	t.Helper()
	opts = append(opts, client.OnGap(func(_ int, g client.Gap) {
		events = append(events, fmt.Sprintf("gap of %d before %d", g.AtLeast, g.Offset))
	}))
	for m, err := range subscribe(t, s, opts...).Messages(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, string(m.Value))
	}
	return events
}

func TestEveryMessageOnceHoweverOftenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	for _, backwards := range []bool{false, true} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("backwards %t, seed %d", backwards, seed), func(t *testing.T) {
				t.Parallel()
				rng := rand.New(rand.NewPCG(seed, 0))
				server := newFakeServer("orders", 1)
				server.responseBytes = 2 << 10
				want := randomLog(t, server.log(0), rng, 300)
				opts := []client.SubscribeOption{client.FromEarliest(), client.UntilLatest()}
				if backwards {
					slices.Reverse(want)
					opts = []client.SubscribeOption{client.Backwards()}
				}
				// A connection lives long enough for a response, and seldom for thirty.
				p := newProxy(t, server.listen(t).addr, func() int64 { return 4<<10 + rng.Int64N(60<<10) })
				got := events(t, connect(t, p.addr).Stream("orders"), opts...)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("messages and gaps (-want +got):\n%s", diff)
				}
				if n := p.connections(); n < 5 {
					t.Errorf("there were %d connections, too few to prove anything", n)
				}
			})
		}
	}
}

func TestPartitionsResumeEachForItself(t *testing.T) {
	t.Parallel()
	const partitions = 3
	rng := rand.New(rand.NewPCG(7, 0))
	server := newFakeServer("orders", partitions)
	server.responseBytes = 2 << 10
	want := make([][]string, partitions)
	for p := range partitions {
		want[p] = numbered(t, server.log(p), slices.Repeat([]int{7}, 300)...)
	}
	p := newProxy(t, server.listen(t).addr, func() int64 { return 16<<10 + rng.Int64N(60<<10) })
	s := connect(t, p.addr).Stream("orders")
	sub, err := s.Subscribe(within(t), client.FromEarliest(), client.UntilLatest())
	for errors.Is(err, client.ErrUnavailable) { // broke before all partitions were confirmed
		sub, err = s.Subscribe(within(t), client.FromEarliest(), client.UntilLatest())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	if diff := cmp.Diff(want, byPartition(t, sub, partitions)); diff != "" {
		t.Errorf("messages by partition (-want +got):\n%s", diff)
	}
	if n := p.connections(); n < 5 {
		t.Errorf("there were %d connections, too few to prove anything", n)
	}
}

// TestPositionsAreThoseOfTheFirstCall breaks the connection before anything was read, and lets the log grow meanwhile:
// the positions that the server was asked for stay where they were.
func TestPositionsAreThoseOfTheFirstCall(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts []client.SubscribeOption
		want []string // of 0 to 4 before the break and 5 to 7 after it
	}{
		{"new", []client.SubscribeOption{client.FromNew(), client.UntilOffset(8)}, []string{"5", "6", "7"}},
		{"latest", []client.SubscribeOption{client.FromLatest(), client.UntilOffset(8)}, []string{"4", "5", "6", "7"}},
		{"last", []client.SubscribeOption{client.FromLast(2), client.UntilOffset(8)}, []string{"3", "4", "5", "6", "7"}},
		{"last of more than there are", []client.SubscribeOption{client.FromLast(9), client.UntilOffset(7)}, []string{"1", "2", "3", "4", "5", "6"}},
		{"earliest", []client.SubscribeOption{client.FromEarliest(), client.UntilOffset(6)}, []string{"1", "2", "3", "4", "5"}},
		{"until latest", []client.SubscribeOption{client.FromEarliest(), client.UntilLatest()}, []string{"1", "2", "3", "4"}},
		{"backwards", []client.SubscribeOption{client.Backwards()}, []string{"4", "3", "2", "1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newFakeServer("orders", 1)
			log := server.log(0)
			numbered(t, log, 1, 4)
			log.logStart = 1
			server.silent = true // confirms, and sends nothing
			s := connect(t, server.listen(t).addr).Stream("orders")
			sub := subscribe(t, s, test.opts...)
			numbered(t, log, 3)
			server.with(func() { server.silent = false })
			server.endReads <- answer(codes.Unavailable, "SHUTTING_DOWN", "going down", nil)
			got, err := collect(within(t), sub)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q (%v), want %q", got, err, test.want)
			}
			if n := len(server.requests()); n != 2 {
				t.Errorf("asked %d times, want 2", n)
			}
		})
	}
}

func TestNothingIsAskedForWhenTheStopPositionIsReached(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	want := numbered(t, server.log(0), 2, 2)
	server.endless = true // does not end by itself
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest(), client.UntilLatest())
	for range want {
		if _, err := sub.Next(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	server.endReads <- answer(codes.Unavailable, "SHUTTING_DOWN", "going down", nil)
	if values, err := collect(within(t), sub); err != nil || len(values) != 0 {
		t.Errorf("got %q (%v), want the end", values, err)
	}
	if n := len(server.requests()); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

func TestADefiniteErrorEndsTheSubscription(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	want := numbered(t, server.log(0), 3)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest())
	server.with(func() {
		server.onRead = func(*trestlev1.SubscribeRequest) error {
			return answer(codes.OutOfRange, "OFFSET_GONE", "offset 3 is gone", nil)
		}
	})
	server.endReads <- answer(codes.Unavailable, "SHUTTING_DOWN", "going down", nil)
	got, err := collect(within(t), sub)
	if !errors.Is(err, client.ErrOffsetGone) || err.Error() != "offset 3 is gone" || !slices.Equal(got, want) {
		t.Errorf("got %q and %v, want %q and what the server said", got, err, want)
	}
	if _, err := sub.Next(within(t)); !errors.Is(err, client.ErrOffsetGone) {
		t.Errorf("afterwards: got %v, want the same", err)
	}
}

func TestAServerThatGoesBackIsNotBelieved(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	log := server.log(0)
	numbered(t, log, 3, 2)
	log.batches[1] = log.batches[0] // offsets 0 to 2 twice
	s := connect(t, server.listen(t).addr).Stream("orders")
	got, err := collect(within(t), subscribe(t, s, client.FromEarliest()))
	if !errors.Is(err, client.ErrCorruptData) || !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("got %q and %v, want the first three and ErrCorruptData", got, err)
	}
}

func TestReadingGoesOnAtAnotherServer(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1) // one log, by two listeners
	server.responseBytes = 1 << 10
	a, b := server.listen(t), server.listen(t)
	want := numbered(t, server.log(0), slices.Repeat([]int{10}, 200)...)
	s := connect(t, a.addr+","+b.addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest(), client.UntilLatest())
	var got []string
	for m, err := range sub.Messages(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(m.Value)); len(got) == 500 {
			a.stop()
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d messages, or not those, want %d", len(got), len(want))
	}
}

func TestReadingGoesOnWhenTheServerIsBack(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	first := server.listen(t)
	s := connect(t, first.addr).Stream("orders")
	sub := subscribe(t, s)
	server.log(0).appendValues(t, "before")
	if m, err := sub.Next(within(t)); err != nil || string(m.Value) != "before" {
		t.Fatalf("got %v (%v)", m, err)
	}
	first.stop()
	server.log(0).appendValues(t, "meanwhile")
	server.listenAt(t, first.addr)
	for _, want := range []string{"meanwhile", "after"} {
		if want == "after" {
			server.log(0).appendValues(t, want)
		}
		if m, err := sub.Next(within(t)); err != nil || string(m.Value) != want {
			t.Fatalf("got %v (%v), want %q", m, err, want)
		}
	}
}

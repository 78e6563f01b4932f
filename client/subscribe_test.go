package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/client"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// collect reads to the end, and returns the values.
func collect(ctx context.Context, sub *client.Subscription) (values []string, err error) {
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return values, err
		}
		values = append(values, string(m.Value))
	}
	return values, nil
}

// byPartition reads to the end, and returns the values of each partition. It wants all offsets in order, from 0 on.
func byPartition(t *testing.T, sub *client.Subscription, partitions int) [][]string {
	t.Helper()
	values := make([][]string, partitions)
	for m, err := range sub.Messages(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Offset != int64(len(values[m.Partition])) {
			t.Fatalf("partition %d: offset %d came after %d messages", m.Partition, m.Offset, len(values[m.Partition]))
		}
		values[m.Partition] = append(values[m.Partition], string(m.Value))
	}
	return values
}

// subscribe subscribes until the test is over.
func subscribe(t testing.TB, s *client.Stream, opts ...client.SubscribeOption) *client.Subscription {
	t.Helper()
	sub, err := s.Subscribe(within(t), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Stop)
	return sub
}

func TestSubscribeAsksForPositions(t *testing.T) {
	t.Parallel()
	newOnly := &trestlev1.Position{At: &trestlev1.Position_NewOnly{NewOnly: true}}
	latest := &trestlev1.Position{At: &trestlev1.Position_Latest{Latest: true}}
	offset := func(o int64) *trestlev1.Position {
		return &trestlev1.Position{At: &trestlev1.Position_Offset{Offset: o}}
	}
	at := time.Unix(1_800_000_000, 7)
	atTime := &trestlev1.Position{At: &trestlev1.Position_Time{Time: at.UnixNano()}}
	tests := []struct {
		name string
		opts []client.SubscribeOption
		want *trestlev1.SubscribeRequest
	}{
		{"default", nil, &trestlev1.SubscribeRequest{Start: newOnly}},
		{"new", []client.SubscribeOption{client.FromNew()}, &trestlev1.SubscribeRequest{Start: newOnly}},
		{"earliest to latest", []client.SubscribeOption{client.FromEarliest(), client.UntilLatest()}, &trestlev1.SubscribeRequest{
			Start: &trestlev1.Position{At: &trestlev1.Position_Earliest{Earliest: true}}, Stop: latest,
		}},
		{"latest", []client.SubscribeOption{client.FromLatest()}, &trestlev1.SubscribeRequest{Start: latest}},
		{"offsets", []client.SubscribeOption{client.FromOffset(0), client.UntilOffset(1)}, &trestlev1.SubscribeRequest{
			Start: offset(0), Stop: offset(1),
		}},
		{"times", []client.SubscribeOption{client.FromTime(at), client.UntilTime(at)}, &trestlev1.SubscribeRequest{Start: atTime, Stop: atTime}},
		{"times beyond all", []client.SubscribeOption{client.FromTime(time.Time{}), client.UntilTime(time.Unix(1<<40, 0))}, &trestlev1.SubscribeRequest{
			Start: &trestlev1.Position{At: &trestlev1.Position_Time{Time: math.MinInt64}},
			Stop:  &trestlev1.Position{At: &trestlev1.Position_Time{Time: math.MaxInt64}},
		}},
		{"last", []client.SubscribeOption{client.FromLast(3)}, &trestlev1.SubscribeRequest{
			Start: &trestlev1.Position{At: &trestlev1.Position_Last{Last: 3}},
		}},
		{"backwards", []client.SubscribeOption{client.Backwards()}, &trestlev1.SubscribeRequest{Start: latest, Backwards: true}},
		{"backwards from an offset", []client.SubscribeOption{client.Backwards(), client.FromOffset(1)}, &trestlev1.SubscribeRequest{
			Start: offset(1), Backwards: true,
		}},
	}
	server := newFakeServer("orders", 1)
	server.log(0).appendValues(t, "0", "1", "2")
	s := connect(t, server.listen(t).addr).Stream("orders")
	for _, test := range tests {
		server.with(func() { server.subscribed = nil })
		sub, err := s.Subscribe(within(t), test.opts...)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		sub.Stop()
		test.want.Stream, test.want.View, test.want.MaxResponseBytes = "orders", trestlev1.View_VIEW_BATCHES, 1<<20
		if diff := cmp.Diff([]*trestlev1.SubscribeRequest{test.want}, server.requests(), protocmp.Transform()); diff != "" {
			t.Errorf("%s: request (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestFromAgoIsATime(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	s := connect(t, server.listen(t).addr).Stream("orders")
	before := time.Now()
	sub := subscribe(t, s, client.FromAgo(time.Hour))
	sub.Stop()
	got := time.Unix(0, server.requests()[0].GetStart().GetTime())
	if got.Before(before.Add(-time.Hour)) || got.After(time.Now().Add(-time.Hour)) {
		t.Errorf("began at %v, want an hour ago", got)
	}
}

func TestSubscribeRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 3)
	s := connect(t, server.listen(t).addr).Stream("orders")
	for name, opts := range map[string][]client.SubscribeOption{
		"a partition below 0":         {client.Partitions(-1)},
		"a partition twice":           {client.Partitions(1, 2, 1)},
		"an offset of all partitions": {client.FromOffset(4)},
		"an end offset of two":        {client.UntilOffset(4), client.Partitions(0, 1)},
		"what is new, read backwards": {client.FromNew(), client.Backwards()},
	} {
		if _, err := s.Subscribe(within(t), opts...); !errors.Is(err, client.ErrInvalidArgument) {
			t.Errorf("%s: got %v, want an invalid argument", name, err)
		}
	}
	if n := len(server.requests()); n != 0 {
		t.Errorf("%d requests were sent, want none", n)
	}
}

func TestSubscribePassesOnWhatTheServerSays(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 3)
	listening := server.listen(t)
	s := connect(t, listening.addr).Stream("orders")
	server.onRead = func(req *trestlev1.SubscribeRequest) error {
		if req.GetPartition() == 2 {
			return answer(codes.Unimplemented, "UNIMPLEMENTED", "not yet", nil)
		}
		return nil
	}
	if _, err := s.Subscribe(within(t)); !errors.Is(err, client.ErrUnimplemented) || err.Error() != "not yet" {
		t.Errorf("one partition refused: got %v, want what the server said", err)
	}
	server.awaitReads(t, 0)
	if _, err := s.Subscribe(within(t), client.Partitions(0, 9)); !errors.Is(err, client.ErrPartitionNotFound) {
		t.Errorf("no such partition: got %v, want ErrPartitionNotFound", err)
	}

	server.with(func() { server.onRead = nil })
	listening.stop()
	if _, err := s.Subscribe(within(t), client.Partitions(0)); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("no server: got %v, want ErrUnavailable at once", err)
	}
}

func TestSubscribeReturnsWhenConfirmed(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	s := connect(t, server.listen(t).addr).Stream("orders")
	asked, confirm := make(chan struct{}), make(chan struct{})
	server.onRead = func(*trestlev1.SubscribeRequest) error {
		close(asked)
		<-confirm
		return nil
	}
	type result struct {
		sub *client.Subscription
		err error
	}
	returned := make(chan result, 1)
	go func() {
		sub, err := s.Subscribe(within(t))
		returned <- result{sub, err}
	}()
	<-asked
	select {
	case r := <-returned:
		t.Fatalf("Subscribe returned %v before the server confirmed", r)
	default:
	}
	close(confirm)
	r := <-returned
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer r.sub.Stop()
	server.log(0).appendValues(t, "new")
	m, err := r.sub.Next(within(t))
	if err != nil || string(m.Value) != "new" {
		t.Errorf("what was published next: got %v (%v)", m, err)
	}
}

func TestSubscribeIsBoundByItsContext(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	s := connect(t, server.listen(t).addr).Stream("orders")
	ctx, cancel := context.WithCancel(within(t))
	confirm := make(chan struct{})
	server.onRead = func(*trestlev1.SubscribeRequest) error {
		cancel()
		<-confirm
		return nil
	}
	if _, err := s.Subscribe(ctx, client.Partitions(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	close(confirm)

	server.with(func() { server.onRead = nil })
	ctx, cancel = context.WithCancel(within(t))
	sub, err := s.Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	cancel()
	server.log(0).appendValues(t, "later")
	if m, err := sub.Next(within(t)); err != nil || string(m.Value) != "later" {
		t.Errorf("once subscribed, its context no longer counts: got %v (%v)", m, err)
	}
}

func TestSubscribeReadsAllPartitions(t *testing.T) {
	t.Parallel()
	const partitions, batches = 5, 40
	server := newFakeServer("orders", partitions)
	server.responseBytes = 1 << 10
	want := make([][]string, partitions)
	for p := range partitions {
		for i := range batches {
			values := []string{fmt.Sprintf("%d-%d-a", p, i), fmt.Sprintf("%d-%d-b", p, i)}
			server.log(p).appendValues(t, values...)
			want[p] = append(want[p], values...)
		}
	}
	s := connect(t, server.listen(t).addr).Stream("orders")
	got := byPartition(t, subscribe(t, s, client.FromEarliest(), client.UntilLatest()), partitions)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages by partition (-want +got):\n%s", diff)
	}

	server.with(func() { server.subscribed = nil })
	values, err := collect(within(t), subscribe(t, s, client.FromEarliest(), client.UntilLatest(), client.Partitions(3)))
	if err != nil || !slices.Equal(values, want[3]) {
		t.Errorf("one partition: got %d messages (%v), want those of it", len(values), err)
	}
	if requests := server.requests(); len(requests) != 1 || requests[0].GetPartition() != 3 {
		t.Errorf("one partition: asked for %v", requests)
	}
}

func TestAStreamThatIsEmptyEndsAtItsEnd(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 2)
	s := connect(t, server.listen(t).addr).Stream("orders")
	sub := subscribe(t, s, client.FromEarliest(), client.UntilLatest())
	for range 2 {
		if m, err := sub.Next(within(t)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v (%v), want io.EOF", m, err)
		}
	}
}

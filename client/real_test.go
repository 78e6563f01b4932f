package client_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

// The tests of this file are against a real broker: what the fake one does is what a real one does.

// stream makes stream orders with so many partitions on a broker of its own, with a dedup window that outlives the test.
func stream(t *testing.T, partitions int) (*servertest.Cluster, *client.Stream) {
	t.Helper()
	cluster := servertest.Start(t, 1)
	c := connect(t, cluster.Addrs())
	s, err := c.CreateStream(within(t), client.StreamConfig{Name: "orders", Subjects: []string{"orders"}, Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	return cluster, s
}

// values are those of a partition, from the oldest on.
func values(t *testing.T, s *client.Stream, opts ...client.SubscribeOption) []string {
	t.Helper()
	got, err := collect(within(t), subscribe(t, s, opts...))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestRealOnceHoweverOftenTheConnectionBreaks is S11: 200 connections cut, no message twice, none missing, all in order.
func TestRealOnceHoweverOftenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	cluster, s := stream(t, 2)
	rng := rand.New(rand.NewPCG(1, 2))
	proxy := newProxy(t, cluster.Addrs(), func() int64 { return 60 + rng.Int64N(1000) })
	checkOnce(t, proxy, connect(t, cluster.Addrs()), 200, func(partition int) []string {
		return values(t, s, client.Partitions(partition), client.FromEarliest(), client.UntilLatest())
	})
}

// TestRealChanges: what can be changed about a stream.
func TestRealChanges(t *testing.T) {
	t.Parallel()
	_, s := stream(t, 1)
	ctx := within(t)
	if err := s.Update(ctx, func(c *client.StreamConfig) { c.RetainAge, c.RetainMessages = time.Hour, 1000 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(ctx, func(c *client.StreamConfig) { c.RetainAge = client.None }); err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(ctx)
	if err != nil || info.Config.RetainAge != client.None || info.Config.RetainMessages != 1000 {
		t.Errorf("got %+v, %v, want no age and 1000 messages", info.Config, err)
	}
	if err := s.Update(ctx, func(c *client.StreamConfig) { c.KeyHash = client.KeyHashCRC32 }); !errors.Is(err, client.ErrInvalidArgument) && !errors.Is(err, client.ErrUnimplemented) {
		t.Errorf("got %v for another hash, want that it is for ever", err)
	}
	if err := s.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(ctx, []byte("v")); !errors.Is(err, client.ErrPaused) {
		t.Errorf("got %v of a stream that is paused, want ErrPaused", err)
	}
	if err := s.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(ctx, []byte("v")); err != nil {
		t.Errorf("got %v of a stream that is resumed", err)
	}
	if err := s.SetReadOnly(ctx, true, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(ctx, []byte("v")); !errors.Is(err, client.ErrReadOnly) {
		t.Errorf("got %v of a stream that is read-only, want ErrReadOnly", err)
	}
	if got := values(t, s, client.FromEarliest()); !cmp.Equal(got, []string{"v"}) { // it ends by itself
		t.Errorf("got %q of a stream that is read-only, want v", got)
	}
	if err := s.SetReadOnly(ctx, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Info(ctx); !errors.Is(err, client.ErrStreamNotFound) {
		t.Errorf("got %v of a stream that is deleted, want ErrStreamNotFound", err)
	}
}

// TestRealPositions: every start and end there is, forwards and backwards.
func TestRealPositions(t *testing.T) {
	t.Parallel()
	_, s := stream(t, 1)
	ctx := within(t)
	var times []time.Time
	for i := range 10 {
		ack, err := s.Publish(ctx, fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, ack.Time)
	}
	if err := s.Cursor("billing", 0).Set(ctx, 7); err != nil {
		t.Fatal(err)
	}
	latest := client.UntilLatest()
	for name, test := range map[string]struct {
		opts []client.SubscribeOption
		want string
	}{
		"earliest":              {[]client.SubscribeOption{client.FromEarliest(), latest}, "0123456789"},
		"latest":                {[]client.SubscribeOption{client.FromLatest(), latest}, "9"},
		"offset":                {[]client.SubscribeOption{client.FromOffset(3), client.UntilOffset(6)}, "345"},
		"last":                  {[]client.SubscribeOption{client.FromLast(4), latest}, "6789"},
		"last, more than all":   {[]client.SubscribeOption{client.FromLast(400), latest}, "0123456789"},
		"time":                  {[]client.SubscribeOption{client.FromTime(times[4]), client.UntilTime(times[7])}, "456"},
		"ago":                   {[]client.SubscribeOption{client.FromAgo(time.Hour), latest}, "0123456789"},
		"cursor":                {[]client.SubscribeOption{client.FromCursor("billing"), latest}, "789"},
		"backwards":             {[]client.SubscribeOption{client.Backwards()}, "9876543210"},
		"backwards, from there": {[]client.SubscribeOption{client.Backwards(), client.FromOffset(5), client.UntilOffset(2)}, "543"},
		"backwards, the last":   {[]client.SubscribeOption{client.Backwards(), client.FromTime(times[2])}, "210"},
	} {
		got := ""
		for _, value := range values(t, s, test.opts...) {
			got += value
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
	for offset := range int64(10) {
		if m, err := s.Get(ctx, 0, offset); err != nil || string(m.Value) != fmt.Sprint(offset) {
			t.Errorf("Get %d: %v, %v", offset, m, err)
		}
	}
	if _, err := s.Get(ctx, 0, 10); !errors.Is(err, client.ErrOffsetBeyondEnd) {
		t.Errorf("Get of the end: %v, want ErrOffsetBeyondEnd", err)
	}
	if _, err := s.Subscribe(ctx, client.FromCursor("none")); !errors.Is(err, client.ErrCursorNotFound) {
		t.Errorf("got %v of a cursor that there is not, want ErrCursorNotFound", err)
	}
}

func TestRealCursors(t *testing.T) {
	t.Parallel()
	_, s := stream(t, 2)
	ctx := within(t)
	ack, err := s.Publish(ctx, []byte("v"), client.To(1))
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Get(ctx, 1, ack.Offset)
	if err != nil {
		t.Fatal(err)
	}
	billing := s.Cursor("billing", 1)
	if _, err := billing.Get(ctx); !errors.Is(err, client.ErrCursorNotFound) {
		t.Errorf("got %v of a cursor that was never set, want ErrCursorNotFound", err)
	}
	if err := errors.Join(s.Cursor("audit", 0).Set(ctx, 0), billing.SetAfter(ctx, m), s.Cursor("billing", 0).Set(ctx, 0)); err != nil {
		t.Fatal(err)
	}
	got, err := billing.Get(ctx)
	if err != nil || got.NextOffset != 1 || got.LeaderEpoch != m.LeaderEpoch || m.LeaderEpoch == 0 || time.Since(got.Time) > time.Minute {
		t.Errorf("got %+v, %v, want offset 1 in epoch %d, set just now", got, err, m.LeaderEpoch)
	}
	var listed []string
	for c, err := range s.Cursors(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, fmt.Sprintf("%s %s/%d@%d", c.ID, c.Stream, c.Partition, c.NextOffset))
	}
	if want := []string{"audit orders/0@0", "billing orders/0@0", "billing orders/1@1"}; !cmp.Equal(listed, want) {
		t.Errorf("got %q, want %q", listed, want)
	}
	if err := errors.Join(billing.Delete(ctx), billing.Delete(ctx)); err != nil {
		t.Error(err)
	}
	if _, err := billing.Get(ctx); !errors.Is(err, client.ErrCursorNotFound) {
		t.Errorf("got %v of a cursor that was deleted, want ErrCursorNotFound", err)
	}
	if err := s.Cursor("", 0).Set(ctx, 1); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("got %v for an empty ID, want ErrInvalidArgument", err)
	}
	if err := s.Cursor("billing", -1).Set(ctx, 1); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("got %v for partition -1, want ErrInvalidArgument", err)
	}
}

func TestRealServerInfo(t *testing.T) {
	t.Parallel()
	cluster := servertest.Start(t, 1)
	ready := cluster.Brokers[0].Ready()
	info, err := connect(t, cluster.Addrs()).Server(within(t))
	if err != nil || info.ID != ready.ID || info.GRPCAddress != ready.GRPC || info.NATSURL != ready.NATS || info.Limits.MessageBytes == 0 {
		t.Errorf("got %+v, %v, want what it said when it was ready: %+v", info, err, ready)
	}
	if len(info.Brokers) != 1 || info.Brokers[0].Name != ready.ID || !info.Brokers[0].Live {
		t.Errorf("got brokers %+v, want itself, live", info.Brokers)
	}
}

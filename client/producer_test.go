package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/metadata/keyhash"
	"github.com/trestlehq/trestle/proto/codec"
)

// TestProducerKeepsOrder: messages come in batches, each to its partition, in the order in which they were sent, and
// every future says where its own is.
func TestProducerKeepsOrder(t *testing.T) {
	t.Parallel()
	const partitions = 3
	server := newFakeServer("orders", partitions)
	s := connect(t, server.listen(t).addr).Stream("orders")
	p := s.Producer(client.ProducerConfig{})
	want, ctx := make([][]string, partitions), within(t)
	var futures []*client.Future
	sent := make([]string, 10_000)
	for i := range sent {
		sent[i] = fmt.Sprintf("message %d", i)
		key := fmt.Sprint(i % 17)
		partition := int(keyhash.Murmur3([]byte(key)) % partitions)
		want[partition] = append(want[partition], sent[i])
		futures = append(futures, p.Send(ctx, client.Message{Key: []byte(key), Value: []byte(sent[i])}))
	}
	if err := p.Flush(within(t)); err != nil {
		t.Error(err)
	}
	for i, f := range futures {
		select {
		case <-f.Done():
		default:
			t.Fatalf("message %d is not settled after Flush", i)
		}
		ack, err := f.Ack(within(t))
		if err != nil || want[ack.Partition][ack.Offset] != sent[i] || ack.Count != 1 || ack.Stream != "orders" {
			t.Fatalf("message %d: got %+v, %v, and there is %q", i, ack, err, want[ack.Partition][ack.Offset])
		}
	}
	for i := range partitions {
		if got := server.log(i).values(); !slices.Equal(got, want[i]) {
			t.Errorf("partition %d: got %d messages, want these %d in order", i, len(got), len(want[i]))
		}
	}
	if n := len(server.published); n > 5000 {
		t.Errorf("there were %d batches for 10000 messages", n)
	}
	if err := p.Close(within(t)); err != nil {
		t.Error(err)
	}
	if _, err := p.Send(within(t), client.Message{}).Ack(within(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("got %v of a producer that is closed, want ErrClosed", err)
	}
}

// TestProducerChoosesOnce: a message that waits for room keeps its turn.
func TestProducerChoosesOnce(t *testing.T) {
	t.Parallel()
	const partitions, each = 2, 50
	server := newFakeServer("orders", partitions)
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{Partitioner: client.RoundRobin(), MaxInFlight: 1})
	for range partitions * each {
		p.Send(within(t), client.Message{Value: []byte("v")})
	}
	if err := p.Close(within(t)); err != nil {
		t.Error(err)
	}
	for i := range partitions {
		if n := len(server.log(i).values()); n != each {
			t.Errorf("partition %d has %d messages, want %d", i, n, each)
		}
	}
}

// TestProducerOnceHoweverOftenTheConnectionBreaks is S11 for a client whose connections break.
func TestProducerOnceHoweverOftenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 0))
			server := newFakeServer("orders", 2)
			// A connection lives long enough for its first answer, and seldom for thirty: they break before an answer, within
			// it and behind it.
			proxy := newProxy(t, server.listen(t).addr, func() int64 { return 60 + rng.Int64N(1500) })
			checkOnce(t, proxy, connect(t, server.listen(t).addr), 50, func(partition int) []string { return server.log(partition).values() })
		})
	}
}

// checkOnce sends through the proxy until so many connections have broken, to the two partitions of stream orders, and
// compares with what is stored.
func checkOnce(t *testing.T, proxy *proxy, direct *client.Client, cuts int, stored func(partition int) []string) {
	t.Helper()
	if _, err := direct.Stream("orders").Info(within(t)); err != nil {
		t.Fatal(err)
	}
	var c *client.Client
	for c == nil { // the first connection may break, too
		var err error
		if c, err = client.Connect(within(t), proxy.addr); err != nil && !errors.Is(err, client.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	p := c.Stream("orders").Producer(client.ProducerConfig{Partitioner: client.RoundRobin(), MaxInFlight: 64, MaxBufferedBytes: 2 << 10})
	var futures []*client.Future
	var sent []string
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // a disk that others use may take a second for an answer
	defer cancel()
	for proxy.connections() < cuts && ctx.Err() == nil {
		value := fmt.Sprintf("message %d", len(sent))
		sent = append(sent, value)
		futures = append(futures, p.Send(ctx, client.Message{Value: []byte(value)}))
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	all := [][]string{stored(0), stored(1)}
	for i, f := range futures {
		ack, err := f.Ack(within(t))
		if err != nil {
			t.Fatalf("message %d of %d: %v", i, len(sent), err)
		}
		if got := all[ack.Partition][ack.Offset]; got != sent[i] {
			t.Fatalf("message %d: its ack says %d@%d, where %q is", i, ack.Partition, ack.Offset, got)
		}
	}
	if got := len(all[0]) + len(all[1]); got != len(sent) {
		t.Errorf("%d messages are stored, %d were sent", got, len(sent))
	}
	for partition, values := range all {
		last := -1
		for _, value := range values {
			var n int
			if _, err := fmt.Sscanf(value, "message %d", &n); err != nil || n <= last {
				t.Fatalf("partition %d: %q comes after message %d", partition, value, last)
			}
			last = n
		}
	}
	t.Logf("%d messages over %d connections", len(sent), proxy.connections())
}

// TestProducerWaitsForRoom: no more is in flight than was said.
func TestProducerWaitsForRoom(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]client.ProducerConfig{
		"messages": {MaxInFlight: 3}, "bytes": {MaxBufferedBytes: 3 * 104},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, release := newFakeServer("orders", 1), make(chan struct{})
			server.onPublish = func(context.Context, *codec.PublishRequest) error { <-release; return nil }
			s := connect(t, server.listen(t).addr).Stream("orders")
			waiting := s.Producer(cfg)
			cfg.NonBlocking = true
			refusing := s.Producer(cfg)
			m := client.Message{Value: make([]byte, 100)}
			for range 3 {
				waiting.Send(within(t), m)
				refusing.Send(within(t), m)
			}
			short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := waiting.Send(short, m).Ack(within(t)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v where there is no room, want that the deadline passed", err)
			}
			if _, err := refusing.Send(within(t), m).Ack(within(t)); !errors.Is(err, client.ErrTooManyInFlight) {
				t.Errorf("got %v where there is no room, want ErrTooManyInFlight", err)
			}
			sent := make(chan *client.Future)
			go func() { sent <- waiting.Send(within(t), m) }()
			close(release)
			if _, err := (<-sent).Ack(within(t)); err != nil {
				t.Errorf("got %v once there was room", err)
			}
			for _, p := range []*client.Producer{waiting, refusing} {
				if err := p.Close(within(t)); err == nil { // the message that had no room
					t.Error("Close does not tell of the message that failed")
				}
			}
		})
	}
}

// TestProducerTellsOfErrors: by the future, by OnError, by Flush; and what comes later is not held up.
func TestProducerTellsOfErrors(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	server.onPublish = func(context.Context, *codec.PublishRequest) error {
		return answer(codes.FailedPrecondition, "PAUSED", "it is paused", nil)
	}
	var mu sync.Mutex
	var told []string
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{OnError: func(m *client.Message, err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf("%s=%s %v", m.Key, m.Value, errors.Is(err, client.ErrPaused)))
	}})
	one := p.Send(within(t), client.Message{Key: []byte("a"), Value: []byte("1")})
	two := p.Send(within(t), client.Message{Key: []byte("b"), Value: []byte("2")})
	for _, f := range []*client.Future{one, two} {
		if _, err := f.Ack(within(t)); !errors.Is(err, client.ErrPaused) {
			t.Errorf("got %v, want ErrPaused", err)
		}
	}
	if want := []string{"a=1 true", "b=2 true"}; !slices.Equal(told, want) {
		t.Errorf("OnError was told %q, want %q", told, want)
	}
	if err := p.Flush(within(t)); !errors.Is(err, client.ErrPaused) {
		t.Errorf("Flush: got %v, want ErrPaused", err)
	}
	server.with(func() { server.onPublish = nil })
	if ack, err := p.Send(within(t), client.Message{Value: []byte("3")}).Ack(within(t)); err != nil || ack.Offset != 0 {
		t.Errorf("got %+v, %v once it is not paused, want offset 0", ack, err)
	}
	if err := p.Close(within(t)); err != nil {
		t.Errorf("Close tells again of what Flush has told: %v", err)
	}
}

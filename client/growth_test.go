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
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/metadata/keyhash"
	"github.com/trestlehq/trestle/proto/codec"
)

// growing sends messages of some keys while partitions are added.
type growing struct {
	keys    int
	sent    map[string]int // by key
	futures []*client.Future
	values  []string
}

func (g *growing) send(ctx context.Context, p *client.Producer) {
	if g.sent == nil {
		g.sent = map[string]int{}
	}
	key := fmt.Sprint(len(g.futures) % g.keys)
	value := fmt.Sprintf("%s %d", key, g.sent[key])
	g.sent[key]++
	g.futures = append(g.futures, p.Send(ctx, client.Message{Key: []byte(key), Value: []byte(value)}))
	g.values = append(g.values, value)
}

// check compares with what is stored, by partition: each message once, where its ack says, those of a key in their order in
// each partition, and each where it belongs among no fewer partitions than the one of its key before.
func (g *growing) check(t *testing.T, stored [][]string) {
	t.Helper()
	among := map[string]int{} // partitions, by key
	for i, f := range g.futures {
		ack, err := f.Ack(within(t))
		if err != nil || ack.Offset < 0 || int(ack.Offset) >= len(stored[ack.Partition]) || stored[ack.Partition][ack.Offset] != g.values[i] {
			t.Fatalf("message %q: got %+v, %v, and it is not there", g.values[i], ack, err)
		}
		var key string
		if _, err := fmt.Sscan(g.values[i], &key); err != nil {
			t.Fatal(err)
		}
		n := max(among[key], 1)
		for n < len(stored) && keyhash.Partition(keyhash.Murmur3([]byte(key)), n) != ack.Partition {
			n++
		}
		if among[key] = n; keyhash.Partition(keyhash.Murmur3([]byte(key)), n) != ack.Partition {
			t.Fatalf("%q is in partition %d, which its key does not have among as many partitions as the message before it", g.values[i], ack.Partition)
		}
	}
	total := 0
	for _, values := range stored {
		total += len(values)
		next := map[string]int{}
		for _, value := range values {
			var key string
			var n int
			if _, err := fmt.Sscan(value, &key, &n); err != nil || n < next[key] {
				t.Fatalf("%q comes behind message %d of its key", value, next[key]-1)
			}
			next[key] = n + 1
		}
	}
	if total != len(g.values) {
		t.Errorf("%d messages are stored, %d were sent", total, len(g.values))
	}
}

// protocol.md 3.15: partitions are added under a producer again and again, with batches on their way, waiting, and being
// sent. It goes on with all of them, by itself.
func TestProducerLearnsOfNewPartitions(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{MaxInFlight: 500})
	g, ctx := growing{keys: 23}, within(t)
	for i := range 5000 {
		if i > 0 && i%700 == 0 {
			server.grow()
		}
		g.send(ctx, p)
	}
	if err := p.Flush(ctx); err != nil {
		t.Error(err)
	}
	for i, f := range g.futures {
		select {
		case <-f.Done():
		default:
			t.Fatalf("message %d is not settled after Flush", i)
		}
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	var stored [][]string
	for i := range 8 {
		if stored = append(stored, server.log(i).values()); len(stored[i]) == 0 {
			t.Errorf("nothing is in partition %d", i)
		}
	}
	g.check(t, stored)
}

// TestProducerKnowsWhatWasStoredBeforeGrowth: a batch whose ack was lost is not placed anew, for it may be stored; nor is its
// outcome unknown, for the server knows it again.
func TestProducerKnowsWhatWasStoredBeforeGrowth(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{true, false} {
		server := newFakeServer("orders", 1)
		lost := status.Error(codes.Unavailable, "connection lost")
		var once sync.Once
		lose := func() (err error) {
			once.Do(func() {
				server.grow()
				err = lost
			})
			return err
		}
		if stored {
			server.afterStore = func(context.Context) error { return lose() }
		} else {
			server.onPublish = func(context.Context, *codec.PublishRequest) error { return lose() }
		}
		p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{})
		ack, err := p.Send(within(t), client.Message{Key: []byte("user-1"), Value: []byte("first")}).Ack(within(t))
		if err != nil || ack.Partition != 0 {
			t.Errorf("stored %v: got %+v, %v, want it once where it was sent", stored, ack, err)
		}
		if got := slices.Concat(server.log(0).values(), server.log(1).values()); !slices.Equal(got, []string{"first"}) {
			t.Errorf("stored %v: got %q stored, want it once", stored, got)
		}
		if err := p.Close(within(t)); err != nil {
			t.Error(err)
		}
	}
}

// TestProducerCannotPlaceAnew: what is refused fails with a no when nobody says how many partitions there are.
func TestProducerCannotPlaceAnew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		refuse error // what the server says of the stream; nil: that it is as it was
		want   error
	}{
		"the stream is gone":              {noStream("orders"), client.ErrStreamNotFound},
		"nobody answers":                  {answer(codes.Unavailable, "SHUTTING_DOWN", "it stops", nil), client.ErrUnavailable},
		"there are as many as there were": {nil, client.ErrStalePartitions},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFakeServer("orders", 1)
			p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{RetryFor: 50 * time.Millisecond})
			if err := sendOne(t, p, "first"); err != nil {
				t.Fatal(err)
			}
			server.with(func() {
				server.refuse = test.refuse
				server.onPublish = func(context.Context, *codec.PublishRequest) error {
					return answer(codes.Aborted, "STALE_PARTITIONS", "there are others", nil)
				}
			})
			if err := sendOne(t, p, "second"); !errors.Is(err, test.want) || errors.Is(err, client.ErrOutcomeUnknown) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			server.with(func() { server.refuse, server.onPublish = nil, nil })
			if err := sendOne(t, p, "third"); err != nil {
				t.Errorf("got %v once all is well", err)
			}
			if err := p.Close(within(t)); !errors.Is(err, test.want) {
				t.Errorf("Close: got %v, want what had failed", err)
			}
		})
	}
}

// TestProducerClosesWhileItGrows: what waits to be placed anew is certain not to be stored, and nothing hangs.
func TestProducerClosesWhileItGrows(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	stale := make(chan struct{}, 100)
	server.onPublish = func(context.Context, *codec.PublishRequest) error {
		stale <- struct{}{}
		return answer(codes.Aborted, "STALE_PARTITIONS", "there are others", nil)
	}
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{})
	first := p.Send(within(t), client.Message{Value: []byte("first")})
	<-stale
	second := p.Send(within(t), client.Message{Value: []byte("second")})
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Close(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: got %v, want that the deadline passed", err)
	}
	for _, f := range []*client.Future{first, second} {
		if _, err := f.Ack(within(t)); err == nil || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("got %v of what was refused or never sent, want a no", err)
		}
	}
}

// TestProducerTellsOfMessagesPlacedAnew: a partitioner that has no place for a message among more partitions fails that one
// only, and OnError is told of it once.
func TestProducerTellsOfMessagesPlacedAnew(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 2)
	hold := make(chan struct{})
	server.onPublish = func(context.Context, *codec.PublishRequest) error { <-hold; return nil }
	var told []string
	p := connect(t, server.listen(t).addr).Stream("orders").Producer(client.ProducerConfig{
		Partitioner: lostAmongThree{},
		OnError:     func(m *client.Message, err error) { told = append(told, fmt.Sprintf("%s %s", m.Key, m.Value)) },
	})
	var futures []*client.Future
	for _, key := range []string{"a", "lost", "b"} {
		futures = append(futures, p.Send(within(t), client.Message{Key: []byte(key), Value: []byte("v")}))
	}
	server.grow()
	close(hold)
	for i, f := range futures {
		ack, err := f.Ack(within(t))
		if lost := i == 1; lost != errors.Is(err, client.ErrInvalidArgument) || !lost && (err != nil || ack.Partition != 2) {
			t.Errorf("message %d: got %+v, %v", i, ack, err)
		}
	}
	if !slices.Equal(told, []string{"lost v"}) {
		t.Errorf("OnError was told %q", told)
	}
	if err := p.Close(within(t)); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("Close: got %v, want the message that has no place", err)
	}
}

// lostAmongThree finds the last partition, and none for key "lost" when there are three.
type lostAmongThree struct{}

func (lostAmongThree) Partition(m *client.Message, partitions int) int {
	if partitions == 3 && string(m.Key) == "lost" {
		return -1
	}
	return partitions - 1
}

// TestRealProducerLearnsOfNewPartitions is protocol.md 3.15 and S11 together, against a real broker: connections break and
// partitions are added.
func TestRealProducerLearnsOfNewPartitions(t *testing.T) {
	t.Parallel()
	cluster, s := stream(t, 1)
	rng := rand.New(rand.NewPCG(11, 12))
	first := true
	proxy := newProxy(t, cluster.Addrs(), func() int64 {
		if first { // by which the client learns what to send to
			first = false
			return 8 << 10
		}
		return 200 + rng.Int64N(3000)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c, err := client.Connect(ctx, proxy.addr)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Stream(s.Name()).Producer(client.ProducerConfig{MaxInFlight: 200})
	g, partitions := growing{keys: 17}, 1
	for ; proxy.connections() < 60 && ctx.Err() == nil; g.send(ctx, p) {
		if proxy.connections()/10 >= partitions {
			partitions++
			if err := s.Update(ctx, func(c *client.StreamConfig) { c.Partitions = partitions }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(p.Close(ctx), c.Close()); err != nil {
		t.Fatal(err)
	}
	var stored [][]string
	for i := range partitions {
		stored = append(stored, values(t, s, client.Partitions(i), client.FromEarliest(), client.UntilLatest()))
	}
	t.Logf("%d messages over %d connections, %d partitions", len(g.values), proxy.connections(), partitions)
	g.check(t, stored)
}

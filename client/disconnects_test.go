package client_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
)

// disconnects is how often TestThousandDisconnects breaks something; `make disconnects` says 1000.
var disconnects = flag.Int("disconnects", 100, "connections broken and brokers restarted by TestThousandDisconnects")

// TestThousandDisconnects is S11 and the promise that nothing gets stuck: while a Producer sends and a Subscription reads,
// connections break at any byte and, in one of twenty cases, the broker stops and starts again on its folder. Everything is
// stored once and in order, where its ack says, and is read once and in order, without a gap in the offsets. TestMain sees
// that no goroutine is left behind.
func TestThousandDisconnects(t *testing.T) {
	t.Parallel()
	cluster, s := stream(t, 2)
	rng := rand.New(rand.NewPCG(5, 6))
	restarts := *disconnects / 20
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second+time.Duration(*disconnects)*time.Second)
	defer cancel()
	// Each proxy asks from one goroutine of its own.
	sending, reading := rand.New(rand.NewPCG(7, 8)), rand.New(rand.NewPCG(9, 10))
	sender := newProxy(t, cluster.Addrs(), func() int64 { return 60 + sending.Int64N(2000) })
	reader := newProxy(t, cluster.Addrs(), func() int64 { return 60 + reading.Int64N(30_000) })

	// What is read follows what is sent closely: else one response were more than a connection lets through.
	d := disconnecting{ctx: ctx, stop: cancel, read: make(chan result, 1), sent: make(chan int, 1), unread: make(chan struct{}, 250)}
	sub := d.subscribe(t, reader.addr, s.Name())
	defer sub.Stop()
	go d.follow(sub)
	p := d.connect(t, sender.addr).Stream(s.Name()).Producer(client.ProducerConfig{
		Partitioner: client.RoundRobin(), MaxInFlight: 64, MaxBufferedBytes: 4 << 10,
	})
	for restarted := 0; ; {
		d.send(p)
		cuts := sender.connections() + reader.connections()
		if restarted < restarts && cuts >= (restarted+1)*(*disconnects-restarts)/(restarts+1) && rng.IntN(10) == 0 {
			cluster.Brokers[0].Stop()
			cluster.Brokers[0].Start()
			restarted++
		}
		if cuts+restarted >= *disconnects && restarted == restarts || ctx.Err() != nil {
			break
		}
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	d.sent <- len(d.futures)
	got := <-d.read
	if got.err != nil {
		t.Fatalf("%v, after %d of %d messages", got.err, got.count, len(d.futures))
	}
	d.compare(t, got)
	t.Logf("%d connections broken (%d of the producer, %d of the subscription) and %d restarts of the broker: %d messages stored once, read once, in order",
		sender.connections()+reader.connections(), sender.connections(), reader.connections(), restarts, len(d.futures))
}

// disconnecting is what TestThousandDisconnects sends and reads.
type disconnecting struct {
	ctx     context.Context
	stop    context.CancelFunc // of ctx: what was read is wrong
	futures []*client.Future
	unread  chan struct{} // a token for each message that is sent and not read
	sent    chan int      // how many in all, once that is known
	read    chan result
}

type result struct {
	partitions [2][]int // the numbers of the messages, by offset
	count      int
	err        error
}

// connect connects by a proxy, which may break the first connections, too.
func (d *disconnecting) connect(t *testing.T, addr string) *client.Client {
	t.Helper()
	for {
		c, err := client.Connect(d.ctx, addr)
		if err == nil {
			t.Cleanup(func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
			return c
		}
		if !errors.Is(err, client.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

func (d *disconnecting) subscribe(t *testing.T, addr, name string) *client.Subscription {
	t.Helper()
	c := d.connect(t, addr)
	for {
		sub, err := c.Stream(name).Subscribe(d.ctx, client.FromEarliest())
		if err == nil {
			return sub
		}
		if !errors.Is(err, client.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

func (d *disconnecting) send(p *client.Producer) {
	select {
	case d.unread <- struct{}{}:
	case <-d.ctx.Done():
		return
	}
	value := fmt.Appendf(nil, "message %d", len(d.futures))
	d.futures = append(d.futures, p.Send(d.ctx, client.Message{Value: value}))
}

// follow reads until it has as many as were sent.
func (d *disconnecting) follow(sub *client.Subscription) {
	var got result
	total := -1
	more := make(chan client.Message)
	ended := make(chan error, 1)
	go func() {
		for m, err := range sub.Messages(d.ctx) {
			if err != nil {
				ended <- err
				return
			}
			select {
			case more <- *m:
			case <-d.ctx.Done():
				return
			}
		}
		ended <- io.ErrUnexpectedEOF
	}()
	for got.count != total && got.err == nil {
		select {
		case m := <-more:
			got.add(&m)
			select {
			case <-d.unread:
			default:
				got.err = fmt.Errorf("more messages than were sent: %q at offset %d of partition %d", m.Value, m.Offset, m.Partition)
			}
		case total = <-d.sent:
		case got.err = <-ended:
			got.err = fmt.Errorf("the subscription ended: %w", got.err)
		case <-d.ctx.Done():
			got.err = fmt.Errorf("stuck: %w", d.ctx.Err())
		}
	}
	if got.err != nil {
		d.stop()
	}
	d.read <- got
}

// add takes the next message of a partition, which has the next offset.
func (r *result) add(m *client.Message) {
	var n int
	if _, err := fmt.Sscanf(string(m.Value), "message %d", &n); err != nil {
		r.err = fmt.Errorf("a message %q: %w", m.Value, err)
	}
	if at := int64(len(r.partitions[m.Partition])); m.Offset != at {
		r.err = fmt.Errorf("offset %d of partition %d came where %d was due", m.Offset, m.Partition, at)
	}
	r.partitions[m.Partition] = append(r.partitions[m.Partition], n)
	r.count++
}

// compare holds what was read against the acks.
func (d *disconnecting) compare(t *testing.T, got result) {
	t.Helper()
	for i, f := range d.futures {
		ack, err := f.Ack(d.ctx)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if n := got.partitions[ack.Partition][ack.Offset]; n != i {
			t.Fatalf("message %d was acknowledged at %d@%d, where %d is", i, ack.Partition, ack.Offset, n)
		}
	}
	for partition, numbers := range got.partitions {
		for i := 1; i < len(numbers); i++ {
			if numbers[i] <= numbers[i-1] {
				t.Fatalf("partition %d: message %d comes after %d", partition, numbers[i], numbers[i-1])
			}
		}
	}
}

package ordeal

import (
	"context"
	"errors"
	"flag"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/trestlehq/trestle/client"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

var (
	deafReaders     = flag.Int("deaf", 40, "how many readers never read")
	vanishedReaders = flag.Int("vanish", 80, "how many readers come and vanish")
)

const (
	// readersEach share a connection.
	readersEach = 10
	// deafMemory is what a deaf reader may cost: gRPC has taken one response of 1 MiB, the next one waits for it to be sent, the
	// heap grows to twice what is in use, and 1 MiB for all else.
	deafMemory = 5 << 20
	// readBytes is the size of a message, and readMessages how many there are: three times what the memory above could hold.
	readBytes, readMessages = 8 << 10, 2000
	// publishedBeside is how many messages are published, one after the other, beside readers.
	publishedBeside = 300
	// noise is what is taken for noise of a busy machine: how much slower a publish may get.
	noise = 20 * time.Millisecond
	// leftOver is how many goroutines and descriptors more than before there may be afterwards: files of logs, the runtime.
	leftOver = 20
)

// TestReaders has readers that never read and readers that vanish: memory is bounded, publishers and other readers feel nothing,
// and nothing of them stays (server/DESIGN.md §3).
func TestReaders(t *testing.T) {
	b := newBroker(t, built.Path(t), false)
	ctx, cancel := context.WithTimeout(t.Context(), roundLimit)
	defer cancel()
	s, err := b.client.CreateStream(ctx, client.StreamConfig{Name: "read", Subjects: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	p := s.Producer(client.ProducerConfig{})
	for range readMessages {
		p.Send(ctx, client.Message{Value: make([]byte, readBytes)})
	}
	if err := errors.Join(p.Flush(ctx), p.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	alone := b.publishOneByOne(ctx, s)
	before, goroutines := inspect(t, b.server.PID()), int(b.metric(ctx, "go_goroutines"))
	heap := int64(b.metric(ctx, "go_memstats_heap_alloc_bytes"))

	deaf := b.subscribeDeaf(ctx, *deafReaders)
	beside, during := b.publishOneByOne(ctx, s), inspect(t, b.server.PID())
	t.Logf("%d readers that do not read: %s more memory, %s of it in use, a publish takes %v (%v without them), %d goroutines more",
		*deafReaders, mebibytes(during.residentBytes-before.residentBytes), mebibytes(int64(b.metric(ctx, "go_memstats_heap_alloc_bytes"))-heap), beside, alone, int(b.metric(ctx, "go_goroutines"))-goroutines)
	if more := during.residentBytes - before.residentBytes; more > int64(*deafReaders)*deafMemory {
		t.Errorf("%d readers that do not read cost %s", *deafReaders, mebibytes(more))
	}
	if beside > 2*alone+noise {
		t.Errorf("a publish takes %v beside readers that do not read, and %v without them", beside, alone)
	}
	if n, err := readAll(ctx, s); err != nil || len(n) != readMessages+2*publishedBeside {
		t.Errorf("beside readers that do not read, another one got %d messages: %v", len(n), err)
	}
	deaf.vanish()
	for left := *vanishedReaders; left > 0; left -= *deafReaders {
		b.subscribeDeaf(ctx, min(left, *deafReaders)).vanish()
	}
	b.awaitGone(ctx, goroutines, before.files)
}

// deafReader is a number of calls that nobody receives from any more.
type deafReader struct{ conns []*grpc.ClientConn }

// subscribeDeaf reads from the start, as far as the first response.
func (b *broker) subscribeDeaf(ctx context.Context, readers int) *deafReader {
	b.t.Helper()
	d := &deafReader{}
	var busy sync.WaitGroup
	faults := make(chan error, readers)
	for i := range readers {
		if i%readersEach == 0 {
			conn, err := grpc.NewClient(b.server.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				b.t.Fatal(err)
			}
			b.t.Cleanup(func() { _ = conn.Close() })
			d.conns = append(d.conns, conn)
		}
		conn := d.conns[len(d.conns)-1]
		busy.Go(func() {
			call, err := trestlev1.NewLogServiceClient(conn).Subscribe(ctx, &trestlev1.SubscribeRequest{
				Stream: "read", Start: &trestlev1.Position{At: &trestlev1.Position_Earliest{Earliest: true}},
			})
			if err == nil {
				_, err = call.Recv()
			}
			if err != nil {
				faults <- err
			}
		})
	}
	busy.Wait()
	select {
	case err := <-faults:
		b.t.Fatal(err)
	default:
	}
	return d
}

// vanish breaks the connections off.
func (d *deafReader) vanish() {
	for _, conn := range d.conns {
		_ = conn.Close()
	}
}

// publishOneByOne is how long a publish takes, in the middle of some.
func (b *broker) publishOneByOne(ctx context.Context, s *client.Stream) time.Duration {
	b.t.Helper()
	waits := make([]time.Duration, 0, publishedBeside)
	for range publishedBeside {
		begun := time.Now()
		if _, err := s.Publish(ctx, make([]byte, payloadBytes)); err != nil {
			b.t.Fatal(err)
		}
		waits = append(waits, time.Since(begun))
	}
	return (&acked{waits: slices.Sorted(slices.Values(waits))}).at(.5)
}

// awaitGone waits until nothing is left of readers.
func (b *broker) awaitGone(ctx context.Context, goroutines, files int) {
	b.t.Helper()
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for begun := time.Now(); ; <-ticks.C {
		left, open := int(b.metric(ctx, "go_goroutines"))-goroutines, inspect(b.t, b.server.PID()).files-files
		if left <= leftOver && open <= leftOver {
			b.t.Logf("all gone after %v: %d goroutines and %d descriptors more than before", time.Since(begun).Round(time.Millisecond), left, open)
			return
		}
		if time.Since(begun) > readyLimit {
			b.t.Fatalf("%d goroutines and %d descriptors of readers that are gone are left", left, open)
		}
	}
}

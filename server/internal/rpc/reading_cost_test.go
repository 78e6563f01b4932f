package rpc

import (
	"context"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// allocatedBy is how many bytes the process allocates in a call of do.
func allocatedBy(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// fromStartToEnd asks for all that there is.
func fromStartToEnd() *trestlev1.SubscribeRequest {
	return &trestlev1.SubscribeRequest{
		Stream: "s", Start: &trestlev1.Position{At: &trestlev1.Position_Earliest{Earliest: true}},
		Stop: &trestlev1.Position{At: &trestlev1.Position_Latest{Latest: true}},
	}
}

// A reader who is behind is sent all from few buffers. How few is a matter of how far gRPC is behind, and under the race
// detector a pool forgets every fourth; without being used again each chunk takes one. A collection of garbage forgets them all,
// so there is none meanwhile.
func TestLentMemoryIsUsedAgain(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const batches, size, rounds = 128, 64 << 10, 8
	p, random := newPartition(t), rand.NewChaCha8([32]byte{1})
	for range batches {
		store(t, p, random, size)
	}
	var mu sync.Mutex
	returned, buffers := 0, map[*byte]bool{}
	service := &logService{streams: &onePartition{p: p}, ledger: newLedger(Limits{}), lender: newLender(), running: t.Context()}
	service.lender.giveBack = func(memory *[]byte) {
		mu.Lock()
		defer mu.Unlock()
		returned++
		buffers[&(*memory)[0]] = true
		service.lender.buffers.GiveBack(memory)
	}
	conn := serveLog(t, service, counting{codec.New()})
	for range rounds {
		if n, err := drain(t.Context(), conn, fromStartToEnd()); err != nil || n < batches*size {
			t.Errorf("got %d bytes: %v", n, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if sent := rounds * batches * size; returned < sent/partition.DefaultChunk || len(buffers) > returned/2 {
		t.Errorf("%d MiB were sent from %d buffers, %d times given back", sent>>20, len(buffers), returned)
	}
}

// BenchmarkSubscribe is what a reader who is far behind costs, over TCP, with a client that looks at nothing.
func BenchmarkSubscribe(b *testing.B) {
	const batches, size = 1024, 64 << 10
	p, random := newPartition(b), rand.NewChaCha8([32]byte{1})
	for range batches {
		store(b, p, random, size)
	}
	conn := serveLog(b, &logService{streams: &onePartition{p: p}, ledger: newLedger(Limits{}), lender: newLender(), running: b.Context()}, counting{codec.New()})
	b.SetBytes(batches * size)
	var total int
	allocated := allocatedBy(func() {
		for b.Loop() {
			n, err := drain(b.Context(), conn, fromStartToEnd())
			if err != nil {
				b.Fatal(err)
			}
			total += n
		}
	})
	b.ReportMetric(float64(allocated)/(float64(total)/(1<<20)), "B/MiB")
}

// BenchmarkSubscribeAtTheEnd is what a message costs, published alone and received before the next.
func BenchmarkSubscribeAtTheEnd(b *testing.B) {
	p, random := newPartition(b), rand.NewChaCha8([32]byte{1})
	conn := serveLog(b, &logService{streams: &onePartition{p: p}, ledger: newLedger(Limits{}), lender: newLender(), running: b.Context()}, counting{codec.New()})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	call, err := subscribe(ctx, conn, &trestlev1.SubscribeRequest{Stream: "s"})
	if err != nil {
		b.Fatal(err)
	}
	var n int
	if err := call.RecvMsg(&n); err != nil { // it is there
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		store(b, p, random, 100)
		if err := call.RecvMsg(&n); err != nil {
			b.Fatal(err)
		}
	}
}

package server_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// A stop loses nothing that NATS confirmed, whatever publishers do meanwhile, and is not held up by a reader that does
// not read.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "load", "load.*")
	stuck := stuckReader(t, k.Addrs())
	defer stuck()

	var confirmed [4]atomic.Int64
	var publishers sync.WaitGroup
	for p := range confirmed {
		nc, err := nats.Connect(k.NATS(), nats.NoReconnect(), nats.Timeout(patience))
		if err != nil {
			t.Fatal(err)
		}
		publishers.Go(func() {
			defer nc.Close()
			payload := make([]byte, 256)
			for n := int64(0); ; {
				for range 200 {
					n++
					if err := nc.Publish(fmt.Sprintf("load.%d", p), payload); err != nil {
						return
					}
				}
				if err := nc.FlushTimeout(patience); err != nil {
					return
				}
				confirmed[p].Store(n)
			}
		})
	}
	for confirmed[0].Load() < 20_000 {
		if err := k.nats.FlushTimeout(patience); err != nil { // some load of its own, and a rest for this loop
			t.Fatal(err)
		}
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := k.Brokers[0].Shutdown(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	took := time.Since(begun)
	t.Logf("the stop took %v", took)
	if took > patience { // the reader would hold it up forever
		t.Errorf("the stop took %v", took)
	}
	publishers.Wait()
	k.Brokers[0].Start()
	k.connect(t)
	stored := map[string]int64{}
	for _, m := range read(t, k.client.Stream("load"), -1, client.FromEarliest(), client.UntilLatest()) {
		stored[m.Subject]++
	}
	for p := range confirmed {
		if got, want := stored[fmt.Sprintf("load.%d", p)], confirmed[p].Load(); got < want {
			t.Errorf("publisher %d: %d stored of %d confirmed", p, got, want)
		}
	}
}

// stuckReader subscribes and never reads.
func stuckReader(t *testing.T, addr string) (end func()) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New())))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, trestlev1.LogService_Subscribe_FullMethodName)
	if err == nil {
		err = stream.SendMsg(&trestlev1.SubscribeRequest{
			Stream: "load", Start: &trestlev1.Position{At: &trestlev1.Position_Earliest{Earliest: true}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = conn.Close() } // it was cut off by the stop
}

package client_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

// What a publish costs, with a broker in the same process and its data on the disk of the temporary folder. Records have
// 128 bytes of value.

// benchmarked makes stream orders of one partition with that sync.
func benchmarked(b *testing.B, sync client.Sync) *client.Stream {
	b.Helper()
	c := connect(b, servertest.Start(b, 1).Addrs())
	s, err := c.CreateStream(within(b), client.StreamConfig{Name: "orders", Subjects: []string{"orders"}, Partitions: 1, Sync: sync})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkPublishInFlight keeps 1024 messages of a Producer on their way.
func BenchmarkPublishInFlight(b *testing.B) {
	for _, sync := range []client.Sync{client.SyncAck, client.SyncNone} {
		b.Run("sync="+string(sync), func(b *testing.B) {
			p := benchmarked(b, sync).Producer(client.ProducerConfig{MaxInFlight: 1024})
			m := client.Message{Value: make([]byte, 128)}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				p.Send(ctx, m)
			}
			if err := p.Close(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkPublishOneByOne waits for each message.
func BenchmarkPublishOneByOne(b *testing.B) {
	for _, sync := range []client.Sync{client.SyncAck, client.SyncNone} {
		b.Run("sync="+string(sync), func(b *testing.B) {
			s := benchmarked(b, sync)
			value := make([]byte, 128)
			ctx := context.Background()
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				begun := time.Now()
				if _, err := s.Publish(ctx, value); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		})
	}
}

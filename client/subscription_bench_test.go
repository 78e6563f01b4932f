package client_test

import (
	"errors"
	"io"
	"testing"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
)

// fillLog has so many messages of 128 bytes in batches of 1000.
func fillLog(tb testing.TB, log *fakeLog, count int) {
	tb.Helper()
	record := batch.Record{Value: make([]byte, 128)}
	for count > 0 {
		var builder batch.Builder
		builder.Reset([]byte("orders.new"))
		for range min(count, 1000) {
			builder.Append(&record)
		}
		count -= builder.Count()
		log.append(tb, builder.Finish(0))
	}
}

func BenchmarkNext(b *testing.B) {
	benchmarkReading(b, func(sub *client.Subscription) (count int, err error) {
		for ; ; count++ {
			if _, err := sub.Next(b.Context()); errors.Is(err, io.EOF) {
				return count, nil
			} else if err != nil {
				return count, err
			}
		}
	})
}

func BenchmarkBatches(b *testing.B) {
	benchmarkReading(b, func(sub *client.Subscription) (count int, err error) {
		for run, err := range sub.Batches(b.Context()) {
			if err != nil {
				return count, err
			}
			count += len(run)
		}
		return count, nil
	})
}

// benchmarkReading reads a log to its end by read, which counts the messages.
func benchmarkReading(b *testing.B, read func(*client.Subscription) (count int, err error)) {
	b.Helper()
	server := newFakeServer("orders", 1)
	fillLog(b, server.log(0), b.N)
	c := connect(b, server.listen(b).addr)
	b.SetBytes(128)
	b.ReportAllocs()
	b.ResetTimer()
	sub, err := c.Stream("orders").Subscribe(b.Context(), client.FromEarliest(), client.UntilLatest())
	if err != nil {
		b.Fatal(err)
	}
	if count, err := read(sub); err != nil || count != b.N {
		b.Fatalf("read %d messages (%v), want %d", count, err, b.N)
	}
}

package batch_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
)

// captured is a record as they come from NATS: with a subject, a key and a header.
func captured() *batch.Record {
	return &batch.Record{
		Key:     []byte("customer-4711"),
		Value:   bytes.Repeat([]byte("v"), 128),
		Subject: []byte("orders.created"),
		Headers: []batch.HeaderField{
			{Name: []byte("Nats-Msg-Id"), Value: []byte("0123456789abcdef")},
			{Name: []byte("Content-Type"), Value: []byte("application/json")},
		},
	}
}

func TestNothingIsAllocatedPerRecord(t *testing.T) {
	const records = 1000
	r := captured()
	var builder batch.Builder
	var finished []byte
	if got := testing.AllocsPerRun(10, func() {
		builder.Reset([]byte("orders.deleted"))
		for range records {
			builder.Append(r)
		}
		finished = builder.Finish(batch.Captured)
	}); got != 0 {
		t.Errorf("building a batch of %d records in a used builder allocates %v times, want 0", records, got)
	}
	var rec batch.Record
	if got := testing.AllocsPerRun(10, func() {
		h, err := batch.Parse(finished)
		if err != nil {
			t.Error(err)
		}
		all, err := h.RecordsOf(finished)
		if err != nil {
			t.Error(err)
		}
		for n := 0; ; n++ {
			_, ok, err := all.Next(&rec)
			if err != nil {
				t.Error(err)
			}
			if !ok {
				if n != records {
					t.Errorf("read %d records, want %d", n, records)
				}
				break
			}
		}
	}); got != 0 {
		t.Errorf("reading a batch of %d records allocates %v times, want 0", records, got)
	}
	stamp := batch.Stamp{Seq: 1}
	if got := testing.AllocsPerRun(10, func() { stamp.Put(finished) }); got != 0 {
		t.Errorf("Put allocates %v times, want 0", got)
	}
	body := finished[batch.HeaderSize:]
	if got := testing.AllocsPerRun(10, func() {
		if _, err := batch.CheckRecords(body, nil); err != nil {
			t.Error(err)
		}
	}); got > 4 { // the headers of the first records that have any
		t.Errorf("checking %d records allocates %v times, want 4 at most", records, got)
	}
}

func BenchmarkBuilderAppend(b *testing.B) {
	for name, r := range map[string]*batch.Record{"value of 128": {Value: make([]byte, 128)}, "captured": captured()} {
		b.Run(name, func(b *testing.B) {
			var builder batch.Builder
			builder.Reset(r.Subject)
			b.SetBytes(int64(r.Size()))
			b.ReportAllocs()
			for b.Loop() {
				if builder.Size() > 1<<20 {
					builder.Reset(r.Subject)
				}
				builder.Append(r)
			}
		})
	}
}

func BenchmarkRecordsNext(b *testing.B) {
	for name, r := range map[string]*batch.Record{"value of 128": {Value: make([]byte, 128)}, "captured": captured()} {
		b.Run(name, func(b *testing.B) {
			var builder batch.Builder
			builder.Reset(r.Subject)
			for builder.Size() < 1<<20 {
				builder.Append(r)
			}
			body := builder.Finish(0)[batch.HeaderSize:]
			records, err := batch.ParseRecords(body)
			if err != nil {
				b.Fatal(err)
			}
			start := records
			var rec batch.Record
			b.SetBytes(int64(len(body) / records.Count))
			b.ReportAllocs()
			for b.Loop() {
				_, ok, err := records.Next(&rec)
				if err != nil {
					b.Fatal(err)
				}
				if !ok {
					records = start
				}
			}
		})
	}
}

func BenchmarkCheckRecords(b *testing.B) {
	for name, r := range map[string]*batch.Record{"value of 128": {Value: make([]byte, 128)}, "captured": captured()} {
		b.Run(name, func(b *testing.B) {
			const records = 1000
			var builder batch.Builder
			builder.Reset(r.Subject)
			for range records {
				builder.Append(r)
			}
			body := builder.Finish(0)[batch.HeaderSize:]
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := batch.CheckRecords(body, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
		})
	}
}

func BenchmarkStamp(b *testing.B) {
	stored := build(nil, *captured())
	stamp := batch.Stamp{Seq: 1, BaseOffset: 1, LeaderEpoch: 1, Time: 1}
	b.ReportAllocs()
	for b.Loop() {
		stamp.PreviousCRC = stamp.Put(stored)
		stamp.Seq++
	}
}

func BenchmarkParse(b *testing.B) {
	for _, records := range []int{1, 100, 5000} {
		b.Run(fmt.Sprintf("%d records", records), func(b *testing.B) {
			var builder batch.Builder
			builder.Reset(nil)
			for range records {
				builder.Append(&batch.Record{Value: make([]byte, 128)})
			}
			stored := builder.Finish(0)
			b.SetBytes(int64(len(stored)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := batch.Parse(stored); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

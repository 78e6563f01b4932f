package rpc

import (
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
)

// Checking a batch costs the same number of allocations however many records it has.
func TestCheckingCostsNothingPerRecord(t *testing.T) {
	allocations := func(records int) float64 {
		req := &codec.PublishRequest{}
		for range records {
			req.Records = batch.AppendRecord(req.Records, &batch.Record{
				Key: []byte("k"), Value: []byte("v"), Headers: []batch.HeaderField{{Name: []byte("n"), Value: []byte("v")}},
			})
		}
		return testing.AllocsPerRun(20, func() {
			if b, err := toBatch(req, []string{"s"}); err != nil || b.Count != records {
				t.Fatal(b.Count, err)
			}
		})
	}
	if few, many := allocations(10), allocations(10_000); many > few {
		t.Errorf("%v allocations for 10 records, %v for 10,000", few, many)
	}
}

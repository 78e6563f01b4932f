package partition_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Readers that share buffers read what others read, whether they have to wait for it or not, small chunks and large ones.
func TestBuffersAreShared(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t)
	const messages = 400
	value := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", i*i%5000)) }
	var buffers partition.Buffers
	var reading sync.WaitGroup
	for range 4 {
		reader, err := r.Read(partition.ReadOptions{Stop: partition.Place{Kind: partition.AtNever}, Buffers: &buffers})
		if err != nil {
			t.Fatal(err)
		}
		reading.Go(func() {
			for n := 0; n < messages; {
				chunk, err := reader.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for b := chunk.Batches; len(b) > 0; {
					h, err := batch.Parse(b)
					if err != nil {
						t.Error(err)
						return
					}
					var values []string
					if !h.Control() {
						values = valuesOf(t, &h, b)
					}
					for _, got := range values {
						if got != value(n) {
							t.Errorf("message %d is %.20q, want %.20q", n, got, value(n))
						}
						n++
					}
					b = b[h.Size:]
				}
			}
		})
	}
	for i := range messages {
		if i%50 < 25 { // one by one, then many at once
			publish(t, r, records(value(i)))
		} else if err := r.Start(records(value(i)), func(partition.Ack, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	reading.Wait()
	r.close(t)
}

package client_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/trestlehq/trestle/client"
)

// Publishes side by side over one connection that breaks again and again: each is answered, with where it is stored or with an
// outcome that is not known, and with its message id it is stored once however often it is published again.
func TestRealPublishHoweverOftenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	cluster, s := stream(t, 2)
	rng := rand.New(rand.NewPCG(3, 4))
	proxy := newProxy(t, cluster.Addrs(), func() int64 { return 2000 + rng.Int64N(20000) })
	shaky := connect(t, proxy.addr).Stream(s.Name())
	ctx := within(t)

	const publishers, each = 8, 200
	type place struct {
		partition int
		offset    int64
	}
	stored := make([]map[string]place, publishers)
	var unknown sync.Map
	var group sync.WaitGroup
	for p := range publishers {
		stored[p] = map[string]place{}
		group.Go(func() {
			for i := range each {
				value := fmt.Sprintf("%d-%d", p, i)
				for {
					ack, err := shaky.Publish(ctx, []byte(value), client.ID(value))
					if err == nil {
						stored[p][value] = place{ack.Partition, ack.Offset}
						break
					}
					if ctx.Err() != nil {
						t.Errorf("%s: %v", value, err)
						return
					}
					if !errors.Is(err, client.ErrOutcomeUnknown) && !errors.Is(err, client.ErrUnavailable) {
						t.Errorf("%s: %v", value, err)
						return
					}
					unknown.Store(value, true)
				}
			}
		})
	}
	group.Wait()

	found := map[string]int{}
	for partition := range 2 {
		for offset, value := range values(t, s, client.Partitions(partition), client.FromEarliest(), client.UntilLatest()) {
			found[value]++
			var p, i int
			if _, err := fmt.Sscanf(value, "%d-%d", &p, &i); err != nil {
				t.Fatal(err)
			}
			if at := stored[p][value]; at != (place{partition, int64(offset)}) {
				t.Errorf("%s was acknowledged at %+v and is in partition %d at %d", value, at, partition, offset)
			}
		}
	}
	for p := range stored {
		for value := range stored[p] {
			if found[value] != 1 {
				t.Errorf("%s is stored %d times", value, found[value])
			}
		}
	}
	again := 0
	unknown.Range(func(any, any) bool { again++; return true })
	t.Logf("%d messages, %d of them published more than once", len(found), again)
	if again == 0 {
		t.Error("no connection broke under a publish")
	}
}

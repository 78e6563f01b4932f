package rpc_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Batches that name no partition go by the hash of their key, as those of client libraries do, else by that of the message
// id, else in turn.
func TestBatchesWithoutPartition(t *testing.T) {
	t.Parallel()
	const partitions = 3
	k := start(t)
	k.create(t, "s", func(c *trestlev1.StreamConfig) { c.Partitions = proto.Int32(partitions) })
	to := func(r *trestlev1.Record) int32 {
		res, err := k.log.Publish(t.Context(), &trestlev1.PublishRequest{Stream: "s", Records: &trestlev1.Records{Records: []*trestlev1.Record{r}}})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetAcks()[0].GetPartition()
	}
	// MurmurHash3_x86_32 with seed 31, modulo 3.
	for key, want := range map[string]int32{"": 2, "a": 0, "order": 2, "orders-4711": 1} {
		if got := to(&trestlev1.Record{Key: []byte(key)}); got != want {
			t.Errorf("key %q: got partition %d, want %d", key, got, want)
		}
		id := &trestlev1.Header{Name: []byte("Nats-Msg-Id"), Value: []byte(key)}
		if got := to(&trestlev1.Record{Headers: []*trestlev1.Header{id}}); key != "" && got != want {
			t.Errorf("id %q: got partition %d, want %d", key, got, want)
		}
	}
	seen := map[int32]bool{}
	for i := range partitions {
		seen[to(&trestlev1.Record{Value: fmt.Append(nil, i)})] = true
	}
	if len(seen) != partitions {
		t.Errorf("in turn: got %v", seen)
	}
}

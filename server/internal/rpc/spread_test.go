package rpc_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// A batch without a partition is refused when its keys or ids belong to several: an id would not be known again when it is
// sent once more by itself (interfaces.md 3.8). Nothing of it is stored.
func TestBatchesForSeveralPartitions(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(c *trestlev1.StreamConfig) { c.Partitions = proto.Int32(3) })
	key := func(key string) *trestlev1.Record { return &trestlev1.Record{Key: []byte(key)} }
	id := func(id string) *trestlev1.Record {
		return &trestlev1.Record{Headers: []*trestlev1.Header{{Name: []byte("Nats-Msg-Id"), Value: []byte(id)}}}
	}
	plain := &trestlev1.Record{Value: []byte("v")}
	send := func(to *int32, records ...*trestlev1.Record) (*trestlev1.Ack, error) {
		res, err := k.log.Publish(t.Context(), &trestlev1.PublishRequest{
			Stream: "s", Partition: to, Records: &trestlev1.Records{Records: records},
		})
		if err != nil {
			return nil, err
		}
		return res.GetAcks()[0], nil
	}
	// "a" belongs to partition 0, "orders-4711" to 1 and "order" to 2.
	for what, test := range map[string]struct {
		records []*trestlev1.Record
		text    string
	}{
		"ids":           {[]*trestlev1.Record{id("a"), id("order")}, "record 0 belongs to partition 0 and record 1 to partition 2"},
		"keys":          {[]*trestlev1.Record{key("a"), key("a"), key("orders-4711")}, "record 0 belongs to partition 0 and record 2 to partition 1"},
		"key and id":    {[]*trestlev1.Record{plain, key("order"), id("a")}, "record 1 belongs to partition 2 and record 2 to partition 0"},
		"id behind key": {[]*trestlev1.Record{key("a"), plain, id("order")}, "record 0 belongs to partition 0 and record 2 to partition 2"},
	} {
		_, err := send(nil, test.records...)
		refused(t, what, err, codes.InvalidArgument, "INVALID_ARGUMENT")
		if text := status.Convert(err).Message(); !strings.Contains(text, test.text) {
			t.Errorf("%s: %q does not say %q", what, text, test.text)
		}
		if ack, err := send(proto.Int32(1), test.records...); err != nil || ack.GetPartition() != 1 {
			t.Errorf("%s, to a partition: %v, %v", what, ack, err)
		}
	}
	for what, records := range map[string][]*trestlev1.Record{
		"same key":            {key("order"), key("order")},
		"key and same id":     {key("order"), id("order")},
		"plain ones go along": {plain, plain, id("order"), plain},
	} {
		if ack, err := send(nil, records...); err != nil || ack.GetPartition() != 2 {
			t.Errorf("%s: %v, %v", what, ack, err)
		}
	}
}

// A partition that was chosen by a key when the stream had fewer is refused, and one that was not is taken (3.15).
func TestStalePartitions(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(c *trestlev1.StreamConfig) { c.Partitions = proto.Int32(2) })
	publish := func(chosenAmong uint32) error {
		req := request("s", "v")
		req.Partitions = chosenAmong
		_, err := k.log.Publish(t.Context(), req)
		return err
	}
	if err := publish(2); err != nil {
		t.Error(err)
	}
	config := &trestlev1.StreamConfig{Name: "s", Partitions: proto.Int32(3)}
	if _, err := k.streams.UpdateStream(t.Context(), &trestlev1.UpdateStreamRequest{Config: config}); err != nil {
		t.Fatal(err)
	}
	refused(t, "chosen among 2 of 3", publish(2), codes.Aborted, "STALE_PARTITIONS")
	for _, among := range []uint32{0, 3} {
		if err := publish(among); err != nil {
			t.Errorf("chosen among %d: %v", among, err)
		}
	}
}

package server_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/client"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// What is purged is gone over the wire, to the message, and stays so. Each refusal has its reason.
func TestPurgeStream(t *testing.T) {
	t.Parallel()
	k := start(t)
	ctx, streams := t.Context(), k.streams(t)
	orders := k.create(t, "orders", "orders")
	for i := range 10 {
		if _, err := orders.Publish(ctx, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	purge := func(req *trestlev1.PurgeStreamRequest, before, now int64) {
		t.Helper()
		res, err := streams.PurgeStream(ctx, req)
		want := &trestlev1.PurgeStreamResponse{Partitions: []*trestlev1.PurgedPartition{{LogStart: now, PreviousLogStart: before}}}
		if err != nil || !proto.Equal(res, want) {
			t.Fatalf("got %v, %v, want %v", res, err, want)
		}
	}
	toOffset := func(name string, offset int64) *trestlev1.PurgeStreamRequest {
		return &trestlev1.PurgeStreamRequest{Name: name, To: &trestlev1.PurgeStreamRequest_Offset{Offset: offset}}
	}
	purge(toOffset("orders", 4), 0, 4)
	k.Brokers[0].Stop()
	k.Brokers[0].Start()
	k.connect(t)
	streams = k.streams(t)
	if got := read(t, k.client.Stream("orders"), -1, client.FromEarliest(), client.UntilLatest()); len(got) != 6 || got[0].Offset != 4 {
		t.Errorf("after a restart: %q", values(got))
	}
	purge(&trestlev1.PurgeStreamRequest{Name: "orders", To: &trestlev1.PurgeStreamRequest_Time{Time: 1}}, 4, 4)
	purge(&trestlev1.PurgeStreamRequest{Name: "orders", To: &trestlev1.PurgeStreamRequest_Time{Time: time.Now().Add(time.Hour).UnixNano()}}, 4, 10)

	k.create(t, "rest", "rest")
	if _, err := streams.UpdateStream(ctx, &trestlev1.UpdateStreamRequest{Config: &trestlev1.StreamConfig{Name: "rest", Partitions: proto.Int32(2)}}); err != nil {
		t.Fatal(err)
	}
	for want, req := range map[string]*trestlev1.PurgeStreamRequest{
		"STREAM_NOT_FOUND":    {Name: "nothing"},
		"INVALID_ARGUMENT":    toOffset("rest", 0), // whose?
		"OFFSET_BEYOND_END":   toOffset("orders", 11),
		"PARTITION_NOT_FOUND": {Name: "orders", Partitions: []int32{0, 1}},
		"INTERNAL_STREAM":     {Name: "__cursors"},
	} {
		if _, err := streams.PurgeStream(ctx, req); reason(err) != want {
			t.Errorf("%v: got %v, want %s", req, err, want)
		}
	}
	if res, err := streams.PurgeStream(ctx, &trestlev1.PurgeStreamRequest{Name: "rest"}); err != nil || len(res.GetPartitions()) != 2 {
		t.Errorf("two partitions: %v, %v", res, err)
	}
}

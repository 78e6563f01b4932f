package server_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/servertest"
)

func TestSlice(t *testing.T) {
	cluster := servertest.Start(t, 1)
	conn, err := grpc.NewClient(cluster.Addrs(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	streams := trestlev1.NewStreamServiceClient(conn)
	if _, err := streams.CreateStream(t.Context(), &trestlev1.CreateStreamRequest{Config: &trestlev1.StreamConfig{Name: "orders", Subjects: []string{"orders.>"}}}); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(cluster.NATS())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	const n = 1_000_000
	start := time.Now()
	for i := range n {
		if err := nc.Publish("orders.1", fmt.Appendf(nil, "message %0120d", i)); err != nil {
			t.Fatal(err)
		}
	}
	nc.Flush()
	t.Log("published", time.Since(start))
	desc := &grpc.StreamDesc{ServerStreams: true}
	sub, err := conn.NewStream(t.Context(), desc, trestlev1.LogService_Subscribe_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	sub.SendMsg(&trestlev1.SubscribeRequest{Stream: "orders", Start: &trestlev1.Position{At: &trestlev1.Position_Earliest{Earliest: true}}, Stop: &trestlev1.Position{At: &trestlev1.Position_Offset{Offset: n}}})
	sub.CloseSend()
	i := 0
	for i < n {
		var res codec.SubscribeResponse
		if err := sub.RecvMsg(&res); err != nil {
			t.Fatal(i, err)
		}
		for b := res.Batches; len(b) > 0; {
			h, err := batch.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if !h.Control() {
				recs, err := h.RecordsOf(b)
				if err != nil {
					t.Fatal(err)
				}
				var rec batch.Record
				for {
					d, ok, err := recs.Next(&rec)
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						break
					}
					if h.BaseOffset+int64(d) != int64(i) || !bytes.Equal(rec.Value, fmt.Appendf(nil, "message %0120d", i)) {
						t.Fatal(i, string(rec.Value))
					}
					i++
				}
			}
			b = b[h.Size:]
		}
	}
	t.Log("read", time.Since(start))
}

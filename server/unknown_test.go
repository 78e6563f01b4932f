package server_test

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// What this version does not know is refused, wherever in a request it stands, and nothing of it is stored.
func TestUnknownIsRefused(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.create(t, "orders", "orders")
	conn, err := grpc.NewClient(k.Addrs(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	log, streams := trestlev1.NewLogServiceClient(conn), trestlev1.NewStreamServiceClient(conn)
	field := func(number protowire.Number) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), 1)
	}
	publish := func(change func(*trestlev1.PublishRequest)) error {
		req := &trestlev1.PublishRequest{Stream: "orders", Records: &trestlev1.Records{Records: []*trestlev1.Record{{
			Value: []byte("v"), Headers: []*trestlev1.Header{{Name: []byte("n")}},
		}}}}
		change(req)
		_, err := log.Publish(t.Context(), req)
		return err
	}
	subscribe := func(req *trestlev1.SubscribeRequest) error {
		req.Stream = "orders"
		stream, err := log.Subscribe(t.Context(), req)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	config := &trestlev1.StreamConfig{Name: "x", Subjects: []string{"x"}}
	config.ProtoReflect().SetUnknown(field(99))
	_, createErr := streams.CreateStream(t.Context(), &trestlev1.CreateStreamRequest{Config: config})
	fetched := func() error {
		_, err := log.Fetch(t.Context(), &trestlev1.FetchRequest{Wait: durationpb.New(365 * 24 * time.Hour)})
		return err
	}()
	for name, err := range map[string]error{
		"field of a record": publish(func(r *trestlev1.PublishRequest) { r.GetRecords().GetRecords()[0].ProtoReflect().SetUnknown(field(8)) }),
		"field of a header": publish(func(r *trestlev1.PublishRequest) {
			r.GetRecords().GetRecords()[0].GetHeaders()[0].ProtoReflect().SetUnknown(field(3))
		}),
		"field of records":             publish(func(r *trestlev1.PublishRequest) { r.GetRecords().ProtoReflect().SetUnknown(field(5)) }),
		"field of a request":           publish(func(r *trestlev1.PublishRequest) { r.ProtoReflect().SetUnknown(field(17)) }),
		"schema":                       publish(func(r *trestlev1.PublishRequest) { r.GetRecords().GetRecords()[0].SchemaId = 1 }),
		"sequence of no producer":      publish(func(r *trestlev1.PublishRequest) { r.ProducerSequence = 1 }),
		"view":                         subscribe(&trestlev1.SubscribeRequest{View: 99}),
		"codec":                        subscribe(&trestlev1.SubscribeRequest{Accept: []trestlev1.Codec{99}}),
		"field of a configuration":     createErr,
		"wait of a year":               fetched,
		"response of a single byte":    subscribe(&trestlev1.SubscribeRequest{MaxResponseBytes: 1}),
		"response of 4294967295 bytes": subscribe(&trestlev1.SubscribeRequest{MaxResponseBytes: 1<<32 - 1}),
	} {
		st := status.Convert(err)
		if st.Code() != codes.Unimplemented && st.Code() != codes.InvalidArgument || len(st.Details()) == 0 {
			t.Errorf("%s: got %v with %d details", name, err, len(st.Details()))
		}
	}
	if info, err := s.Info(t.Context()); err != nil || info.Partitions[0].NextOffset != 0 {
		t.Errorf("something refused was stored: %+v, %v", info, err)
	}
}

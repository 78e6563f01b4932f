package rpc_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/servertest"
)

// kit is a broker and clients of all its services, made by generated code.
type kit struct {
	*servertest.Cluster
	conn    *grpc.ClientConn
	log     trestlev1.LogServiceClient
	streams trestlev1.StreamServiceClient
	cursors trestlev1.CursorServiceClient
	server  trestlev1.ServerServiceClient
}

func start(t testing.TB) *kit {
	t.Helper()
	k := &kit{Cluster: servertest.Start(t, 1)}
	conn, err := grpc.NewClient(k.Addrs(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(128<<20), grpc.MaxCallRecvMsgSize(128<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("closing the connection: %v", err)
		}
	})
	k.conn, k.log, k.streams = conn, trestlev1.NewLogServiceClient(conn), trestlev1.NewStreamServiceClient(conn)
	k.cursors, k.server = trestlev1.NewCursorServiceClient(conn), trestlev1.NewServerServiceClient(conn)
	return k
}

func (k *kit) create(t testing.TB, name string, changes ...func(*trestlev1.StreamConfig)) *trestlev1.StreamState {
	t.Helper()
	config := &trestlev1.StreamConfig{Name: name, Subjects: []string{name}}
	for _, change := range changes {
		change(config)
	}
	res, err := k.streams.CreateStream(t.Context(), &trestlev1.CreateStreamRequest{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetStream()
}

// request publishes values to partition 0 as one batch.
func request(stream string, values ...string) *trestlev1.PublishRequest {
	req := &trestlev1.PublishRequest{Stream: stream, Partition: proto.Int32(0), Records: &trestlev1.Records{}}
	for _, v := range values {
		req.Records.Records = append(req.Records.Records, &trestlev1.Record{Value: []byte(v)})
	}
	return req
}

func (k *kit) publish(t testing.TB, stream string, values ...string) *trestlev1.Ack {
	t.Helper()
	res, err := k.log.Publish(t.Context(), request(stream, values...))
	if err != nil {
		t.Fatal(err)
	}
	return res.GetAcks()[0]
}

// reasonOf is the reason that a status gives; empty: none.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// refused checks code and reason of an error.
func refused(t testing.TB, what string, err error, code codes.Code, reason string) {
	t.Helper()
	if status.Code(err) != code || reasonOf(err) != reason {
		t.Errorf("%s: got %v (%s), want %v %s", what, err, reasonOf(err), code, reason)
	}
}

func same(t testing.TB, what string, want, got any, options ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, options...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// at is a position.
func at(offset int64) *trestlev1.Position {
	return &trestlev1.Position{At: &trestlev1.Position_Offset{Offset: offset}}
}

func earliest() *trestlev1.Position {
	return &trestlev1.Position{At: &trestlev1.Position_Earliest{Earliest: true}}
}

func latest() *trestlev1.Position {
	return &trestlev1.Position{At: &trestlev1.Position_Latest{Latest: true}}
}

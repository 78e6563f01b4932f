package codec_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// logServer is a log service on messages that go by hand. It answers a publish with the size of what it got, and a
// subscription with its responses.
type logServer struct {
	published chan *codec.PublishRequest
	responses []*codec.SubscribeResponse
}

type logService interface {
	publish(context.Context, *codec.PublishRequest) (*trestlev1.PublishResponse, error)
	subscribe(*trestlev1.SubscribeRequest, grpc.ServerStream) error
}

func (s *logServer) publish(_ context.Context, r *codec.PublishRequest) (*trestlev1.PublishResponse, error) {
	s.published <- r
	return &trestlev1.PublishResponse{Acks: []*trestlev1.Ack{{Count: uint32(len(r.Records))}}}, nil
}

func (s *logServer) subscribe(_ *trestlev1.SubscribeRequest, stream grpc.ServerStream) error {
	for _, r := range s.responses {
		if err := stream.SendMsg(r); err != nil {
			return err
		}
	}
	return nil
}

func handServiceDesc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: trestlev1.LogService_ServiceDesc.ServiceName,
		HandlerType: (*logService)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Publish",
			Handler: func(s any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				r := new(codec.PublishRequest)
				if err := decode(r); err != nil {
					return nil, err
				}
				return s.(logService).publish(ctx, r)
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName:    "Subscribe",
			ServerStreams: true,
			Handler: func(s any, stream grpc.ServerStream) error {
				r := new(trestlev1.SubscribeRequest)
				if err := stream.RecvMsg(r); err != nil {
					return err
				}
				return s.(logService).subscribe(r, stream)
			},
		}},
	}
}

// serve runs a server on loopback until the test ends and returns a connection to it.
func serve(t *testing.T, server *grpc.Server, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(listener.Addr().String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("closing the connection: %v", err)
		}
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return conn
}

func byHandCalls() grpc.DialOption {
	return grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New()), grpc.MaxCallRecvMsgSize(8<<20))
}

// sampleResponses are as a broker sends them: an empty one first, then batches, up to 1 MiB and more.
func sampleResponses() []*codec.SubscribeResponse {
	s := newSource(3)
	responses := []*codec.SubscribeResponse{
		{},
		{HighWatermark: 10, LogStart: 1},
		{Batches: join(s.batches(1)...), HighWatermark: 11, LogStart: 1},
		{Batches: oneMiB(), HighWatermark: 1 << 40, LogStart: 2},
		{Messages: []*trestlev1.Message{{Offset: 1, Record: s.record()}}, HighWatermark: 12},
	}
	for i := range 50 {
		responses = append(responses, &codec.SubscribeResponse{Batches: join(s.batches(40)...), HighWatermark: int64(i)})
	}
	return responses
}

func newHandServer(t *testing.T) (*logServer, *grpc.Server) {
	t.Helper()
	s := &logServer{published: make(chan *codec.PublishRequest, 1), responses: sampleResponses()}
	server := grpc.NewServer(grpc.ForceServerCodecV2(codec.New()))
	server.RegisterService(handServiceDesc(), s)
	return s, server
}

// TestSubscribeByHand holds all that came until the end, as readers do, so that a buffer given back too early shows.
func TestSubscribeByHand(t *testing.T) {
	t.Parallel()
	s, server := newHandServer(t)
	conn := serve(t, server, byHandCalls())
	desc := &handServiceDesc().Streams[0]
	stream, err := conn.NewStream(t.Context(), desc, trestlev1.LogService_Subscribe_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&trestlev1.SubscribeRequest{Stream: "orders"}); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var got []*codec.SubscribeResponse
	for {
		r := new(codec.SubscribeResponse)
		if err := stream.RecvMsg(r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("after %d responses: %v", len(got), err)
		}
		got = append(got, r)
	}
	if len(got) != len(s.responses) {
		t.Fatalf("got %d responses, want %d", len(got), len(s.responses))
	}
	for i, sent := range s.responses {
		if diff := cmp.Diff(sent, got[i], protocmp.Transform(), cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("response %d (-sent +received):\n%.2000s", i, diff)
		}
	}
}

func TestSubscribeWithGeneratedClient(t *testing.T) {
	t.Parallel()
	s, server := newHandServer(t)
	client := trestlev1.NewLogServiceClient(serve(t, server))
	stream, err := client.Subscribe(t.Context(), &trestlev1.SubscribeRequest{Stream: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	for i, sent := range s.responses {
		got, err := stream.Recv()
		if err != nil {
			t.Fatalf("response %d: %v", i, err)
		}
		want := &trestlev1.SubscribeResponse{
			Batches:       decodedBatches(t, sent.Batches),
			HighWatermark: sent.HighWatermark,
			LogStart:      sent.LogStart,
			Messages:      sent.Messages,
		}
		if !proto.Equal(want, got) {
			t.Fatalf("response %d differs", i)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last response: %v, want EOF", err)
	}
}

func TestPublishByHand(t *testing.T) {
	t.Parallel()
	s, server := newHandServer(t)
	conn := serve(t, server, byHandCalls())
	for seed := range 20 {
		sent := byHand(t, newSource(seed).publishRequest())
		var response trestlev1.PublishResponse
		if err := conn.Invoke(t.Context(), trestlev1.LogService_Publish_FullMethodName, sent, &response); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, <-s.published, butFrame); diff != "" {
			t.Errorf("seed %d: (-sent +received):\n%s", seed, diff)
		}
		if got := response.GetAcks()[0].GetCount(); int(got) != len(sent.Records) {
			t.Errorf("seed %d: response says %d bytes, want %d", seed, got, len(sent.Records))
		}
	}
}

// TestPublishWithGeneratedClient: the server gets the very bytes that generated code made of the records.
func TestPublishWithGeneratedClient(t *testing.T) {
	t.Parallel()
	s, server := newHandServer(t)
	client := trestlev1.NewLogServiceClient(serve(t, server))
	for seed := range 20 {
		sent := newSource(seed).publishRequest()
		if _, err := client.Publish(t.Context(), sent); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(byHand(t, sent), <-s.published, butFrame); diff != "" {
			t.Errorf("seed %d: (-sent +received):\n%s", seed, diff)
		}
	}
}

// generatedServer is a log service on generated code alone.
type generatedServer struct {
	trestlev1.UnimplementedLogServiceServer
	published chan *trestlev1.PublishRequest
}

func (s *generatedServer) Publish(_ context.Context, r *trestlev1.PublishRequest) (*trestlev1.PublishResponse, error) {
	s.published <- r
	return &trestlev1.PublishResponse{}, nil
}

func TestPublishToGeneratedServer(t *testing.T) {
	t.Parallel()
	s := &generatedServer{published: make(chan *trestlev1.PublishRequest, 1)}
	server := grpc.NewServer()
	trestlev1.RegisterLogServiceServer(server, s)
	conn := serve(t, server, byHandCalls())
	for seed := range 20 {
		sent := newSource(seed).publishRequest()
		err := conn.Invoke(t.Context(), trestlev1.LogService_Publish_FullMethodName, byHand(t, sent), new(trestlev1.PublishResponse))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, <-s.published, protocmp.Transform()); diff != "" {
			t.Errorf("seed %d: (-sent +received):\n%s", seed, diff)
		}
	}
}

// TestOrdinaryServiceBesideIt: what is not of this package is served as ever by the same server.
func TestOrdinaryServiceBesideIt(t *testing.T) {
	t.Parallel()
	_, server := newHandServer(t)
	trestlev1.RegisterStreamServiceServer(server, trestlev1.UnimplementedStreamServiceServer{})
	_, err := trestlev1.NewStreamServiceClient(serve(t, server, byHandCalls())).GetStream(t.Context(), &trestlev1.GetStreamRequest{Name: "orders"})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("GetStream: %v, want UNIMPLEMENTED", err)
	}
}

func TestServerRefusesBadPublish(t *testing.T) {
	t.Parallel()
	_, server := newHandServer(t)
	conn := serve(t, server, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{codec.New()})))
	err := conn.Invoke(t.Context(), trestlev1.LogService_Publish_FullMethodName, []byte{0x0a, 1, 0xff}, new(trestlev1.PublishResponse))
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "stream is not valid UTF-8") {
		t.Errorf("got %v, want INTERNAL naming the stream", err)
	}
}

// raw is a codec that sends bytes as they are.
type raw struct {
	encoding.CodecV2
}

func (c raw) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.CodecV2.Marshal(v)
}

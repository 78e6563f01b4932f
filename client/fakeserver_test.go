package client_test

import (
	"context"
	"math"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// fakeServer answers as a trestle server does, out of memory, over real gRPC on loopback. What it holds may be served
// by several listeners, one after the other or at once.
type fakeServer struct {
	trestlev1.UnimplementedStreamServiceServer

	responseBytes int // most bytes of batches that go into a response; 0: what the reader asks for

	mu         sync.Mutex
	streams    []*trestlev1.StreamState
	logs       map[string][]*fakeLog
	created    []*trestlev1.CreateStreamRequest
	updated    []*trestlev1.UpdateStreamRequest
	onUpdate   func() // before an update is judged, with mu held
	modes      []*trestlev1.SetStreamModeRequest
	published  []*codec.PublishRequest
	subscribed []*trestlev1.SubscribeRequest
	sentBytes  int
	refuse     error                                              // what every call to the stream service returns
	producers  uint64                                             // ids given out
	onPublish  func(context.Context, *codec.PublishRequest) error // before storing; an error is the answer
	afterStore func(context.Context) error                        // between storing and answering
	acks       []*trestlev1.Ack                                   // answered instead of what was stored
	onStream   func(grpc.ServerStream) error                      // serves a PublishStream instead of the server
	onRead     func(*trestlev1.SubscribeRequest) error            // before confirming; an error is the answer
	reads      int                                                // subscriptions being served
	readsMoved chan struct{}                                      // closed when reads changes
	silent     bool                                               // subscriptions are confirmed, and send nothing
	endless    bool                                               // subscriptions do not end at the stop position
	endReads   chan error                                         // ends a subscription with what is received from it
}

// newFakeServer has one stream with that many partitions.
func newFakeServer(stream string, partitions int) *fakeServer {
	s := &fakeServer{logs: map[string][]*fakeLog{}, endReads: make(chan error), readsMoved: make(chan struct{})}
	state := &trestlev1.StreamState{Config: &trestlev1.StreamConfig{Name: stream}}
	for i := range partitions {
		state.Partitions = append(state.Partitions, &trestlev1.PartitionState{Id: int32(i)})
		s.logs[stream] = append(s.logs[stream], newFakeLog())
	}
	s.streams = append(s.streams, state)
	return s
}

// log is the log of a partition of the stream that the server began with.
func (s *fakeServer) log(partition int) *fakeLog {
	return s.logs[s.streams[0].GetConfig().GetName()][partition]
}

// grow adds a partition to it.
func (s *fakeServer) grow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.streams[0]
	name := state.GetConfig().GetName()
	state.Partitions = append(state.Partitions, &trestlev1.PartitionState{Id: int32(len(state.Partitions))})
	s.logs[name] = append(s.logs[name], newFakeLog())
}

// with runs f while no call looks at the server's fields.
func (s *fakeServer) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// listening is a server on a listener of its own.
type listening struct {
	*grpc.Server
	addr   string
	served chan struct{}
}

// listen serves on a free port of loopback until the test is over.
func (s *fakeServer) listen(t testing.TB, opts ...grpc.ServerOption) *listening {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s.serve(t, listener, opts...)
}

// listenAt serves where a server that has stopped did.
func (s *fakeServer) listenAt(t testing.TB, addr string) *listening {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return s.serve(t, listener)
}

func (s *fakeServer) serve(t testing.TB, listener net.Listener, opts ...grpc.ServerOption) *listening {
	t.Helper()
	opts = append([]grpc.ServerOption{grpc.ForceServerCodecV2(codec.New()), grpc.MaxRecvMsgSize(math.MaxInt32)}, opts...)
	l := &listening{Server: grpc.NewServer(opts...), addr: listener.Addr().String(), served: make(chan struct{})}
	trestlev1.RegisterStreamServiceServer(l.Server, s)
	l.RegisterService(&logServiceDesc, s)
	go func() {
		defer close(l.served)
		_ = l.Serve(listener) // ends by stop
	}()
	t.Cleanup(l.stop)
	return l
}

// stop breaks all connections, as a crash does.
func (l *listening) stop() {
	l.Stop()
	<-l.served
}

// connect connects a client, until the test is over.
func connect(t testing.TB, addrs string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Connect(t.Context(), addrs, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// within is a context that fails what takes far too long, instead of letting it hang.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// answer is an error as a trestle server gives it.
func answer(code codes.Code, reason, message string, names map[string]string) error {
	st, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Domain: "trestle", Reason: reason, Metadata: names})
	if err != nil {
		return err
	}
	return st.Err()
}

func (s *fakeServer) CreateStream(_ context.Context, req *trestlev1.CreateStreamRequest) (*trestlev1.CreateStreamResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.created = append(s.created, req)
	if s.refuse != nil {
		return nil, s.refuse
	}
	return &trestlev1.CreateStreamResponse{Stream: &trestlev1.StreamState{Config: req.GetConfig()}}, nil
}

func (s *fakeServer) GetStream(_ context.Context, req *trestlev1.GetStreamRequest) (*trestlev1.GetStreamResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	for _, stream := range s.streams {
		if stream.GetConfig().GetName() == req.GetName() {
			return &trestlev1.GetStreamResponse{Stream: proto.Clone(stream).(*trestlev1.StreamState)}, nil
		}
	}
	return nil, noStream(req.GetName())
}

func noStream(name string) error {
	return answer(codes.NotFound, "STREAM_NOT_FOUND", "stream "+strconv.Quote(name)+" does not exist", map[string]string{"stream": name})
}

// ListStreams has pages of at most three, whose tokens are where they begin.
func (s *fakeServer) ListStreams(_ context.Context, req *trestlev1.ListStreamsRequest) (*trestlev1.ListStreamsResponse, error) {
	const page = 3
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil && req.GetPageToken() != "" {
		return nil, s.refuse
	}
	begin, _ := strconv.Atoi(req.GetPageToken())
	end := min(begin+page, len(s.streams))
	resp := &trestlev1.ListStreamsResponse{Streams: s.streams[begin:end]}
	if end < len(s.streams) {
		resp.NextPageToken = strconv.Itoa(end)
	}
	return resp, nil
}

// logServiceDesc is trestle.v1.LogService with the messages of package codec.
var logServiceDesc = grpc.ServiceDesc{
	ServiceName: "trestle.v1.LogService",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Publish",
		Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			req := new(codec.PublishRequest)
			if err := decode(req); err != nil {
				return nil, err
			}
			return srv.(*fakeServer).publish(ctx, req)
		},
	}, {
		MethodName: "NewProducer",
		Handler: func(srv any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := decode(new(trestlev1.NewProducerRequest)); err != nil {
				return nil, err
			}
			return srv.(*fakeServer).newProducer()
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName:    "Subscribe",
		ServerStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error {
			req := new(trestlev1.SubscribeRequest)
			if err := stream.RecvMsg(req); err != nil {
				return err
			}
			return srv.(*fakeServer).subscribe(req, stream)
		},
	}, {
		StreamName:    "PublishStream",
		ServerStreams: true,
		ClientStreams: true,
		Handler:       func(srv any, stream grpc.ServerStream) error { return srv.(*fakeServer).publishStream(stream) },
	}},
}

func (s *fakeServer) publish(ctx context.Context, req *codec.PublishRequest) (*trestlev1.PublishResponse, error) {
	s.mu.Lock()
	s.published = append(s.published, req)
	onPublish, afterStore, acks, logs := s.onPublish, s.afterStore, s.acks, s.logs[req.Stream]
	s.mu.Unlock()
	if logs == nil {
		return nil, noStream(req.Stream)
	}
	if onPublish != nil {
		if err := onPublish(ctx, req); err != nil {
			return nil, err
		}
		s.mu.Lock()
		logs = s.logs[req.Stream] // it may have grown
		s.mu.Unlock()
	}
	summary, err := batch.CheckRecords(req.Records, nil)
	if err != nil {
		return nil, answer(codes.InvalidArgument, "INVALID_ARGUMENT", err.Error(), nil)
	}
	if req.RecordsCRC == nil || *req.RecordsCRC != batch.Checksum(req.Records) {
		return nil, answer(codes.DataLoss, "CORRUPT_DATA", "records are not what their checksum says", nil)
	}
	if req.Partitions != 0 && int(req.Partitions) != len(logs) {
		return nil, answer(codes.Aborted, "STALE_PARTITIONS", "there are others", nil)
	}
	var partition int32
	if req.Partition != nil {
		partition = *req.Partition
	}
	h := batch.Header{
		RecordCount: uint32(summary.Count), LastOffsetDelta: int32(summary.Count) - 1,
		BodyCRC: *req.RecordsCRC, Body: batch.BodyRecords,
	}
	h, err = logs[partition].storeOnce(req, h)
	if err != nil {
		return nil, err
	}
	if afterStore != nil {
		if err := afterStore(ctx); err != nil {
			return nil, err
		}
	}
	if acks != nil {
		return &trestlev1.PublishResponse{Acks: acks}, nil
	}
	return &trestlev1.PublishResponse{Acks: []*trestlev1.Ack{{
		Partition: partition, BaseOffset: h.BaseOffset, Count: h.RecordCount, Time: h.Time, LeaderEpoch: h.LeaderEpoch, Durable: true,
	}}}, nil
}

package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// logService moves batches as they are: its requests and responses are the hand-made types of proto/codec, which hold
// the bytes that generated code would decode.
type logService struct {
	streams Streams
	running context.Context // ends when the broker stops
}

// logServer is what the generated service description is made for, with our types.
type logServer interface {
	Publish(ctx context.Context, req *codec.PublishRequest) (*trestlev1.PublishResponse, error)
	Subscribe(req *trestlev1.SubscribeRequest, stream grpc.ServerStream) error
}

// registerLogService registers s under the name and the method names of the generated description.
func registerLogService(r grpc.ServiceRegistrar, s *logService) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: trestlev1.LogService_ServiceDesc.ServiceName,
		HandlerType: (*logServer)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Publish", Handler: handlePublish},
			{MethodName: "Fetch", Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
				return nil, toStatus(&host.UnimplementedError{Feature: "Fetch"})
			}},
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "Subscribe", Handler: handleSubscribe, ServerStreams: true},
			{StreamName: "PublishStream", Handler: func(any, grpc.ServerStream) error {
				return toStatus(&host.UnimplementedError{Feature: "PublishStream"})
			}, ServerStreams: true, ClientStreams: true},
		},
		Metadata: trestlev1.LogService_ServiceDesc.Metadata,
	}, s)
}

func handlePublish(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	req := &codec.PublishRequest{}
	if err := decode(req); err != nil {
		return nil, toStatus(&host.InvalidError{Field: "request", Problem: "cannot be read: " + status.Convert(err).Message()})
	}
	service, ok := srv.(logServer)
	if !ok {
		return nil, errWrongService
	}
	if intercept == nil {
		return service.Publish(ctx, req)
	}
	handle := func(ctx context.Context, _ any) (any, error) { return service.Publish(ctx, req) }
	return intercept(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: trestlev1.LogService_Publish_FullMethodName}, handle)
}

func handleSubscribe(srv any, stream grpc.ServerStream) error {
	req := &trestlev1.SubscribeRequest{}
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	service, ok := srv.(logServer)
	if !ok {
		return errWrongService
	}
	return service.Subscribe(req, stream)
}

// errWrongService means that a handler was registered with something else than what it is made for.
var errWrongService = errors.New("handler of another service")

// Publish stores a batch.
func (s *logService) Publish(ctx context.Context, req *codec.PublishRequest) (*trestlev1.PublishResponse, error) {
	id := int32(0)
	if req.Partition != nil {
		id = *req.Partition
	}
	p, subjects, err := s.streams.Publishable(req.Stream, id)
	if err != nil {
		return nil, toStatus(err)
	}
	b, err := toBatch(req, subjects)
	if err != nil {
		return nil, toStatus(err)
	}
	ack, err := p.Publish(ctx, b)
	if err != nil {
		return nil, toStatus(s.whyEnded(req.Stream, id, p, err))
	}
	return &trestlev1.PublishResponse{Acks: []*trestlev1.Ack{toAck(id, &ack)}}, nil
}

func toAck(id int32, ack *partition.Ack) *trestlev1.Ack {
	answer := &trestlev1.Ack{
		Partition: id, BaseOffset: ack.BaseOffset, Count: uint32(ack.Count), Time: ack.Time, LeaderEpoch: ack.Epoch, Durable: ack.Durable,
	}
	for _, d := range ack.Duplicates {
		answer.Duplicates = append(answer.Duplicates, &trestlev1.Duplicate{Index: uint32(d.Index), Offset: d.Offset})
	}
	return answer
}

// whyEnded tells a partition that was closed, because its stream was deleted or another broker leads it now, from one that
// closes with the broker.
func (s *logService) whyEnded(stream string, id int32, p *partition.Partition, err error) error {
	if !errors.Is(err, partition.ErrClosed) && !errors.Is(err, commitlog.ErrClosed) || s.running.Err() != nil {
		return err
	}
	now, findErr := s.streams.PartitionOf(stream, id)
	switch {
	case findErr != nil:
		return findErr
	case now != p: // the name was given again, or the partition is led anew
		return &host.NotLedError{Stream: stream, Partition: id}
	default:
		return err
	}
}

// toBatch checks what a client sent to a stream that records the subjects.
func toBatch(req *codec.PublishRequest, subjects []string) (partition.Batch, error) {
	var none partition.Batch
	if req.Unknown != 0 {
		return none, unknownField("PublishRequest", req.Unknown)
	}
	if req.ProducerID != 0 || req.ProducerSequence != 0 {
		return none, &host.UnimplementedError{Feature: "producer_id"}
	}
	if req.ExpectedNextOffset != nil && *req.ExpectedNextOffset < 0 {
		return none, &host.InvalidError{Field: "expected_next_offset", Problem: fmt.Sprintf("is %d; offsets begin at 0", *req.ExpectedNextOffset)}
	}
	if _, ok := trestlev1.AckPolicy_name[int32(req.Ack)]; !ok {
		return none, &host.InvalidError{Field: "ack", Problem: fmt.Sprintf("is %d, which is no policy; use NONE, LEADER or ALL", req.Ack)}
	}
	crc := batch.Checksum(req.Records)
	if req.RecordsCRC != nil && *req.RecordsCRC != crc {
		return none, &host.InvalidError{Field: "records_crc", Problem: fmt.Sprintf("is %08x and the records that arrived have %08x; send them again", *req.RecordsCRC, crc)}
	}
	summary, err := batch.CheckRecords(req.Records, func(r *batch.Record) error {
		if r.SchemaID != 0 {
			return &host.UnimplementedError{Feature: "schema_id"}
		}
		return checkSubject(r.Subject, subjects)
	})
	if errors.As(err, new(*host.UnimplementedError)) {
		return none, err
	}
	if err != nil {
		return none, &host.InvalidError{Field: "records", Problem: fmt.Sprintf("cannot be stored: %v", err)}
	}
	if err := checkSize(req.Records, &summary); err != nil {
		return none, err
	}
	b := partition.Batch{
		Records: req.Records, Count: summary.Count, Checksum: crc, Expected: req.ExpectedNextOffset,
		WhenWritten: req.Ack == trestlev1.AckPolicy_ACK_POLICY_NONE,
	}
	if summary.HasMessageIDs {
		b.Attributes |= batch.HasMessageIDs
	}
	return b, nil
}

// checkSubject refuses a subject on which the stream would not record a plain message. A record without one has that of
// its partition.
func checkSubject(subject []byte, patterns []string) error {
	if len(subject) == 0 {
		return nil
	}
	if err := names.Literal(string(subject)); err != nil {
		return err
	}
	for _, pattern := range patterns {
		if names.Matches(pattern, string(subject)) {
			return nil
		}
	}
	return fmt.Errorf("the stream does not record subject %q; it records %q", subject, patterns)
}

// recordOverhead is what a record of the largest size may have besides key, value and headers.
const recordOverhead = names.MaxSubjectLength + 64

func checkSize(records []byte, s *batch.Summary) error {
	if s.LargestRecord > host.MaxMessageBytes+recordOverhead {
		return &TooLargeError{What: "a message", SizeBytes: s.LargestRecord, LimitBytes: host.MaxMessageBytes}
	}
	if s.Count > 1 && len(records) > partition.MaxBatchBytes-batch.HeaderSize {
		return &TooLargeError{What: "a batch of several messages", SizeBytes: len(records), LimitBytes: partition.MaxBatchBytes - batch.HeaderSize}
	}
	return nil
}

// Subscribe sends batches from the start to the stop position. The first response is empty.
func (s *logService) Subscribe(req *trestlev1.SubscribeRequest, stream grpc.ServerStream) error {
	if err := refuseUnknown(req); err != nil {
		return toStatus(err)
	}
	p, err := s.streams.PartitionOf(req.GetStream(), req.GetPartition())
	if err != nil {
		return toStatus(err)
	}
	reader, err := newReader(p, req)
	if err != nil {
		return toStatus(err)
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	stop := context.AfterFunc(s.running, func() { cancel(context.Cause(s.running)) })
	defer stop()
	state := p.State()
	if err := stream.SendMsg(&codec.SubscribeResponse{HighWatermark: state.HighWatermark, LogStart: state.LogStart}); err != nil {
		return err
	}
	for {
		chunk, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return toStatus(s.whyEnded(req.GetStream(), req.GetPartition(), p, err))
		}
		res := &codec.SubscribeResponse{Batches: chunk.Batches, HighWatermark: chunk.HighWatermark, LogStart: chunk.LogStart}
		if err := stream.SendMsg(res); err != nil {
			return err
		}
	}
}

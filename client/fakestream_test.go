package client_test

import (
	"sync"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// fakeStream is a PublishStream: batches are stored as by publish, those of a partition one after the other.
type fakeStream struct {
	server *fakeServer
	grpc.ServerStream
	end chan error // ends the call

	sending sync.Mutex
}

// publishStream ends with the first error that is not an answer of a trestle server.
func (s *fakeServer) publishStream(stream grpc.ServerStream) error {
	if s.onStream != nil {
		return s.onStream(stream)
	}
	f := &fakeStream{server: s, ServerStream: stream, end: make(chan error, 2)}
	go f.receive()
	select {
	case err := <-f.end:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

func (f *fakeStream) receive() {
	partitions := map[int32]chan *codec.PublishStreamRequest{}
	for {
		req := &codec.PublishStreamRequest{}
		if err := f.RecvMsg(req); err != nil {
			select {
			case f.end <- err:
			default: // it ends with what those who work on batches have met
			}
			return
		}
		to := int32(-1)
		if req.Batch.Partition != nil {
			to = *req.Batch.Partition
		}
		if partitions[to] == nil {
			partitions[to] = make(chan *codec.PublishStreamRequest, 1000)
			go f.work(partitions[to])
		}
		select {
		case partitions[to] <- req:
		case <-f.Context().Done(): // who works on them has ended, too
			return
		}
	}
}

func (f *fakeStream) work(batches chan *codec.PublishStreamRequest) {
	for {
		select {
		case req := <-batches:
			resp, err := f.server.publish(f.Context(), req.Batch)
			if err := f.answer(req.ID, resp, err); err != nil {
				select {
				case f.end <- err:
				default:
				}
				return
			}
		case <-f.Context().Done():
			return
		}
	}
}

func (f *fakeStream) answer(id uint64, resp *trestlev1.PublishResponse, err error) error {
	res := &trestlev1.PublishStreamResponse{FirstId: id, LastId: id}
	if len(resp.GetAcks()) > 0 {
		res.Outcome = &trestlev1.PublishStreamResponse_Ack{Ack: resp.GetAcks()[0]}
	}
	if err != nil {
		refusal := refusalOf(err)
		if refusal == nil {
			return err
		}
		res.Outcome = &trestlev1.PublishStreamResponse_Error{Error: refusal}
	}
	f.sending.Lock()
	defer f.sending.Unlock()
	return f.SendMsg(res)
}

// refusalOf is an answer of a trestle server as it stands in a stream; nil: it is none.
func refusalOf(err error) *trestlev1.Error {
	st := status.Convert(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return &trestlev1.Error{
				Reason: info.GetReason(), Message: st.Message(), Names: info.GetMetadata(), OutcomeUnknown: st.Code() == codes.Unknown,
			}
		}
	}
	return nil
}

package rpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// logServer is what the generated service description is made for, with our types.
type logServer interface {
	Publish(ctx context.Context, req *codec.PublishRequest) (*trestlev1.PublishResponse, error)
	PublishStream(stream grpc.ServerStream) error
	Subscribe(req *trestlev1.SubscribeRequest, stream grpc.ServerStream) error
	Fetch(ctx context.Context, req *trestlev1.FetchRequest) (*codec.FetchResponse, error)
	NewProducer(ctx context.Context, req *trestlev1.NewProducerRequest) (*trestlev1.NewProducerResponse, error)
}

// errWrongService means that a handler was registered with something else than what it is made for.
var errWrongService = errors.New("handler of another service")

// registerLogService registers s under the name and the method names of the generated description.
func registerLogService(r grpc.ServiceRegistrar, s logServer) {
	r.RegisterService(readable(grpc.ServiceDesc{
		ServiceName: trestlev1.LogService_ServiceDesc.ServiceName,
		HandlerType: (*logServer)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Publish", Handler: unary(trestlev1.LogService_Publish_FullMethodName, logServer.Publish)},
			{MethodName: "Fetch", Handler: unary(trestlev1.LogService_Fetch_FullMethodName, logServer.Fetch)},
			{MethodName: "NewProducer", Handler: unary(trestlev1.LogService_NewProducer_FullMethodName, logServer.NewProducer)},
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "Subscribe", Handler: handleSubscribe, ServerStreams: true},
			{StreamName: "PublishStream", Handler: handlePublishStream, ServerStreams: true, ClientStreams: true},
		},
		Metadata: trestlev1.LogService_ServiceDesc.Metadata,
	}), s)
}

// unary is the handler of a method with one request and one response.
func unary[Req, Res any](
	method string, call func(s logServer, ctx context.Context, req *Req) (*Res, error),
) func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
	return func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		req := new(Req)
		if err := decode(req); err != nil {
			return nil, err
		}
		service, ok := srv.(logServer)
		if !ok {
			return nil, errWrongService
		}
		handle := func(ctx context.Context, _ any) (any, error) {
			res, err := call(service, ctx, req)
			if err != nil { // and no pointer that is nil
				return nil, err
			}
			return res, nil
		}
		if intercept == nil {
			return handle(ctx, req)
		}
		return intercept(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: method}, handle)
	}
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

func handlePublishStream(srv any, stream grpc.ServerStream) error {
	service, ok := srv.(logServer)
	if !ok {
		return errWrongService
	}
	return service.PublishStream(stream)
}

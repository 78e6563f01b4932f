package liftbridge

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/proto/codec"
)

// tolerant is the service with handlers that ignore fields they do not know, as Liftbridge does, whatever the interceptors of
// the server do with them, and that end a call whose request is no message of the type with InvalidArgument, where gRPC says
// Internal.
func tolerant(service grpc.ServiceDesc) *grpc.ServiceDesc {
	service.Methods = slices.Clone(service.Methods)
	for i := range service.Methods {
		handle := service.Methods[i].Handler
		service.Methods[i].Handler = func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return handle(srv, ctx, func(req any) error { return receive(decode, req) }, nil)
		}
	}
	service.Streams = slices.Clone(service.Streams)
	for i := range service.Streams {
		handle := service.Streams[i].Handler
		service.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
			return handle(srv, checkedStream{stream})
		}
	}
	return &service
}

type checkedStream struct{ grpc.ServerStream }

// RecvMsg is that of the stream, but for what is no message of the type.
func (s checkedStream) RecvMsg(m any) error { return receive(s.ServerStream.RecvMsg, m) }

func receive(into func(any) error, m any) error {
	checked := &codec.Checked{Message: m}
	if err := into(checked); err != nil {
		return err
	}
	if checked.Err != nil {
		return status.Error(codes.InvalidArgument, fmt.Sprintf("request cannot be read: %v; send what the .proto file says", checked.Err))
	}
	return nil
}

package rpc

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/trestlehq/trestle/proto/codec"
)

// gRPC ends a call with a request that is no message of the type with INTERNAL, which says that the broker is at fault. What
// follows ends it with INVALID_ARGUMENT.

// readable is the service with handlers that say so.
func readable(service grpc.ServiceDesc) *grpc.ServiceDesc {
	service.Methods = slices.Clone(service.Methods)
	for i := range service.Methods {
		handle := service.Methods[i].Handler
		service.Methods[i].Handler = func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			return handle(srv, ctx, func(req any) error { return receive(decode, req) }, intercept)
		}
	}
	service.Streams = slices.Clone(service.Streams)
	for i := range service.Streams {
		handle := service.Streams[i].Handler
		service.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
			return handle(srv, readableStream{stream})
		}
	}
	return &service
}

type readableStream struct{ grpc.ServerStream }

// RecvMsg is that of the stream, but for what is no message of the type.
func (s readableStream) RecvMsg(m any) error { return receive(s.ServerStream.RecvMsg, m) }

func receive(into func(any) error, m any) error {
	checked := &codec.Checked{Message: m}
	if err := into(checked); err != nil {
		return err
	}
	if checked.Err != nil {
		return toStatus(&RequestError{Err: checked.Err})
	}
	return nil
}

// RequestError says that a request is not a message of the type that the method takes.
type RequestError struct{ Err error }

func (e *RequestError) Error() string {
	return fmt.Sprintf("request cannot be read: %v; send what the .proto files say", e.Err)
}

func (e *RequestError) Unwrap() error { return e.Err }

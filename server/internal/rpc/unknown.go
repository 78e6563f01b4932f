package rpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/trestlehq/trestle/server/internal/host"
)

// What a request asks for and this version does not know is refused, never ignored: the one who sent it would take the
// answer for more than it is.

// refuseUnknownFields is an interceptor for the messages of generated code.
func refuseUnknownFields(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if m, ok := req.(proto.Message); ok {
		if err := refuseUnknown(m); err != nil {
			return nil, toStatus(err)
		}
	}
	return handle(ctx, req)
}

// refuseUnknown looks for fields that are not known here, also in the messages that m holds.
func refuseUnknown(m proto.Message) error {
	return refuseUnknownIn(m.ProtoReflect())
}

func refuseUnknownIn(m protoreflect.Message) (err error) {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)
		return unknownField(string(m.Descriptor().Name()), int32(number))
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap() || field.Message() == nil:
		case field.IsList():
			for i := 0; i < value.List().Len() && err == nil; i++ {
				err = refuseUnknownIn(value.List().Get(i).Message())
			}
		default:
			err = refuseUnknownIn(value.Message())
		}
		return err == nil
	})
	return err
}

func unknownField(message string, number int32) error {
	return &host.UnimplementedError{Feature: fmt.Sprintf("field %d of %s", number, message)}
}

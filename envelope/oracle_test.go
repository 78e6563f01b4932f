package envelope_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/trestlehq/trestle/envelope"
)

// oracle decodes payloads with the protobuf runtime. Its schema is Liftbridge's with bytes for strings, so that text need
// not be UTF-8, with a repeated entry for the map, so that order and repetition show, and with presence.
type oracle struct {
	message, ack protoreflect.MessageDescriptor
}

func newOracle(tb testing.TB) oracle {
	tb.Helper()
	const (
		bytesType = descriptorpb.FieldDescriptorProto_TYPE_BYTES
		int64Type = descriptorpb.FieldDescriptorProto_TYPE_INT64
		int32Type = descriptorpb.FieldDescriptorProto_TYPE_INT32
	)
	optional := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &number, Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	headers := &descriptorpb.FieldDescriptorProto{
		Name: proto.String("headers"), Number: proto.Int32(9), TypeName: proto.String(".Header"),
		Type:  descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(),
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("envelope.proto"), Syntax: proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Header"), Field: []*descriptorpb.FieldDescriptorProto{
				optional("name", 1, bytesType), optional("value", 2, bytesType),
			}},
			{Name: proto.String("Message"), Field: []*descriptorpb.FieldDescriptorProto{
				optional("offset", 1, int64Type), optional("key", 2, bytesType), optional("value", 3, bytesType), headers,
				optional("inbox", 10, bytesType), optional("correlation", 11, bytesType), optional("policy", 12, int32Type),
			}},
			{Name: proto.String("Ack"), Field: []*descriptorpb.FieldDescriptorProto{
				optional("stream", 1, bytesType), optional("partition_subject", 2, bytesType), optional("subject", 3, bytesType),
				optional("offset", 4, int64Type), optional("inbox", 5, bytesType), optional("correlation", 6, bytesType),
				optional("policy", 7, int32Type), optional("received", 8, int64Type), optional("committed", 9, int64Type),
				optional("error", 10, int32Type), optional("reason", 100, bytesType),
			}},
		},
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return oracle{message: file.Messages().ByName("Message"), ack: file.Messages().ByName("Ack")}
}

// parsed is a message that the oracle decoded.
type parsed struct{ protoreflect.Message }

func (p parsed) field(name protoreflect.Name) protoreflect.FieldDescriptor {
	return p.Descriptor().Fields().ByName(name)
}

func (p parsed) bytes(name protoreflect.Name) []byte {
	if !p.Has(p.field(name)) {
		return nil
	}
	return append([]byte{}, p.Get(p.field(name)).Bytes()...)
}

func (p parsed) int(name protoreflect.Name) int64 { return p.Get(p.field(name)).Int() }

func (o oracle) parse(payload []byte) (envelope.Message, error) {
	p := parsed{dynamicpb.NewMessage(o.message)}
	if err := proto.Unmarshal(payload, p.Interface()); err != nil {
		return envelope.Message{}, err
	}
	m := envelope.Message{
		Key: p.bytes("key"), Value: p.bytes("value"), AckInbox: p.bytes("inbox"), CorrelationID: p.bytes("correlation"),
		AckPolicy: envelope.AckPolicy(p.int("policy")), Expect: envelope.ExpectOffset(p.int("offset")),
	}
	headers := p.Get(p.field("headers")).List()
	for i := range headers.Len() {
		h := parsed{headers.Get(i).Message()}
		m.Headers = append(m.Headers, envelope.Header{Name: h.bytes("name"), Value: h.bytes("value")})
	}
	return m, nil
}

func (o oracle) parseAck(payload []byte) (envelope.Ack, error) {
	p := parsed{dynamicpb.NewMessage(o.ack)}
	if err := proto.Unmarshal(payload, p.Interface()); err != nil {
		return envelope.Ack{}, err
	}
	return envelope.Ack{
		Stream: p.bytes("stream"), PartitionSubject: p.bytes("partition_subject"), Subject: p.bytes("subject"),
		Offset: p.int("offset"), AckInbox: p.bytes("inbox"), CorrelationID: p.bytes("correlation"),
		AckPolicy: envelope.AckPolicy(p.int("policy")), ReceptionTime: p.int("received"), CommitTime: p.int("committed"),
		Error: envelope.AckError(p.int("error")), Reason: p.bytes("reason"),
	}, nil
}

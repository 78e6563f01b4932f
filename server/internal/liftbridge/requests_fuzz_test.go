package liftbridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

// raw sends and receives bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is not bytes", v)
	}
	*b = data.Materialize()
	return nil
}

// method of the service, as anyone may call it.
type method struct {
	name   string
	stream *grpc.StreamDesc // nil: it has one answer
}

func methods() (all []method) {
	service := liftbridgepb.API_ServiceDesc
	for _, m := range service.Methods {
		all = append(all, method{name: "/proto.API/" + m.MethodName})
	}
	for _, s := range service.Streams {
		all = append(all, method{name: "/proto.API/" + s.StreamName, stream: &s})
	}
	return all
}

// callTime is how long a call of a fuzzer may take: readers wait for ever.
const callTime = 20 * time.Millisecond

// send sends bytes as a request and returns how the call ended.
func (k *kit) send(ctx context.Context, m method, request []byte) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := k.call(ctx, m, request)
	if status.Code(err) == codes.Unavailable && ctx.Err() != nil { // the broker was told that the time is over, and gave up first
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

func (k *kit) call(ctx context.Context, m method, request []byte) error {
	var answer []byte
	if m.stream == nil {
		return k.conn.Invoke(ctx, m.name, &request, &answer, grpc.ForceCodecV2(raw{}))
	}
	stream, err := k.conn.NewStream(ctx, m.stream, m.name, grpc.ForceCodecV2(raw{}))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&request); err == nil {
		err = stream.CloseSend()
		for err == nil {
			err = stream.RecvMsg(&answer)
		}
		return err
	}
	return stream.RecvMsg(&answer)
}

// blameless says what is wrong with the way a call ended: whatever is sent, the broker is not at fault.
func blameless(err error) string {
	s := status.Convert(err)
	switch {
	case err == nil, errors.Is(err, io.EOF), s.Code() == codes.Unknown && s.Message() == "incorrect expected offset":
	case s.Code() == codes.Internal, s.Code() == codes.Unknown, s.Code() == codes.Unavailable, s.Message() == "":
		return err.Error()
	}
	return ""
}

// costly says whether a request would keep the broker busy with as many partitions as it has asked for.
func costly(m method, request []byte) bool {
	var req createStream
	return strings.HasSuffix(m.name, "/CreateStream") && proto.Unmarshal(request, &req) == nil && req.GetPartitions() > 8
}

// FuzzRequests sends bytes to every method.
func FuzzRequests(f *testing.F) {
	for i, request := range extremes() {
		b, err := proto.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	for i := range methods() {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), append([]byte{0x0a, 0xe8, 0x07}, make([]byte, 1000)...)) // a long name of zeros
		f.Add(uint8(i), []byte{0x0a, 0x02, 0xff, 0xfe})                          // a name that is no UTF-8
		f.Add(uint8(i), []byte{0x0a, 0x7f})                                      // torn
		f.Add(uint8(i), []byte{0xf8, 0x07, 0x01})                                // field 127
	}
	k := start(f)
	k.create(f, "s")
	k.publish(f, "s", "0", "1", "2")
	f.Fuzz(func(t *testing.T, which uint8, request []byte) {
		m := methods()[int(which)%len(methods())]
		if costly(m, request) {
			return
		}
		if wrong := blameless(k.send(t.Context(), m, request)); wrong != "" {
			t.Errorf("%s: %s", m.name, wrong)
		}
	})
}

// The largest and the oddest requests, each to every method.
func TestExtremeRequests(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	k.publish(t, "s", "0", "1", "2")
	for _, request := range extremes() {
		b, err := proto.Marshal(request)
		must(t, err)
		for _, m := range methods() {
			if costly(m, b) {
				continue
			}
			if wrong := blameless(k.send(t.Context(), m, b)); wrong != "" {
				t.Errorf("%s(%v): %s", m.name, request, wrong)
			}
		}
	}
	k.create(t, "after") // it still serves; s may have been deleted
	k.publish(t, "after", "x")
}

// extremes are requests with the largest and the oddest values that their fields can have.
func extremes() (all []proto.Message) {
	for _, name := range []string{"s", "../../x", "__cursors"} {
		for _, n := range []int64{0, -1, math.MaxInt64, math.MinInt64} {
			small := int32(n)
			number := int64Of(n)
			flag := &liftbridgepb.NullableBool{Value: n < 0}
			all = append(all,
				&createStream{
					Name: name, Subject: name, Group: name, ReplicationFactor: small, Partitions: small, RetentionMaxBytes: number, RetentionMaxMessages: number,
					RetentionMaxAge: number, CleanerInterval: number, SegmentMaxBytes: number, SegmentMaxAge: number, AutoPauseTime: number,
					CompactMaxGoroutines: &liftbridgepb.NullableInt32{Value: small}, MinIsr: &liftbridgepb.NullableInt32{Value: small},
					CompactEnabled: flag, Encryption: flag, OptimisticConcurrencyControl: flag,
				},
				&liftbridgepb.PauseStreamRequest{Name: name, Partitions: []int32{small, small}, ResumeAll: n < 0},
				&subscribe{
					Stream: name, Partition: small, StartPosition: liftbridgepb.StartPosition(small), StartOffset: n, StartTimestamp: n, StopOffset: n,
					StopPosition: liftbridgepb.StopPosition(small), StopTimestamp: n, Resume: true, Reverse: n < 0,
				},
				&subscribe{Stream: name, StartPosition: atOffset, StartOffset: n, StopPosition: stopOffset, StopOffset: n, Reverse: n > 0},
				&subscribe{Stream: name, StartPosition: atTime, StartTimestamp: n, StopPosition: stopTime, StopTimestamp: n, Reverse: n < 0},
				&message{
					Stream: name, Partition: small, AckPolicy: liftbridgepb.AckPolicy(small), ExpectedOffset: n, AckInbox: "$x",
					Headers: map[string][]byte{"": {}, "Nats-Msg-Id": {}, strings.Repeat("h", 70_000): {1}},
				},
				&liftbridgepb.PublishToSubjectRequest{Subject: name, AckPolicy: liftbridgepb.AckPolicy(small), AckInbox: ">", Headers: map[string][]byte{"": nil}},
				&liftbridgepb.SetCursorRequest{Stream: name, Partition: small, CursorId: strings.Repeat("c", 300), Offset: n},
				&liftbridgepb.SetCursorRequest{Stream: name, Partition: small, CursorId: "c", Offset: n},
				&liftbridgepb.JoinConsumerGroupRequest{GroupId: name, ConsumerId: name, Streams: []string{"s", name}},
				&liftbridgepb.FetchConsumerGroupAssignmentsRequest{GroupId: name, ConsumerId: name, Epoch: uint64(n)},
			)
		}
	}
	return all
}

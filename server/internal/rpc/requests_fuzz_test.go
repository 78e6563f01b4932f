package rpc_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
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

// method of a service, as anyone may call it.
type method struct {
	name    string
	streams grpc.StreamDesc
	unary   bool
}

// methods are those of all services.
func methods() (all []method) {
	for _, service := range []grpc.ServiceDesc{
		trestlev1.LogService_ServiceDesc, trestlev1.StreamService_ServiceDesc, trestlev1.CursorService_ServiceDesc, trestlev1.ServerService_ServiceDesc,
	} {
		for _, m := range service.Methods {
			all = append(all, method{name: "/" + service.ServiceName + "/" + m.MethodName, unary: true})
		}
		for _, s := range service.Streams {
			all = append(all, method{name: "/" + service.ServiceName + "/" + s.StreamName, streams: s})
		}
	}
	return all
}

// callTime is how long a call of a fuzzer may take: readers wait for ever.
const callTime = 20 * time.Millisecond

// call sends bytes as a request and returns how the call ended; nil also if it was still going on.
func call(ctx context.Context, conn *grpc.ClientConn, m method, request []byte) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var answer []byte
	if m.unary {
		return conn.Invoke(ctx, m.name, &request, &answer, grpc.ForceCodecV2(raw{}))
	}
	stream, err := conn.NewStream(ctx, &m.streams, m.name, grpc.ForceCodecV2(raw{}))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&request); err == nil {
		err = stream.CloseSend()
		for err == nil {
			err = stream.RecvMsg(&answer)
		}
		if strings.HasSuffix(err.Error(), "EOF") {
			return nil
		}
		return err
	}
	return stream.RecvMsg(&answer)
}

// blameless says what is wrong with the way a call ended: whatever is sent, the broker is not at fault, and says why it
// refuses it.
func blameless(err error) string {
	switch code := status.Code(err); {
	case err == nil, code == codes.DeadlineExceeded, code == codes.Canceled:
	case code == codes.Unknown && reasonOf(err) == "OUTCOME_UNKNOWN":
	case code == codes.Internal, code == codes.Unknown, code == codes.Unavailable && reasonOf(err) == "":
		return fmt.Sprintf("got %v (%s)", err, reasonOf(err))
	case reasonOf(err) == "":
		return fmt.Sprintf("got %v without a reason", err)
	}
	return ""
}

// FuzzRequests sends bytes to every method of every service of a real broker.
func FuzzRequests(f *testing.F) {
	all := methods()
	for i := range all {
		for _, m := range extremes()[:12] { // one of each kind
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), b)
		}
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
		m := all[int(which)%len(all)]
		if strings.HasSuffix(m.name, "/CreateStream") && costly(request) {
			return
		}
		if wrong := blameless(call(t.Context(), k.conn, m, request)); wrong != "" {
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
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range methods() {
			if strings.HasSuffix(m.name, "/CreateStream") && costly(b) {
				continue
			}
			if wrong := blameless(call(t.Context(), k.conn, m, b)); wrong != "" {
				t.Errorf("%s(%v): %s", m.name, request, wrong)
			}
		}
	}
}

// costly says whether a request would keep the broker busy with as many partitions as it has asked for.
func costly(request []byte) bool {
	var req trestlev1.CreateStreamRequest
	return proto.Unmarshal(request, &req) == nil && req.GetConfig().GetPartitions() > 8
}

// extremes are requests with the largest and the oddest values that their fields can have; each goes to every method.
func extremes() (all []proto.Message) {
	for _, name := range []string{"s", "../../x", "__cursors", "a b"} {
		for _, n := range []int64{0, -1, math.MaxInt64, math.MinInt64} {
			partition := int32(n)
			position := func(time bool) *trestlev1.Position {
				if time {
					return &trestlev1.Position{At: &trestlev1.Position_Time{Time: n}}
				}
				return at(n)
			}
			read := &trestlev1.SubscribeRequest{
				Stream: name, Partition: partition, Start: position(false), Stop: position(true), Backwards: n < 0,
				View: trestlev1.View(partition), MaxResponseBytes: uint32(n), LeaderEpoch: uint64(n),
			}
			byTime := &trestlev1.SubscribeRequest{Stream: name, Start: position(true), Stop: position(false), Backwards: n >= 0, View: trestlev1.View_VIEW_MESSAGES}
			last := &trestlev1.SubscribeRequest{Stream: name, Start: &trestlev1.Position{At: &trestlev1.Position_Last{Last: uint64(n)}}, Stop: latest()}
			publish := &trestlev1.PublishRequest{
				Stream: name, Partition: &partition, Ack: trestlev1.AckPolicy(partition), ExpectedNextOffset: &n, ProducerId: uint64(n),
				ProducerSequence: uint32(n), ProducerEpoch: uint32(n), Records: &trestlev1.Records{Records: []*trestlev1.Record{{Subject: []byte(name)}}},
			}
			all = append(all, read, byTime, last, publish,
				&trestlev1.PublishStreamRequest{Id: uint64(n), Batch: publish},
				&trestlev1.FetchRequest{Read: byTime, MaxRecords: uint32(n), Wait: &durationpb.Duration{Seconds: n, Nanos: partition}},
				&trestlev1.FetchRequest{Read: last, MaxRecords: uint32(n)},
				&trestlev1.SetCursorRequest{Cursor: &trestlev1.Cursor{Id: "c", Stream: name, Partition: partition, NextOffset: n, LeaderEpoch: uint64(n)}},
				&trestlev1.ListStreamsRequest{Glob: name, PageSize: partition, PageToken: name},
				&trestlev1.SetStreamModeRequest{Name: name, Mode: trestlev1.Mode(partition), Partitions: []int32{partition}},
				&trestlev1.PurgeStreamRequest{Name: name, Partitions: []int32{partition}, To: &trestlev1.PurgeStreamRequest_Offset{Offset: int64(partition)}},
				&trestlev1.WatchMetadataRequest{Revision: uint64(n)},
				config(name, n),
			)
		}
	}
	return all
}

func config(name string, n int64) *trestlev1.CreateStreamRequest {
	small := int32(n)
	d := &durationpb.Duration{Seconds: n, Nanos: small}
	return &trestlev1.CreateStreamRequest{Config: &trestlev1.StreamConfig{
		Name: name, Subjects: []string{name}, Partitions: &small, Replicas: &small, MinIsr: &small, RetainAge: d, RetainBytes: &n, RetainMessages: &n,
		SegmentBytes: &n, SegmentAge: d, Sync: trestlev1.Sync(small), SyncInterval: d, Storage: trestlev1.Storage(small), KeyHash: trestlev1.KeyHash(small),
		DedupWindow: d, MaxMessageBytes: &n, QueueGroup: name, Reply: trestlev1.Reply(small), Compression: trestlev1.Codec(small),
		PartitionBy: &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Token{Token: small}},
	}}
}

// FuzzPublishStream sends a run of requests over one PublishStream: each has its length before it.
func FuzzPublishStream(f *testing.F) {
	var several []byte
	for id, batch := range []*trestlev1.PublishRequest{request("s", "a"), request("s", "b", "c"), request("nope")} {
		b, err := proto.Marshal(&trestlev1.PublishStreamRequest{Id: uint64(id), Batch: batch})
		if err != nil {
			f.Fatal(err)
		}
		several = append(binary.AppendUvarint(several, uint64(len(b))), b...)
	}
	f.Add(several)
	k := start(f)
	k.create(f, "s")
	f.Fuzz(func(t *testing.T, requests []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*callTime)
		defer cancel()
		stream, err := k.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
			trestlev1.LogService_PublishStream_FullMethodName, grpc.ForceCodecV2(raw{}))
		if wrong := blameless(err); wrong != "" {
			t.Fatal(wrong)
		}
		if err != nil { // the machine had other things to do
			return
		}
		for len(requests) > 0 && err == nil {
			size, n := binary.Uvarint(requests)
			if n <= 0 {
				break
			}
			one := requests[n:][:min(size, uint64(len(requests)-n))]
			requests = requests[n+len(one):]
			err = stream.SendMsg(&one)
		}
		if closing := stream.CloseSend(); err == nil && blameless(closing) != "" {
			t.Fatal(closing)
		}
		var answer []byte
		for err = stream.RecvMsg(&answer); err == nil; {
			err = stream.RecvMsg(&answer)
		}
		if wrong := blameless(err); err.Error() != "EOF" && wrong != "" {
			t.Error(wrong)
		}
	})
}

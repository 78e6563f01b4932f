package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func (k *kit) publishStream(t testing.TB) trestlev1.LogService_PublishStreamClient {
	t.Helper()
	stream, err := k.log.PublishStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func send(t testing.TB, stream trestlev1.LogService_PublishStreamClient, id uint64, batch *trestlev1.PublishRequest) {
	t.Helper()
	if err := stream.Send(&trestlev1.PublishStreamRequest{Id: id, Batch: batch}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

// answersOf reads answers to the end: for each id what it was told, and how the call ended.
func answersOf(t testing.TB, stream trestlev1.LogService_PublishStreamClient) (answers map[uint64]*trestlev1.PublishStreamResponse, end error) {
	t.Helper()
	answers = map[uint64]*trestlev1.PublishStreamResponse{}
	for {
		res, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		for id := res.GetFirstId(); id <= res.GetLastId(); id++ {
			if answers[id] != nil {
				t.Fatalf("batch %d is answered twice", id)
			}
			answers[id] = res
		}
	}
}

// Each batch is answered once, and those of a partition are stored in their order, whatever goes on beside (1.6).
func TestPublishStreamKeepsOrder(t *testing.T) {
	t.Parallel()
	const n, partitions = 500, 3
	k := start(t)
	k.create(t, "s", func(c *trestlev1.StreamConfig) { c.Partitions = proto.Int32(partitions) })
	stream := k.publishStream(t)
	go func() {
		for i := range n {
			req := request("s", fmt.Sprint(i), "and")
			req.Partition = proto.Int32(int32(i % partitions))
			send(t, stream, uint64(1000+i), req)
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	}()
	answers, err := answersOf(t, stream)
	if err != nil || len(answers) != n {
		t.Fatalf("got %d answers, %v, want %d", len(answers), err, n)
	}
	counted := uint32(0)
	for id, res := range answers {
		if res.GetAck() == nil || !res.GetAck().GetDurable() {
			t.Fatalf("batch %d: got %v", id, res)
		}
		if id == res.GetFirstId() {
			counted += res.GetAck().GetCount()
		}
	}
	if counted != 2*n {
		t.Errorf("acks are for %d records, want %d", counted, 2*n)
	}
	for partition := range partitions {
		page := k.fetch(t, &trestlev1.FetchRequest{Read: &trestlev1.SubscribeRequest{
			Stream: "s", Partition: int32(partition), Start: earliest(), View: trestlev1.View_VIEW_MESSAGES,
		}})
		for i, m := 0, page.GetPage().GetMessages(); i < len(m); i += 2 {
			if got, want := string(m[i].GetRecord().GetValue()), fmt.Sprint(i/2*partitions+partition); got != want {
				t.Fatalf("partition %d, message %d: got %s, want %s", partition, i, got, want)
			}
		}
	}
}

// Whoever waits for each answer before the next batch gets it, in every mode, also right after batches that came together.
func TestPublishStreamOneAtATime(t *testing.T) {
	t.Parallel()
	k := start(t)
	for _, mode := range []trestlev1.Sync{trestlev1.Sync_SYNC_ACK, trestlev1.Sync_SYNC_INTERVAL, trestlev1.Sync_SYNC_NONE} {
		name := mode.String()
		k.create(t, name, func(c *trestlev1.StreamConfig) { c.Sync = mode })
		stream := k.publishStream(t)
		id, next := uint64(0), int64(0)
		for round := range 50 {
			together := 1 + round%3
			for range together {
				id++
				send(t, stream, id, request(name, "v"))
			}
			for answered := 0; answered < together; {
				res, err := stream.Recv()
				if err != nil || res.GetAck().GetBaseOffset() != next {
					t.Fatalf("%s, round %d: got %v, %v, want offset %d", name, round, res, err, next)
				}
				answered += int(res.GetAck().GetCount())
				next += int64(res.GetAck().GetCount())
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if rest, err := answersOf(t, stream); err != nil || len(rest) != 0 {
			t.Errorf("%s: in the end got %v, %v", name, rest, err)
		}
	}
}

// What is wrong with a batch is answered with it, and what is wrong with the numbers ends the call, after what came before
// was answered.
func TestPublishStreamRefusals(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	stream := k.publishStream(t)
	noPartition, noRecords, unknownField := request("s", "v"), request("s"), request("s", "v")
	noPartition.Partition = nil
	unknownField.ProtoReflect().SetUnknown([]byte{0x78, 1})
	send(t, stream, 7, request("s", "v"))
	for i, batch := range []*trestlev1.PublishRequest{request("nope", "v"), noPartition, nil, noRecords, unknownField, request("__cursors", "v")} {
		send(t, stream, uint64(8+i), batch)
	}
	send(t, stream, 99, request("s", "v"))
	answers, err := answersOf(t, stream)
	refused(t, "99 after 13", err, codes.InvalidArgument, "INVALID_ARGUMENT")
	for id, want := range map[uint64]string{
		7: "", 8: "STREAM_NOT_FOUND", 9: "", 10: "INVALID_ARGUMENT", 11: "INVALID_ARGUMENT", 12: "UNIMPLEMENTED", 13: "INTERNAL_STREAM",
	} {
		if got := answers[id].GetError(); got.GetReason() != want || got.GetOutcomeUnknown() || want != "" && len(got.GetMessage()) < 20 {
			t.Errorf("batch %d: got %v, want %q", id, answers[id], want)
		}
	}
	if len(answers) != 7 {
		t.Errorf("got %d answers, want 7", len(answers))
	}
}

// A message that is too large is refused with a reason, and the stream goes on behind it.
func TestPublishStreamTooLarge(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	stream := k.publishStream(t)
	large := string(make([]byte, 10<<20))
	for i, batch := range []*trestlev1.PublishRequest{
		request("s", "a"), request("s", large), request("s", "a", large), request("s", "b"),
	} {
		send(t, stream, uint64(i), batch)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	answers, err := answersOf(t, stream)
	if err != nil {
		t.Error(err)
	}
	for id, want := range map[uint64]string{0: "", 1: "TOO_LARGE", 2: "TOO_LARGE", 3: ""} {
		if got := answers[id].GetError(); answers[id] == nil || got.GetReason() != want || got.GetOutcomeUnknown() {
			t.Errorf("batch %d: got %v, want %q", id, answers[id], want)
		}
	}
	if answers[3].GetAck().GetBaseOffset() != 1 || len(answers) != 4 {
		t.Errorf("got %v, and %d answers", answers[3], len(answers))
	}
}

// A broker that stops answers what it has, says so, and does not wait for the client.
func TestPublishStreamEndsWithTheBroker(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	stream := k.publishStream(t)
	send(t, stream, 1, request("s", "v"))
	if res, err := stream.Recv(); err != nil || res.GetAck() == nil {
		t.Fatalf("got %v, %v", res, err)
	}
	stopped := make(chan struct{})
	go func() {
		k.Brokers[0].Stop()
		close(stopped)
	}()
	_, err := stream.Recv()
	refused(t, "stop", err, codes.Unavailable, "SHUTTING_DOWN") // a call that is broken off names no reason
	<-stopped
}

// A repeated batch is answered with its first offset, a gap and an epoch that has ended are refused (1.6).
func TestProducers(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	ids := map[uint64]bool{}
	var id uint64
	for range 3 {
		res, err := k.log.NewProducer(t.Context(), &trestlev1.NewProducerRequest{})
		if err != nil || res.GetProducerId() == 0 || ids[res.GetProducerId()] {
			t.Fatalf("got %v, %v after %v", res, err, ids)
		}
		id = res.GetProducerId()
		ids[id] = true
	}
	publish := func(epoch, sequence uint32) (*trestlev1.Ack, error) {
		req := request("s", fmt.Sprint(epoch, sequence), "v")
		req.ProducerId, req.ProducerEpoch, req.ProducerSequence = id, epoch, sequence
		res, err := k.log.Publish(t.Context(), req)
		if err != nil {
			return nil, err
		}
		return res.GetAcks()[0], nil
	}
	for _, sequence := range []uint32{0, 1, 1, 0} {
		ack, err := publish(0, sequence)
		if err != nil || ack.GetBaseOffset() != 2*int64(sequence) || ack.GetCount() != 2 {
			t.Errorf("sequence %d: got %v, %v", sequence, ack, err)
		}
	}
	_, err := publish(0, 3)
	refused(t, "gap", err, codes.FailedPrecondition, "SEQUENCE_GAP")
	if ack, err := publish(1, 0); err != nil || ack.GetBaseOffset() != 4 {
		t.Errorf("a new epoch: got %v, %v", ack, err)
	}
	_, err = publish(0, 2)
	refused(t, "ended epoch", err, codes.FailedPrecondition, "FENCED")
	id = 1 << 62
	_, err = publish(0, 5)
	refused(t, "unknown producer", err, codes.Unknown, "OUTCOME_UNKNOWN")
	if status.Code(err) == codes.Unknown && k.publish(t, "s", "end").GetBaseOffset() != 6 {
		t.Error("something refused was stored")
	}
}

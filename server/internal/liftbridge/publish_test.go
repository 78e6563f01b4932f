package liftbridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/envelope"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

type message = liftbridgepb.PublishRequest

// Errors of a publish, in both ways of publishing (research: L§1.4).
func TestPublishRefusals(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	k.create(t, "readonly")
	k.create(t, "careful", func(r *liftbridgepb.CreateStreamRequest) {
		r.OptimisticConcurrencyControl = &liftbridgepb.NullableBool{Value: true}
	})
	_, err := k.SetStreamReadonly(call(t), &liftbridgepb.SetStreamReadonlyRequest{Name: "readonly", Readonly: true})
	must(t, err)
	async, err := k.PublishAsync(call(t))
	must(t, err)
	for _, test := range []struct {
		req   *message
		code  codes.Code
		async liftbridgepb.PublishAsyncError_Code
		text  string
	}{
		{&message{}, codes.InvalidArgument, liftbridgepb.PublishAsyncError_BAD_REQUEST, "no stream provided"},
		{&message{Stream: "x"}, codes.NotFound, liftbridgepb.PublishAsyncError_NOT_FOUND, "no such stream: x"},
		{&message{Stream: "s", Partition: 3}, codes.NotFound, liftbridgepb.PublishAsyncError_NOT_FOUND, "no such partition: 3"},
		{&message{Stream: "readonly"}, codes.FailedPrecondition, liftbridgepb.PublishAsyncError_READONLY, "readonly partition: 0"},
		{
			&message{Stream: "careful", AckPolicy: liftbridgepb.AckPolicy_NONE}, codes.InvalidArgument, liftbridgepb.PublishAsyncError_BAD_REQUEST,
			"stream with concurrency control must have AckPolicy set",
		},
		{&message{Stream: "careful", ExpectedOffset: 1}, codes.Unknown, liftbridgepb.PublishAsyncError_INCORRECT_OFFSET, "incorrect expected offset"},
		{&message{Stream: "s", AckPolicy: 9}, codes.InvalidArgument, liftbridgepb.PublishAsyncError_BAD_REQUEST, "Unknown AckPolicy 9"},
		{&message{Stream: "__cursors"}, codes.PermissionDenied, liftbridgepb.PublishAsyncError_PERMISSION_DENIED, ""},
		{&message{Stream: "s", Value: make([]byte, 9<<20)}, codes.InvalidArgument, liftbridgepb.PublishAsyncError_BAD_REQUEST, ""},
	} {
		what := fmt.Sprintf("%.80s", test.req)
		_, err := k.Publish(call(t), test.req)
		refused(t, what, err, test.code, test.text)
		test.req.CorrelationId = what
		must(t, async.Send(test.req))
		res, err := async.Recv()
		must(t, err)
		if e := res.GetAsyncError(); e == nil || e.GetCode() != test.async || res.GetCorrelationId() != what || res.GetAck() == nil ||
			res.GetAck().GetCorrelationId() != "" || test.text != "" && e.GetMessage() != test.text {
			t.Errorf("%s: got %v", what, res)
		}
	}
	if acks := k.publish(t, "s", "x"); acks[0].GetOffset() != 0 {
		t.Errorf("something that was refused is stored: the next offset is %d", acks[0].GetOffset())
	}
}

// Without a deadline, or with the policy NONE, a publish answers at once and without an ack, and the message is stored.
func TestPublishWithoutAck(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	res, err := k.Publish(t.Context(), &message{Stream: "s", Value: []byte("0"), AckPolicy: liftbridgepb.AckPolicy_ALL})
	if err != nil || res.GetAck() != nil {
		t.Errorf("without a deadline: %v, %v", res, err)
	}
	res, err = k.Publish(call(t), &message{Stream: "s", Value: []byte("1"), AckPolicy: liftbridgepb.AckPolicy_NONE})
	if err != nil || res.GetAck() != nil {
		t.Errorf("NONE: %v, %v", res, err)
	}
	if ack := k.publish(t, "s", "2")[0]; ack.GetOffset() != 2 {
		t.Errorf("the third is at %d", ack.GetOffset())
	}
}

// The ack has all fields, and goes to the inbox that the publisher named as well.
func TestAck(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(r *liftbridgepb.CreateStreamRequest) { r.Partitions = 2 })
	inbox, err := k.nats.SubscribeSync("my.inbox")
	must(t, err)
	must(t, k.nats.Flush())
	before := time.Now().UnixNano()
	res, err := k.Publish(call(t), &message{Stream: "s", Partition: 1, AckInbox: "my.inbox", CorrelationId: "c", AckPolicy: liftbridgepb.AckPolicy_ALL})
	must(t, err)
	a := res.GetAck()
	if a.GetStream() != "s" || a.GetPartitionSubject() != "s.1" || a.GetMsgSubject() != "s.1" || a.GetOffset() != 0 || a.GetAckInbox() != "my.inbox" ||
		a.GetCorrelationId() != "c" || a.GetAckPolicy() != liftbridgepb.AckPolicy_ALL || a.GetReceptionTimestamp() < before ||
		a.GetCommitTimestamp() < a.GetReceptionTimestamp() || a.GetAckError() != 0 {
		t.Errorf("ack: %v", a)
	}
	msg, err := inbox.NextMsg(patience)
	must(t, err)
	if frame, err := envelope.ParseAck(msg.Data); err != nil || string(frame.CorrelationID) != "c" || string(frame.Subject) != "s.1" || frame.Offset != 0 {
		t.Errorf("frame: %+v, %v", frame, err)
	}
}

// A PublishAsync keeps the order of each partition, stores many at once, and answers what it has taken in when its client has
// sent all.
func TestPublishAsync(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(r *liftbridgepb.CreateStreamRequest) { r.Partitions = 2 })
	async, err := k.PublishAsync(call(t))
	must(t, err)
	const n = 2000
	for i := range n {
		req := &message{Stream: "s", Partition: int32(i % 2), CorrelationId: fmt.Sprint(i), Value: fmt.Append(nil, i)}
		if i%10 == 0 {
			req.AckPolicy = liftbridgepb.AckPolicy_NONE
		}
		must(t, async.Send(req))
	}
	must(t, async.CloseSend())
	for answered := 0; ; answered++ {
		res, err := async.Recv()
		if err != nil {
			if answered != n-n/10 || err.Error() != "EOF" {
				t.Errorf("%d answers, then %v", answered, err)
			}
			break
		}
		var i int64
		if _, err := fmt.Sscan(res.GetAck().GetCorrelationId(), &i); err != nil || res.GetAck().GetOffset() != i/2 || res.GetCorrelationId() != fmt.Sprint(i) {
			t.Fatalf("message %d: %v, %v", i, res, err)
		}
	}
	for p := range int32(2) {
		got, _ := k.read(t, &subscribe{Stream: "s", Partition: p, StartPosition: earliest, StopPosition: stopLatest})
		for j, value := range got {
			if value != fmt.Sprint(2*j+int(p)) {
				t.Fatalf("partition %d: message %d is %s", p, j, value)
			}
		}
		if len(got) != n/2 {
			t.Errorf("partition %d has %d messages", p, len(got))
		}
	}
}

// A PublishAsync ends with Unavailable when the broker stops: clients come back upon nothing else (research: L§5.3).
func TestPublishAsyncEnds(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	async, err := k.PublishAsync(call(t))
	must(t, err)
	must(t, async.Send(&message{Stream: "s"}))
	_, err = async.Recv()
	must(t, err)
	k.service.End()
	_, err = async.Recv()
	refused(t, "a stop", err, codes.Unavailable, "")
}

// Of records with a message id that was stored before, the ack names the first offset; those beside it have their own.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	send := func(ids ...string) (offsets []int64) {
		async, err := k.PublishAsync(call(t))
		must(t, err)
		for _, id := range ids {
			must(t, async.Send(&message{Stream: "s", CorrelationId: id, Headers: map[string][]byte{"Nats-Msg-Id": []byte(id)}}))
		}
		must(t, async.CloseSend())
		for range ids {
			res, err := async.Recv()
			must(t, err)
			offsets = append(offsets, res.GetAck().GetOffset())
		}
		return offsets
	}
	if got := fmt.Sprint(send("a", "b")); got != "[0 1]" {
		t.Errorf("first: %s", got)
	}
	if got := fmt.Sprint(send("c", "a", "d", "b", "e")); got != "[2 0 3 1 4]" {
		t.Errorf("then: %s", got)
	}
}

// PublishToSubject returns the first ack, whichever stream gives it, and without a deadline none.
func TestPublishToSubject(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(r *liftbridgepb.CreateStreamRequest) {
		r.OptimisticConcurrencyControl = &liftbridgepb.NullableBool{Value: true}
	})
	inbox, err := k.nats.SubscribeSync("acks")
	must(t, err)
	must(t, k.nats.Flush())
	for i := range 2 { // expecting no offset, also where Liftbridge takes it for 0
		res, err := k.PublishToSubject(call(t), &liftbridgepb.PublishToSubjectRequest{
			Subject: "s", Value: []byte("v"), Key: []byte("k"), Headers: map[string][]byte{"h": []byte("x")}, CorrelationId: "c", AckInbox: "acks",
		})
		must(t, err)
		if a := res.GetAck(); a.GetOffset() != int64(i) || a.GetStream() != "s" || a.GetCorrelationId() != "c" || a.GetAckInbox() != "acks" {
			t.Errorf("ack: %v", a)
		}
		_, err = inbox.NextMsg(patience)
		must(t, err)
	}
	res, err := k.PublishToSubject(t.Context(), &liftbridgepb.PublishToSubjectRequest{Subject: "s", AckInbox: "acks"})
	if err != nil || res.GetAck() != nil {
		t.Errorf("without a deadline: %v, %v", res, err)
	}
	_, err = inbox.NextMsg(patience)
	must(t, err)
	for _, subject := range []string{"", "a b", "s.*", ">", "$SYS.x", strings.Repeat("x", 2000)} {
		_, err := k.PublishToSubject(call(t), &liftbridgepb.PublishToSubjectRequest{Subject: subject})
		refused(t, subject, err, codes.InvalidArgument, "")
	}
}

// What is published through gRPC is fanned out on NATS: streams made here have it on (protocol.md 2.1).
func TestFanout(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	heard := make(chan *nats.Msg, 1)
	sub, err := k.nats.ChanSubscribe("s", heard)
	must(t, err)
	must(t, k.nats.Flush())
	k.publish(t, "s", "x")
	select {
	case m := <-heard:
		if string(m.Data) != "x" {
			t.Errorf("got %q", m.Data)
		}
	case <-time.After(patience):
		t.Error("nothing is fanned out")
	}
	must(t, sub.Unsubscribe())
}

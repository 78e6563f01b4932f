package liftbridge_test

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

type subscribe = liftbridgepb.SubscribeRequest

// Names of positions, shorter.
const (
	newOnly  = liftbridgepb.StartPosition_NEW_ONLY
	atOffset = liftbridgepb.StartPosition_OFFSET
	earliest = liftbridgepb.StartPosition_EARLIEST
	latest   = liftbridgepb.StartPosition_LATEST
	atTime   = liftbridgepb.StartPosition_TIMESTAMP

	stopOffset = liftbridgepb.StopPosition_STOP_OFFSET
	stopLatest = liftbridgepb.StopPosition_STOP_LATEST
	stopTime   = liftbridgepb.StopPosition_STOP_TIMESTAMP
)

// Every start and stop, forwards and backwards: ends are inclusive, and reaching the stop is ResourceExhausted.
func TestPositions(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	acks := k.publish(t, "s", "0", "1", "2", "3", "4")
	at := func(i int) int64 { return acks[i].GetReceptionTimestamp() }
	for name, test := range map[string]struct {
		req  *subscribe
		want string
	}{
		"all":                   {&subscribe{StartPosition: earliest, StopPosition: stopLatest}, "0 1 2 3 4"},
		"offsets":               {&subscribe{StartPosition: atOffset, StartOffset: 1, StopPosition: stopOffset, StopOffset: 3}, "1 2 3"},
		"one":                   {&subscribe{StartPosition: atOffset, StartOffset: 2, StopPosition: stopOffset, StopOffset: 2}, "2"},
		"below the oldest":      {&subscribe{StartPosition: atOffset, StartOffset: math.MinInt64, StopPosition: stopOffset}, "0"},
		"latest":                {&subscribe{StartPosition: latest, StopPosition: stopLatest}, "4"},
		"times":                 {&subscribe{StartPosition: atTime, StartTimestamp: at(1), StopPosition: stopTime, StopTimestamp: at(3)}, "1 2 3"},
		"before all":            {&subscribe{StartPosition: atTime, StartTimestamp: -1 << 62, StopPosition: stopOffset, StopOffset: 1}, "0 1"},
		"unused fields":         {&subscribe{StartPosition: latest, StartOffset: 1, StartTimestamp: 7, StopPosition: stopLatest, StopOffset: -5, StopTimestamp: 3}, "4"},
		"reverse to an offset":  {&subscribe{Reverse: true, StopPosition: stopOffset, StopOffset: 2}, "4 3 2"},
		"reverse between":       {&subscribe{Reverse: true, StartPosition: atOffset, StartOffset: 3, StopPosition: stopOffset, StopOffset: 1}, "3 2 1"},
		"reverse to the latest": {&subscribe{Reverse: true, StopPosition: stopLatest}, "4"},
		"reverse to a time":     {&subscribe{Reverse: true, StartPosition: latest, StopPosition: stopTime, StopTimestamp: at(3)}, "4 3"},
		"reverse from a time":   {&subscribe{Reverse: true, StartPosition: atTime, StartTimestamp: at(1), StopPosition: stopOffset, StopOffset: 0}, "1 0"},
		"reverse from beyond":   {&subscribe{Reverse: true, StartPosition: atOffset, StartOffset: 99, StopPosition: stopOffset, StopOffset: 4}, "4"},
	} {
		test.req.Stream = "s"
		got, err := k.read(t, test.req)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		refused(t, name, err, codes.ResourceExhausted, "Stop offset reached")
	}
	got, err := k.read(t, &subscribe{Stream: "s", Reverse: true})
	if strings.Join(got, " ") != "4 3 2 1 0" || !errors.Is(err, io.EOF) {
		t.Errorf("reverse to the oldest: got %q, %v", got, err)
	}
}

// What no subscription can be is refused before the first message.
func TestSubscribeRefusals(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	k.create(t, "empty")
	k.publish(t, "s", "0", "1", "2")
	for _, test := range []struct {
		req  *subscribe
		code codes.Code
		text string
	}{
		{&subscribe{Stream: "nope"}, codes.NotFound, "No such partition"},
		{&subscribe{Stream: "s", Partition: 1}, codes.NotFound, "No such partition"},
		{&subscribe{Stream: "s", Partition: -1, Resume: true}, codes.NotFound, "No such partition"},
		{&subscribe{Stream: "s", Consumer: &liftbridgepb.Consumer{GroupId: "g"}}, codes.InvalidArgument, "Consumer id cannot be empty when group id is provided"},
		{
			&subscribe{Stream: "s", ReadISRReplica: true, Consumer: &liftbridgepb.Consumer{GroupId: "g", ConsumerId: "c"}},
			codes.InvalidArgument, "Consumer groups not compatible with ReadISRReplica",
		},
		{
			&subscribe{Stream: "s", StartPosition: atOffset, StartOffset: 2, StopPosition: stopOffset, StopOffset: 1},
			codes.InvalidArgument, "Stop offset is before start offset: 1 < 2",
		},
		{&subscribe{Stream: "s", StartPosition: newOnly, StopPosition: stopLatest}, codes.InvalidArgument, "Stop offset is before start offset: 2 < 3"},
		{&subscribe{Stream: "empty", StopPosition: stopLatest}, codes.ResourceExhausted, "Stream is empty"},
		{&subscribe{Stream: "s", StartPosition: 99}, codes.InvalidArgument, "Unknown StartPosition 99"},
		{&subscribe{Stream: "s", StopPosition: 99}, codes.InvalidArgument, "Unknown StopPosition 99"},
	} {
		got, err := k.read(t, test.req)
		refused(t, test.req.String(), err, test.code, test.text)
		if len(got) > 0 {
			t.Errorf("%v: got %q", test.req, got)
		}
	}
}

// Headers show subject and reply, whatever the message's own of these names say, and text that is no UTF-8 is made so.
func TestMessage(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s.>", func(r *liftbridgepb.CreateStreamRequest) { r.Name = "s" })
	must(t, k.nats.PublishRequest("s.a\xff", "back", []byte("plain")))
	for k.next(t, "s") == 0 { // it is on its way
		must(t, t.Context().Err())
	}
	_, err := k.Publish(call(t), &liftbridgepb.PublishRequest{Stream: "s", Value: []byte("v"), Key: []byte("k"), Headers: map[string][]byte{
		"subject": []byte("mine"), "h": []byte("x"),
	}})
	must(t, err)
	sub, err := k.Subscribe(call(t), &subscribe{Stream: "s", StartPosition: earliest})
	must(t, err)
	var got []*liftbridgepb.Message
	for range 3 {
		m, err := sub.Recv()
		must(t, err)
		got = append(got, m)
	}
	first, second := got[1], got[2]
	if first.GetSubject() != "s.a\uFFFD" || first.GetReplySubject() != "back" || string(first.GetHeaders()["subject"]) != "s.a\xff" ||
		string(first.GetHeaders()["reply"]) != "back" || first.GetTimestamp() == 0 || len(first.GetKey()) != 0 {
		t.Errorf("captured: %v", first)
	}
	if second.GetOffset() != 1 || second.GetSubject() != "s.>" || string(second.GetHeaders()["subject"]) != "s.>" ||
		string(second.GetHeaders()["h"]) != "x" || string(second.GetKey()) != "k" || second.GetStream() != "s" {
		t.Errorf("published: %v", second)
	}
}

// How subscriptions end: each with the code that its client acts on (research: L§1.5).
func TestSubscriptionEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(k *kit, ctx context.Context) error
		code codes.Code
	}{
		"paused": {func(k *kit, ctx context.Context) error {
			_, err := k.PauseStream(ctx, &liftbridgepb.PauseStreamRequest{Name: "s"})
			return err
		}, codes.FailedPrecondition},
		"read-only": {func(k *kit, ctx context.Context) error {
			_, err := k.SetStreamReadonly(ctx, &liftbridgepb.SetStreamReadonlyRequest{Name: "s", Readonly: true})
			return err
		}, codes.ResourceExhausted},
		"deleted": {func(k *kit, ctx context.Context) error {
			_, err := k.DeleteStream(ctx, &liftbridgepb.DeleteStreamRequest{Name: "s"})
			return err
		}, codes.NotFound},
		"broker stops": {func(k *kit, _ context.Context) error { k.service.End(); return nil }, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := start(t)
			k.create(t, "s")
			k.publish(t, "s", "0")
			sub, err := k.Subscribe(call(t), &subscribe{Stream: "s", StartPosition: earliest})
			must(t, err)
			for range 2 {
				_, err := sub.Recv()
				must(t, err)
			}
			must(t, test.do(k, call(t)))
			_, err = sub.Recv()
			refused(t, name, err, test.code, "")
		})
	}
}

// Of the members of a group one reads a partition: the one that was assigned it last.
func TestFencing(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	member := func(id string, epoch uint64) (liftbridgepb.API_SubscribeClient, error) {
		sub, err := k.Subscribe(call(t), &subscribe{Stream: "s", Consumer: &liftbridgepb.Consumer{GroupId: "g", ConsumerId: id, GroupEpoch: epoch}})
		must(t, err)
		_, err = sub.Recv()
		return sub, err
	}
	old, err := member("a", 5)
	must(t, err)
	_, err = member("b", 4)
	refused(t, "an earlier epoch", err, codes.FailedPrecondition, "Consumer is not currently assigned this partition")
	next, err := member("b", 6)
	must(t, err)
	if _, err := old.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the member that was replaced: %v, want a clean end", err)
	}
	k.publish(t, "s", "x")
	if m, err := next.Recv(); err != nil || string(m.GetValue()) != "x" {
		t.Errorf("the member that replaced it: %v, %v", m, err)
	}
}

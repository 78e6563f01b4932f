package liftbridge_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	"github.com/trestlehq/trestle/server/internal/liftbridge"
)

// events reads __activity.
type events struct {
	t    *testing.T
	sub  grpc.ServerStreamingClient[liftbridgepb.Message]
	last uint64
}

func (k *kit) events(t *testing.T) *events {
	t.Helper()
	for {
		sub, err := k.Subscribe(call(t), &liftbridgepb.SubscribeRequest{Stream: "__activity", StartPosition: liftbridgepb.StartPosition_EARLIEST})
		must(t, err)
		if _, err := sub.Recv(); err == nil {
			return &events{t: t, sub: sub}
		} else if status.Code(err) != codes.NotFound && status.Code(err) != codes.Unavailable {
			t.Fatalf("there is no stream of events: %v", err)
		}
	}
}

// expect checks the next event, whose id is greater than those before.
func (e *events) expect(want string) {
	e.t.Helper()
	m, err := e.sub.Recv()
	must(e.t, err)
	event := &liftbridgepb.ActivityStreamEvent{}
	must(e.t, proto.Unmarshal(m.GetValue(), event))
	if event.GetId() <= e.last {
		e.t.Errorf("event %d after %d", event.GetId(), e.last)
	}
	e.last = event.GetId()
	if got := describe(event); got != want {
		e.t.Errorf("got event %s, want %s", got, want)
	}
}

// describe an event: what happened, and what fits that.
func describe(e *liftbridgepb.ActivityStreamEvent) string {
	switch e.GetOp() {
	case liftbridgepb.ActivityStreamOp_CREATE_STREAM:
		return fmt.Sprintf("create %s %v", e.GetCreateStreamOp().GetStream(), e.GetCreateStreamOp().GetPartitions())
	case liftbridgepb.ActivityStreamOp_DELETE_STREAM:
		return fmt.Sprintf("delete %s", e.GetDeleteStreamOp().GetStream())
	case liftbridgepb.ActivityStreamOp_PAUSE_STREAM:
		op := e.GetPauseStreamOp()
		return fmt.Sprintf("pause %s %v %v", op.GetStream(), op.GetPartitions(), op.GetResumeAll())
	case liftbridgepb.ActivityStreamOp_RESUME_STREAM:
		return fmt.Sprintf("resume %s %v", e.GetResumeStreamOp().GetStream(), e.GetResumeStreamOp().GetPartitions())
	case liftbridgepb.ActivityStreamOp_SET_STREAM_READONLY:
		op := e.GetSetStreamReadonlyOp()
		return fmt.Sprintf("readonly %s %v %v", op.GetStream(), op.GetPartitions(), op.GetReadonly())
	case liftbridgepb.ActivityStreamOp_JOIN_CONSUMER_GROUP:
		op := e.GetJoinConsumerGroupOp()
		return fmt.Sprintf("join %s %s %v", op.GetGroupId(), op.GetConsumerId(), op.GetStreams())
	case liftbridgepb.ActivityStreamOp_LEAVE_CONSUMER_GROUP:
		op := e.GetLeaveConsumerGroupOp()
		return fmt.Sprintf("leave %s %s %v", op.GetGroupId(), op.GetConsumerId(), op.GetExpired())
	}
	return e.String()
}

// Whatever happens to streams and groups is in __activity, once, in its order (liftbridge.md 1.7).
func TestActivity(t *testing.T) {
	k := start(t, func(c *liftbridge.Config) { c.Activity = true })
	all := k.events(t)
	k.create(t, "s", func(req *liftbridgepb.CreateStreamRequest) { req.Partitions = 2 })
	all.expect("create s [0 1]")
	_, err := k.PauseStream(call(t), &liftbridgepb.PauseStreamRequest{Name: "s", ResumeAll: true})
	must(t, err)
	all.expect("pause s [0 1] true")
	k.publish(t, "s", "x")
	all.expect("resume s [0 1]")
	_, err = k.SetStreamReadonly(call(t), &liftbridgepb.SetStreamReadonlyRequest{Name: "s", Partitions: []int32{1}, Readonly: true})
	must(t, err)
	all.expect("readonly s [1] true")
	_, err = k.SetStreamReadonly(call(t), &liftbridgepb.SetStreamReadonlyRequest{Name: "s", Partitions: []int32{1}})
	must(t, err)
	all.expect("readonly s [1] false")
	for _, id := range []string{"a", "b"} {
		_, err = k.JoinConsumerGroup(call(t), &liftbridgepb.JoinConsumerGroupRequest{GroupId: "g", ConsumerId: id, Streams: []string{"s"}})
		must(t, err)
		all.expect("join g " + id + " [s]")
	}
	_, err = k.LeaveConsumerGroup(call(t), &liftbridgepb.LeaveConsumerGroupRequest{GroupId: "g", ConsumerId: "a"})
	must(t, err)
	all.expect("leave g a false")
	k.clock.advance(time.Minute)
	_, err = k.FetchMetadata(call(t), &liftbridgepb.FetchMetadataRequest{Groups: []string{"g"}})
	must(t, err)
	all.expect("leave g b true")
}

// Whoever records after another reads what that one recorded, and adds what happened meanwhile.
func TestActivityGoesOn(t *testing.T) {
	k := start(t)
	config := k.config
	config.Activity = true
	first := liftbridge.New(config)
	all := k.events(t)
	k.create(t, "s")
	all.expect("create s [0]")
	k.create(t, "other")
	all.expect("create other [0]")
	first.End()
	first.Wait()
	_, err := k.DeleteStream(call(t), &liftbridgepb.DeleteStreamRequest{Name: "s"})
	must(t, err)
	k.create(t, "s")
	_, err = k.PauseStream(call(t), &liftbridgepb.PauseStreamRequest{Name: "other"})
	must(t, err)
	second := liftbridge.New(config)
	defer func() { second.End(); second.Wait() }()
	all.expect("delete s")
	all.expect("pause other [0] false")
	all.expect("create s [0]")
	k.create(t, "last")
	all.expect("create last [0]")
}

// Nobody else writes there, and it is not there unless asked for.
func TestActivityIsNotAnyones(t *testing.T) {
	k := start(t)
	all, err := k.FetchMetadata(call(t), &liftbridgepb.FetchMetadataRequest{Streams: []string{"__activity"}})
	must(t, err)
	if all.GetStreamMetadata()[0].GetError() != liftbridgepb.StreamMetadata_UNKNOWN_STREAM {
		t.Errorf("got %v", all)
	}
	k = start(t, func(c *liftbridge.Config) { c.Activity = true })
	k.events(t)
	if _, err := k.Publish(call(t), &liftbridgepb.PublishRequest{Stream: "__activity", Value: []byte("x")}); err == nil {
		t.Error("somebody published there")
	}
	if _, err := k.DeleteStream(call(t), &liftbridgepb.DeleteStreamRequest{Name: "__activity"}); err == nil {
		t.Error("somebody deleted it")
	}
}

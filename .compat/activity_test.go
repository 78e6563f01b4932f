package compat

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
	proto "github.com/liftbridge-io/liftbridge-api/v2/go"
	protobuf "google.golang.org/protobuf/proto"
)

// recording turns the stream of events on.
func recording(b *broker) { b.activity = true }

// activity reads __activity from the beginning, once it is there.
func activity(t *testing.T, ctx context.Context, c lift.Client) *reader {
	t.Helper()
	for {
		r, err := trySubscribe(t, c, "__activity", lift.StartAtEarliestReceived())
		if err == nil {
			return r
		}
		if ctx.Err() != nil {
			t.Fatalf("there is no stream of events: %v", err)
		}
	}
}

// happens checks the next event that is not about a stream of the server's own, which one of them does not tell of.
func (r *reader) happens(want string) {
	r.t.Helper()
	for {
		got := r.next()
		if got.err != nil {
			r.t.Fatalf("%v, want %s", got.err, want)
		}
		event := &proto.ActivityStreamEvent{}
		if err := protobuf.Unmarshal(got.msg.Value(), event); err != nil {
			r.t.Fatal(err)
		}
		if text := inShort(event); !strings.Contains(text, "__") {
			if text != want {
				r.t.Fatalf("got %s, want %s", text, want)
			}
			return
		}
	}
}

func inShort(e *proto.ActivityStreamEvent) string {
	switch e.GetOp() {
	case proto.ActivityStreamOp_CREATE_STREAM:
		return fmt.Sprint("create ", e.GetCreateStreamOp().GetStream(), e.GetCreateStreamOp().GetPartitions())
	case proto.ActivityStreamOp_DELETE_STREAM:
		return "delete " + e.GetDeleteStreamOp().GetStream()
	case proto.ActivityStreamOp_PAUSE_STREAM:
		return fmt.Sprint("pause ", e.GetPauseStreamOp().GetStream(), e.GetPauseStreamOp().GetPartitions())
	case proto.ActivityStreamOp_RESUME_STREAM:
		return fmt.Sprint("resume ", e.GetResumeStreamOp().GetStream(), e.GetResumeStreamOp().GetPartitions())
	case proto.ActivityStreamOp_SET_STREAM_READONLY:
		return fmt.Sprint("readonly ", e.GetSetStreamReadonlyOp().GetStream(), e.GetSetStreamReadonlyOp().GetPartitions())
	case proto.ActivityStreamOp_JOIN_CONSUMER_GROUP:
		return "join " + e.GetJoinConsumerGroupOp().GetGroupId() + " " + e.GetJoinConsumerGroupOp().GetConsumerId()
	default:
		return "leave " + e.GetLeaveConsumerGroupOp().GetGroupId() + " " + e.GetLeaveConsumerGroupOp().GetConsumerId()
	}
}

// What happens to streams and groups is told in __activity, with Liftbridge's own messages, once each, also over a restart.
func TestActivity(t *testing.T) {
	b := start(t, recording)
	c, ctx := b.connect()
	all := activity(t, ctx, c)
	create(t, ctx, c, "s")
	all.happens("create s[0]")
	if err := c.PauseStream(ctx, "s", lift.PausePartitions(0)); err != nil {
		t.Fatal(err)
	}
	all.happens("pause s[0]")
	publish(t, ctx, c, "s", "x")
	all.happens("resume s[0]")
	if err := c.SetStreamReadonly(ctx, "s", lift.ReadonlyPartitions(0)); err != nil {
		t.Fatal(err)
	}
	all.happens("readonly s[0]")
	m := join(t, b, c, "one", "s", once)
	all.happens("join group one")
	m.expect("x")
	m.leave()
	all.happens("leave group one")
	if err := c.DeleteStream(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	all.happens("delete s")
	t.Run("restart", func(t *testing.T) {
		b.restart(syscall.SIGKILL)
		c, ctx := b.connect()
		create(t, ctx, c, "after")
		all := activity(t, ctx, c)
		for _, want := range []string{
			"create s[0]", "pause s[0]", "resume s[0]", "readonly s[0]", "join group one", "leave group one", "delete s", "create after[0]",
		} {
			all.happens(want)
		}
	})
}

package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func TestPublishSendsRecords(t *testing.T) {
	t.Parallel()
	full := client.Message{
		Stream: "ignored", Partition: 7, Offset: 9, Time: time.Now(),
		Subject: "orders.\xff", Reply: "answers", Key: []byte("k"), Value: []byte("v"), Tombstone: true,
		Headers: []client.HeaderField{{Name: "A", Value: []byte("1")}, {Name: "Nats-Msg-Id", Value: []byte("old")}, {Name: "A", Value: nil}},
	}
	header := func(name, value string) *trestlev1.Header {
		return &trestlev1.Header{Name: []byte(name), Value: []byte(value)}
	}
	tests := []struct {
		name     string
		messages []client.Message
		opts     []client.PublishOption
		want     []*trestlev1.Record
	}{
		{"no value", []client.Message{{}}, nil, []*trestlev1.Record{{}}},
		{"an empty value and key", []client.Message{{Value: []byte{}, Key: []byte{}}}, nil, []*trestlev1.Record{{Value: []byte{}, Key: []byte{}}}},
		{"all that a message has", []client.Message{full}, nil, []*trestlev1.Record{{
			Subject: []byte("orders.\xff"), Reply: []byte("answers"), Key: []byte("k"), Value: []byte("v"), Tombstone: true,
			Headers: []*trestlev1.Header{header("A", "1"), header("Nats-Msg-Id", "old"), header("A", "")},
		}}},
		{
			"options on top",
			[]client.Message{full},
			[]client.PublishOption{
				client.Key("other"), client.OnSubject("orders.new"), client.ID("new"), client.Header("B", "2"), client.Header("B", []byte{3}),
			},
			[]*trestlev1.Record{{
				Subject: []byte("orders.new"), Reply: []byte("answers"), Key: []byte("other"), Value: []byte("v"), Tombstone: true,
				Headers: []*trestlev1.Header{header("A", "1"), header("A", ""), header("B", "2"), header("B", "\x03"), header("Nats-Msg-Id", "new")},
			}},
		},
		{
			"options hold for all of a batch",
			[]client.Message{{Value: []byte("1")}, {Value: []byte("2"), Key: []byte("own")}},
			[]client.PublishOption{client.Key([]byte("k")), client.Header("H", "h")},
			[]*trestlev1.Record{
				{Key: []byte("k"), Value: []byte("1"), Headers: []*trestlev1.Header{header("H", "h")}},
				{Key: []byte("k"), Value: []byte("2"), Headers: []*trestlev1.Header{header("H", "h")}},
			},
		},
	}
	server := newFakeServer("orders", 1)
	s := connect(t, server.listen(t).addr).Stream("orders")
	for _, test := range tests {
		server.with(func() { server.published = nil })
		if _, err := s.PublishBatch(within(t), test.messages, test.opts...); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		req := server.published[0]
		var got trestlev1.Records
		if err := proto.Unmarshal(req.Records, &got); err != nil {
			t.Errorf("%s: generated code cannot read the records: %v", test.name, err)
		}
		if diff := cmp.Diff(&trestlev1.Records{Records: test.want}, &got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: records (-want +got):\n%s", test.name, diff)
		}
		if req.RecordsCRC == nil || *req.RecordsCRC != batch.Checksum(req.Records) {
			t.Errorf("%s: the checksum sent is not that of the records", test.name)
		}
	}
}

func TestPublishSendsWhatOptionsSay(t *testing.T) {
	t.Parallel()
	one, zero := int32(1), int64(0)
	tests := []struct {
		name string
		opts []client.PublishOption
		want codec.PublishRequest
	}{
		{"nothing", nil, codec.PublishRequest{}},
		{"ack none", []client.PublishOption{client.AckNone()}, codec.PublishRequest{Ack: trestlev1.AckPolicy_ACK_POLICY_NONE}},
		{"ack leader", []client.PublishOption{client.AckLeader()}, codec.PublishRequest{Ack: trestlev1.AckPolicy_ACK_POLICY_LEADER}},
		{"ack all", []client.PublishOption{client.AckAll()}, codec.PublishRequest{Ack: trestlev1.AckPolicy_ACK_POLICY_ALL}},
		{"to a partition", []client.PublishOption{client.To(1)}, codec.PublishRequest{Partition: &one}},
		{"an expected offset of 0", []client.PublishOption{client.ExpectNext(0)}, codec.PublishRequest{ExpectedNextOffset: &zero}},
	}
	server := newFakeServer("orders", 2)
	s := connect(t, server.listen(t).addr).Stream("orders")
	for _, test := range tests {
		server.with(func() { server.published = nil })
		if _, err := s.Publish(within(t), []byte("v"), test.opts...); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got := *server.published[0]
		test.want.Stream, test.want.Records, test.want.Framed, test.want.RecordsCRC = "orders", got.Records, got.Framed, got.RecordsCRC
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: request (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestPublishRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	c := connect(t, server.listen(t).addr)
	two := make([]client.Message, 2)
	for name, call := range map[string]func(*client.Stream) error{
		"no messages":         func(s *client.Stream) error { _, err := s.PublishBatch(t.Context(), nil); return err },
		"one ID for two":      func(s *client.Stream) error { _, err := s.PublishBatch(t.Context(), two, client.ID("x")); return err },
		"a partition below 0": func(s *client.Stream) error { _, err := s.Publish(t.Context(), nil, client.To(-1)); return err },
		"a name of no stream": func(*client.Stream) error { _, err := c.Stream("\xff").Publish(t.Context(), nil); return err },
	} {
		if err := call(c.Stream("orders")); !errors.Is(err, client.ErrInvalidArgument) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("%s: got %v, want an invalid argument", name, err)
		}
	}
	if len(server.published) != 0 {
		t.Errorf("%d requests were sent, want none", len(server.published))
	}
}

func TestAcks(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 2)
	s := connect(t, server.listen(t).addr).Stream("orders")
	for _, want := range []int64{0, 3} {
		got, err := s.PublishBatch(within(t), make([]client.Message, 3), client.To(1))
		if err != nil {
			t.Fatal(err)
		}
		wanted := client.Ack{
			Stream: "orders", Partition: 1, Offset: want, Count: 3, Time: time.Unix(0, timeOf(uint64(want/3+1))), LeaderEpoch: 1, Durable: true,
		}
		if diff := cmp.Diff(wanted, got); diff != "" || got.Duplicate() {
			t.Errorf("ack (-want +got):\n%s", diff)
		}
	}
	server.acks = []*trestlev1.Ack{{BaseOffset: 6, Time: 1, Duplicates: []*trestlev1.Duplicate{{Index: 0, Offset: 2}}}}
	got, err := s.Publish(within(t), nil, client.ID("again"))
	if err != nil || !got.Duplicate() || got.Offset != 2 || got.Count != 0 {
		t.Errorf("a duplicate: got %+v (%v), want the offset it had", got, err)
	}
	server.acks = []*trestlev1.Ack{{BaseOffset: 6, Count: 1, Time: 1, Duplicates: []*trestlev1.Duplicate{{Index: 1, Offset: 2}}}}
	got, err = s.PublishBatch(within(t), make([]client.Message, 2))
	if err != nil || got.Duplicate() || got.Offset != 6 || !cmp.Equal(got.Duplicates, []client.Duplicate{{Index: 1, Offset: 2}}) {
		t.Errorf("a batch with a duplicate: got %+v (%v)", got, err)
	}
	server.acks = []*trestlev1.Ack{}
	got, err = s.Publish(within(t), nil, client.AckNone())
	if err != nil || got.Offset != -1 || got.Partition != -1 {
		t.Errorf("no ack, and none was asked for: got %+v (%v), want offset -1", got, err)
	}
	if _, err = s.Publish(within(t), nil); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("no ack, and one was asked for: got %v, want ErrOutcomeUnknown", err)
	}
	server.acks = make([]*trestlev1.Ack, 2)
	if _, err = s.Publish(within(t), make([]byte, 1<<20)); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("two acks: got %v, want ErrOutcomeUnknown", err)
	}
}

func TestPublishOutcomes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		answer  error
		is      error
		unknown bool
	}{
		{"a wrong offset", answer(codes.FailedPrecondition, "WRONG_OFFSET", "no", nil), client.ErrWrongOffset, false},
		{"not enough replicas", answer(codes.Unavailable, "NOT_ENOUGH_REPLICAS", "no", nil), client.ErrNotEnoughReplicas, false},
		{"shutting down", answer(codes.Unavailable, "SHUTTING_DOWN", "no", nil), client.ErrUnavailable, false},
		{"a reason of a newer server", answer(codes.Unavailable, "MOON_IS_FULL", "no", nil), client.ErrInternal, false},
		{"not allowed, by gRPC", status.Error(codes.PermissionDenied, "no"), client.ErrInternal, false},
		{"too large, by gRPC", status.Error(codes.ResourceExhausted, "no"), client.ErrTooLarge, false},
		{"unknown, by the server", answer(codes.Unknown, "OUTCOME_UNKNOWN", "well", nil), client.ErrOutcomeUnknown, true},
		{"a fault", answer(codes.Internal, "INTERNAL", "well", nil), client.ErrOutcomeUnknown, true},
		{"the end of the server's patience", answer(codes.DeadlineExceeded, "DEADLINE_EXCEEDED", "well", nil), context.DeadlineExceeded, true},
		{"unavailable, by who knows whom", status.Error(codes.Unavailable, "well"), client.ErrOutcomeUnknown, true},
		{"an error that is no status", errors.New("well"), client.ErrOutcomeUnknown, true},
	}
	server := newFakeServer("orders", 1)
	addr := server.listen(t).addr
	for _, test := range tests {
		s := connect(t, addr).Stream("orders")
		server.with(func() {
			server.onPublish = func(context.Context, *codec.PublishRequest) error { return test.answer }
		})
		_, err := s.Publish(within(t), nil)
		if !errors.Is(err, test.is) || errors.Is(err, client.ErrOutcomeUnknown) != test.unknown {
			t.Errorf("%s: got %v, want %v, outcome unknown: %t", test.name, err, test.is, test.unknown)
		}
		for _, no := range []error{client.ErrUnavailable, client.ErrInternal} {
			if test.unknown && errors.Is(err, no) {
				t.Errorf("%s: the outcome is unknown, and the error is also %q", test.name, no)
			}
		}
	}
}

func TestOutcomeIsUnknownOnceTheBatchHasLeft(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	listening := server.listen(t)
	s := connect(t, listening.addr).Stream("orders")

	ctx, cancel := context.WithCancel(within(t))
	release := make(chan struct{})
	server.afterStore = func(context.Context) error {
		cancel()
		<-release
		return nil
	}
	if _, err := s.Publish(ctx, nil); !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("the context was done while the server stored: got %v, want ErrOutcomeUnknown because of it", err)
	}
	close(release)

	stopped := make(chan struct{})
	server.with(func() {
		server.afterStore = func(call context.Context) error {
			go func() {
				listening.stop()
				close(stopped)
			}()
			<-call.Done()
			return call.Err()
		}
	})
	if _, err := s.Publish(within(t), nil); !errors.Is(err, client.ErrOutcomeUnknown) || errors.Is(err, client.ErrUnavailable) {
		t.Errorf("the server died while it stored: got %v, want ErrOutcomeUnknown", err)
	}
	<-stopped
	if _, next := server.log(0).bounds(); next != 2 {
		t.Errorf("%d messages are stored, want the 2 whose outcome was unknown", next)
	}
}

func TestOutcomeIsNoWhenNothingHasLeft(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	listening := server.listen(t)
	s := connect(t, listening.addr).Stream("orders")
	for name, timeout := range map[string]time.Duration{"canceled": -1, "late": 0} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		if _, err := s.Publish(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("%s: got %v, want the context's error and no doubt", name, err)
		}
		cancel()
	}
	listening.stop()
	for { // until the broken connection is noticed
		if _, err := s.Info(within(t)); errors.Is(err, client.ErrUnavailable) {
			break
		}
	}
	if _, err := s.Publish(within(t), nil); !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("no server: got %v, want ErrUnavailable and no doubt", err)
	}
	if len(server.published) != 0 {
		t.Errorf("%d requests arrived, want none", len(server.published))
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/metadata/keyhash"
	"github.com/trestlehq/trestle/proto/codec"
)

// Messages of several partitions are as many batches, and acks come in the order of the messages; where one batch fails, its
// messages say so and the others are stored.
func TestPublishEach(t *testing.T) {
	t.Parallel()
	const partitions = 3
	server := newFakeServer("orders", partitions)
	s := connect(t, server.listen(t).addr).Stream("orders")
	var messages []client.Message
	want := make([][]string, partitions)
	for i := range 30 {
		m := client.Message{Key: []byte(fmt.Sprint(i % 7)), Value: []byte(fmt.Sprint(i))}
		messages = append(messages, m)
		home := keyhash.Murmur3(m.Key) % partitions
		want[home] = append(want[home], string(m.Value))
	}
	if _, err := s.PublishEach(within(t), messages, client.ExpectNext(0)); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("got %v with ExpectNext, want ErrInvalidArgument", err)
	}
	acks, err := s.PublishEach(within(t), messages)
	if err != nil || len(server.published) != partitions {
		t.Fatalf("%v, %d batches", err, len(server.published))
	}
	for i, ack := range acks {
		if got := want[ack.Partition][ack.Offset]; got != string(messages[i].Value) || ack.Count != 1 {
			t.Errorf("message %d: got %+v, where %s is", i, ack, got)
		}
	}
	for i := range partitions {
		if got := server.log(i).values(); !slices.Equal(got, want[i]) {
			t.Errorf("partition %d: got %v, want %v", i, got, want[i])
		}
	}
	server.with(func() {
		server.onPublish = func(_ context.Context, req *codec.PublishRequest) error {
			if *req.Partition == 1 {
				return answer(codes.FailedPrecondition, "PAUSED", "it is paused", nil)
			}
			return nil
		}
	})
	acks, err = s.PublishEach(within(t), messages)
	if !errors.Is(err, client.ErrPaused) || len(acks) != len(messages) {
		t.Fatalf("got %v, %d acks, want ErrPaused", err, len(acks))
	}
	for i, ack := range acks {
		if failed := ack.Offset == -1; failed != (ack.Partition == 1) {
			t.Errorf("message %d: got %+v", i, ack)
		}
	}
	if acks, err := s.PublishEach(within(t), messages[:2], client.To(2), client.ExpectNext(int64(len(server.log(2).values())))); err != nil || acks[1].Partition != 2 {
		t.Errorf("to one partition: got %+v, %v", acks, err)
	}
}

// protocol.md 3.15: what goes to a partition by a key says of how many, and is sent again when there are more by now.
func TestPublishLearnsOfNewPartitions(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 2)
	s := connect(t, server.listen(t).addr).Stream("orders")
	byKey := client.PartitionBy(client.ByKey())
	for _, partition := range []int{1, 2} { // hello is 168865661, which is 1 of 2 and 2 of 3
		ack, err := s.Publish(within(t), []byte("v"), client.Key("hello"), byKey)
		if err != nil || ack.Partition != partition {
			t.Errorf("got %+v, %v, want partition %d", ack, err, partition)
		}
		server.grow()
	}
	messages := []client.Message{{Key: []byte("hello")}, {Key: []byte("user-1")}}
	if _, err := s.PublishEach(within(t), messages); !errors.Is(err, client.ErrStalePartitions) {
		t.Errorf("got %v of several, want ErrStalePartitions", err)
	}
	if acks, err := s.PublishEach(within(t), messages); err != nil || acks[0].Partition != 168865661%4 || acks[1].Partition != 3441879530%4 {
		t.Errorf("got %+v, %v once it is known", acks, err)
	}
	if ack, err := s.Publish(within(t), []byte("v"), client.PartitionBy(client.RoundRobin())); err != nil {
		t.Errorf("in turn: got %+v, %v", ack, err)
	}
}

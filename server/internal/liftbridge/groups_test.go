package liftbridge_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

func (k *kit) join(t *testing.T, id string, streams ...string) *liftbridgepb.JoinConsumerGroupResponse {
	t.Helper()
	res, err := k.JoinConsumerGroup(call(t), &liftbridgepb.JoinConsumerGroupRequest{GroupId: "g", ConsumerId: id, Streams: streams})
	must(t, err)
	return res
}

// assigned is what the member reads: stream/partition, sorted.
func (k *kit) assigned(t *testing.T, id string, epoch uint64) (all []string) {
	t.Helper()
	res, err := k.FetchConsumerGroupAssignments(call(t), &liftbridgepb.FetchConsumerGroupAssignmentsRequest{GroupId: "g", ConsumerId: id, Epoch: epoch})
	must(t, err)
	if res.GetEpoch() != epoch {
		t.Errorf("epoch %d, want %d", res.GetEpoch(), epoch)
	}
	for _, a := range res.GetAssignments() {
		for _, p := range a.GetPartitions() {
			all = append(all, fmt.Sprintf("%s/%d", a.GetStream(), p))
		}
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// Members share the partitions of the streams that they subscribed to; each change begins an epoch, and whoever names another
// is told so by an error, upon which clients ask for the epoch (research: L§5.3).
func TestGroup(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "a", func(r *createStream) { r.Partitions = 3 })
	k.create(t, "b", func(r *createStream) { r.Partitions = 2 })
	first := k.join(t, "x", "b", "a", "a")
	if first.GetCoordinator() != "b" || first.GetConsumerTimeout() != int64(15*time.Second) || first.GetCoordinatorTimeout() != int64(15*time.Second) {
		t.Errorf("got %v", first)
	}
	same(t, "alone", k.assigned(t, "x", first.GetEpoch()), "a/0", "a/1", "a/2", "b/0", "b/1")
	second := k.join(t, "y", "a")
	if second.GetEpoch() <= first.GetEpoch() {
		t.Errorf("epoch %d after %d", second.GetEpoch(), first.GetEpoch())
	}
	_, err := k.FetchConsumerGroupAssignments(call(t), &liftbridgepb.FetchConsumerGroupAssignmentsRequest{GroupId: "g", ConsumerId: "x", Epoch: first.GetEpoch()})
	refused(t, "an epoch that is over", err, codes.FailedPrecondition, "")
	same(t, "x of two", k.assigned(t, "x", second.GetEpoch()), "a/0", "a/2", "b/0", "b/1")
	same(t, "y of two", k.assigned(t, "y", second.GetEpoch()), "a/1")
	res, err := k.FetchMetadata(call(t), &liftbridgepb.FetchMetadataRequest{Groups: []string{"g"}})
	must(t, err)
	if g := res.GetGroupMetadata()[0]; g.GetCoordinator() != "b" || g.GetEpoch() != second.GetEpoch() || g.GetError() != 0 {
		t.Errorf("metadata: %v", g)
	}
	_, err = k.LeaveConsumerGroup(call(t), &liftbridgepb.LeaveConsumerGroupRequest{GroupId: "g", ConsumerId: "x"})
	must(t, err)
	res, err = k.FetchMetadata(call(t), &liftbridgepb.FetchMetadataRequest{Groups: []string{"g"}})
	must(t, err)
	same(t, "y alone", k.assigned(t, "y", res.GetGroupMetadata()[0].GetEpoch()), "a/0", "a/1", "a/2")
}

// A member that is not heard for the consumer timeout is none any more; a group whose streams go one by one stays.
func TestGroupExpiry(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "a")
	k.create(t, "b")
	k.clock.freeze()
	k.join(t, "x", "a", "b")
	epoch := k.join(t, "y", "a", "b").GetEpoch()
	k.clock.advance(10 * time.Second)
	same(t, "y", k.assigned(t, "y", epoch), "b/0")
	k.clock.advance(10 * time.Second)
	_, err := k.FetchConsumerGroupAssignments(call(t), &liftbridgepb.FetchConsumerGroupAssignmentsRequest{GroupId: "g", ConsumerId: "x", Epoch: epoch})
	refused(t, "a member that was silent", err, codes.FailedPrecondition, "consumer is not a member of the consumer group")
	_, err = k.DeleteStream(call(t), &liftbridgepb.DeleteStreamRequest{Name: "a"})
	must(t, err)
	res, err := k.FetchMetadata(call(t), &liftbridgepb.FetchMetadataRequest{Groups: []string{"g"}})
	must(t, err)
	same(t, "y without a", k.assigned(t, "y", res.GetGroupMetadata()[0].GetEpoch()), "b/0")
}

func TestGroupRefusals(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "a")
	epoch := k.join(t, "x", "a").GetEpoch()
	type join = liftbridgepb.JoinConsumerGroupRequest
	for _, test := range []struct {
		req  *join
		code codes.Code
	}{
		{&join{ConsumerId: "c", Streams: []string{"a"}}, codes.InvalidArgument},
		{&join{GroupId: "g", Streams: []string{"a"}}, codes.InvalidArgument},
		{&join{GroupId: "g", ConsumerId: "c"}, codes.InvalidArgument},
		{&join{GroupId: "a b", ConsumerId: "c", Streams: []string{"a"}}, codes.InvalidArgument},
		{&join{GroupId: "g", ConsumerId: "c", Streams: []string{"a", "nope"}}, codes.FailedPrecondition},
		{&join{GroupId: "g", ConsumerId: "x", Streams: []string{"a"}}, codes.FailedPrecondition},
	} {
		_, err := k.JoinConsumerGroup(call(t), test.req)
		refused(t, test.req.String(), err, test.code, "")
	}
	_, err := k.LeaveConsumerGroup(call(t), &liftbridgepb.LeaveConsumerGroupRequest{GroupId: "none", ConsumerId: "x"})
	refused(t, "no group", err, codes.NotFound, "consumer group does not exist")
	_, err = k.LeaveConsumerGroup(call(t), &liftbridgepb.LeaveConsumerGroupRequest{GroupId: "g", ConsumerId: "y"})
	refused(t, "no member", err, codes.FailedPrecondition, "consumer is not a member of the consumer group")
	report := func(coordinator string, epoch uint64) error {
		_, err := k.ReportConsumerGroupCoordinator(call(t), &liftbridgepb.ReportConsumerGroupCoordinatorRequest{
			GroupId: "g", ConsumerId: "x", Coordinator: coordinator, Epoch: epoch,
		})
		return err
	}
	must(t, report("b", epoch))
	refused(t, "another epoch", report("b", epoch-1), codes.FailedPrecondition, "")
	refused(t, "another coordinator", report("z", epoch), codes.FailedPrecondition, "")
}

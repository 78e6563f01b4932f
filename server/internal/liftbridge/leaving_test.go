package liftbridge_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	"github.com/trestlehq/trestle/server/internal/liftbridge"
)

// held is metadata whose changes of groups wait until they may go on, once hold is there.
type held struct {
	liftbridge.Metadata
	hold chan chan struct{} // takes what a change waits for
}

func (h *held) Propose(ctx context.Context, cmd *clusterv1.Command) (*clusterv1.Answer, error) {
	if cmd.GetDeleteGroup() != nil {
		goOn := make(chan struct{})
		h.hold <- goOn
		<-goOn
	}
	return h.Metadata.Propose(ctx, cmd)
}

// A member that asks while it leaves is answered as before: Liftbridge's Go client asks on until Leave returns, and its Close never
// does if it is told an error then. Once it has left, it is no member.
func TestAskedWhileLeaving(t *testing.T) {
	t.Parallel()
	h := &held{hold: make(chan chan struct{})}
	k := start(t, func(c *liftbridge.Config) { h.Metadata, c.Metadata = c.Metadata, h })
	k.create(t, "a")
	epoch := k.join(t, "x", "a").GetEpoch()
	left := make(chan error, 1)
	go func() {
		_, err := k.LeaveConsumerGroup(call(t), &liftbridgepb.LeaveConsumerGroupRequest{GroupId: "g", ConsumerId: "x"})
		left <- err
	}()
	goOn := <-h.hold
	res, err := k.FetchConsumerGroupAssignments(call(t), &liftbridgepb.FetchConsumerGroupAssignmentsRequest{GroupId: "g", ConsumerId: "x", Epoch: epoch})
	close(goOn)
	if err != nil || res.GetEpoch() != epoch || len(res.GetAssignments()) != 1 {
		t.Errorf("while it leaves: %v, %v", res, err)
	}
	must(t, <-left)
	_, err = k.FetchConsumerGroupAssignments(call(t), &liftbridgepb.FetchConsumerGroupAssignmentsRequest{GroupId: "g", ConsumerId: "x", Epoch: epoch})
	refused(t, "after it left", err, codes.NotFound, "consumer group does not exist")
}

package client_test

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/client"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// TestALostHistoryIsAnError: who goes on after a broken connection says which leader's message it saw last, so that a log
// that has lost it is not taken for the same one (protocol.md 4.9).
func TestALostHistoryIsAnError(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	log := server.log(0)
	log.epoch = 3
	log.appendValues(t, "a")
	log.epoch = 5
	log.appendValues(t, "b")
	server.onRead = func(req *trestlev1.SubscribeRequest) error {
		if req.GetLeaderEpoch() != 0 {
			return answer(codes.FailedPrecondition, "TRUNCATED", "what you read is gone", nil)
		}
		return nil
	}
	sub := subscribe(t, connect(t, server.listen(t).addr).Stream("orders"), client.FromEarliest())
	for _, epoch := range []uint64{3, 5} {
		if m, err := sub.Next(within(t)); err != nil || m.LeaderEpoch != epoch {
			t.Errorf("got %+v, %v, want a message of epoch %d", m, err, epoch)
		}
	}
	server.endReads <- status.Error(codes.Unavailable, "connection lost")
	if m, err := sub.Next(within(t)); !errors.Is(err, client.ErrTruncated) {
		t.Errorf("got %v, %v, want ErrTruncated", m, err)
	}
	requests := server.requests()
	if len(requests) != 2 || requests[0].GetLeaderEpoch() != 0 || requests[1].GetLeaderEpoch() != 5 || requests[1].GetStart().GetOffset() != 2 {
		t.Errorf("got requests %v, want a second one at offset 2 after epoch 5", requests)
	}
}

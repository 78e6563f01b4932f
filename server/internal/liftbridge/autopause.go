package liftbridge

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Labels of streams that pause by themselves: after how long without a message, and whether only while nobody reads.
const (
	autoPauseLabel        = "liftbridge.auto-pause"
	unlessSubscribedLabel = "liftbridge.auto-pause-unless-subscribed"
)

// autoPauseLabels are what the request asks for of that.
func autoPauseLabels(req *liftbridgepb.CreateStreamRequest) map[string]string {
	labels := map[string]string{}
	after := req.GetAutoPauseTime().GetValue()
	if after <= 0 {
		return labels
	}
	labels[autoPauseLabel] = millis(after).String()
	if req.GetAutoPauseDisableIfSubscribers().GetValue() {
		labels[unlessSubscribedLabel] = "true"
	}
	return labels
}

// idleness is what was seen last of a partition that may pause by itself.
type idleness struct {
	next  int64 // its next offset
	last  int64 // when the message before that was appended, unix nanoseconds
	woken int64 // when a reader woke it, unix nanoseconds
}

// wake notes that a reader wants messages of a partition, which is not idle then.
func (s *Service) wake(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.idle[id]
	seen.woken = s.config.Now().UnixNano()
	s.idle[id] = seen
}

// autoPaused says since when a partition is paused because nothing came, unix nanoseconds; 0: it is not. That is a state that is shown
// and no more: the partition goes on listening, and the next message, from wherever, ends it (interfaces.md 3.12).
func (s *Service) autoPaused(ctx context.Context, stream metadata.Stream, p *metadata.Partition, here *partition.Partition) int64 {
	labels := stream.Config.GetLabels()
	after, err := time.ParseDuration(labels[autoPauseLabel])
	if err != nil || after <= 0 || here == nil || p.Mode != trestlev1.Mode_MODE_ACTIVE {
		return 0
	}
	next := here.State().HighWatermark
	s.mu.Lock()
	seen, subscribed := s.idle[p.ID], s.subscribed(p.ID)
	s.mu.Unlock()
	if subscribed && labels[unlessSubscribedLabel] == "true" {
		return 0
	}
	if seen.next != next {
		seen.next, seen.last = next, timeAt(ctx, here, partition.Place{Kind: partition.AtLatest})
		s.mu.Lock()
		seen.woken = s.idle[p.ID].woken
		s.idle[p.ID] = seen
		s.mu.Unlock()
	}
	since := max(seen.last, seen.woken, stream.Created, p.ModeSince)
	if s.config.Now().UnixNano()-since <= int64(after) {
		return 0
	}
	return since + int64(after)
}

// subscribed says whether anybody reads the partition. The caller holds mu.
func (s *Service) subscribed(id uuid.UUID) bool {
	for sub := range s.subscriptions {
		if sub.partition.ID == id {
			return true
		}
	}
	return false
}

// forgetIdle drops what was seen of partitions that are gone.
func (s *Service) forgetIdle(state *metadata.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.idle {
		if _, ok := state.Partition(id); !ok {
			delete(s.idle, id)
		}
	}
}

package host

import (
	"context"
	"fmt"
	"sync"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// producerBlock is how many producer ids a broker takes out at once. Those that it has not given out when it stops are not
// given out any more: there are enough.
const producerBlock = 1000

// producerIDs are those that this broker has taken out of the metadata for itself.
type producerIDs struct {
	mu    sync.Mutex // also held while ids are taken out: who asks then waits for the same ones
	next  uint64     // guarded by mu
	after uint64     // exclusive end; guarded by mu
}

// NewProducer returns a producer id that nobody else in the cluster has or will get. It is not 0. The errors are those of
// Metadata.Propose.
func (h *Host) NewProducer(ctx context.Context) (uint64, error) {
	ids := &h.producers
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.next == ids.after {
		answer, err := h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_ReserveProducerIds{
			ReserveProducerIds: &clusterv1.ReserveProducerIDs{Count: producerBlock},
		}})
		if err != nil {
			return 0, fmt.Errorf("taking out producer ids: %w", err)
		}
		ids.next = answer.GetFirstProducerId()
		ids.after = ids.next + producerBlock
	}
	id := ids.next
	ids.next++
	return id, nil
}

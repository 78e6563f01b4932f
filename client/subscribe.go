package client

import (
	"context"
	"fmt"
	"slices"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Subscribe begins to read the stream, by default what is new in all its partitions. It returns once the server has
// confirmed that: with FromNew, whatever is published after that is read. The context bounds the call only; Stop ends
// the subscription.
func (s *Stream) Subscribe(ctx context.Context, opts ...SubscribeOption) (*Subscription, error) {
	var set subscribing
	for _, opt := range opts {
		opt(&set)
	}
	if err := set.check(); err != nil {
		return nil, fmt.Errorf("subscribe to stream %q: %w", s.name, err)
	}
	if err := s.client.begin(); err != nil {
		return nil, err
	}
	defer s.client.end()
	partitions, err := s.partitionsToRead(ctx, &set)
	if err != nil {
		return nil, err
	}
	// The calls have the values of ctx, but outlive it.
	receiving, stopReceiving := context.WithCancel(context.WithoutCancel(ctx))
	b := newSubscription(s, set.onGap, stopReceiving)
	if err := s.client.keep(b); err != nil {
		stopReceiving()
		return nil, err
	}
	opened := make(chan error, len(partitions))
	b.start(receiving, b.readersOf(&set, partitions), opened)
	for range partitions {
		if err := b.awaitOpened(ctx, opened); err != nil {
			b.end(err)
			<-b.done
			return nil, err
		}
	}
	return b, nil
}

// check refuses what makes no sense whatever the stream, and fills in the default start.
func (set *subscribing) check() error {
	seen := map[int]bool{}
	for _, id := range set.partitions {
		if _, err := partitionNumber(id); err != nil {
			return err
		}
		if seen[id] {
			return newError(reasonInvalidArgument, "partition %d is named twice", id)
		}
		seen[id] = true
	}
	if set.start == nil {
		if FromNew()(set); set.backwards {
			FromLatest()(set)
		}
	}
	if set.backwards && set.start.GetNewOnly() {
		return newError(reasonInvalidArgument, "what is new cannot be read backwards: begin with FromLatest, or at an offset or time")
	}
	return nil
}

// partitionsToRead are those that were named, or all that the stream has.
func (s *Stream) partitionsToRead(ctx context.Context, set *subscribing) ([]int, error) {
	ids := slices.Clone(set.partitions)
	if len(ids) == 0 {
		info, err := s.Info(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range info.Partitions {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) == 0 {
		return nil, newError(reasonInternal, "subscribe to stream %q: the server says that it has no partitions", s.name)
	}
	if len(ids) != 1 && (isOffset(set.start) || isOffset(set.stop)) {
		return nil, newError(reasonInvalidArgument,
			"subscribe to stream %q: an offset is a place in one partition, and there are %d; name it with Partitions, or --partition of `trestle sub`", s.name, len(ids))
	}
	return ids, nil
}

func isOffset(p *trestlev1.Position) bool {
	_, ok := p.GetAt().(*trestlev1.Position_Offset)
	return ok
}

// readersOf are the readers of those partitions, not yet reading.
func (b *Subscription) readersOf(set *subscribing, partitions []int) []*reader {
	readers := make([]*reader, 0, len(partitions))
	for _, id := range partitions {
		readers = append(readers, &reader{
			subscription:  b,
			partition:     id,
			place:         place{start: set.start, stop: set.stop, backwards: set.backwards},
			responseBytes: max(leastResponseBytes, min(mostResponseBytes, subscriptionBytes/len(partitions))),
			decoder:       decoder{stream: b.stream.name, partition: id},
		})
	}
	return readers
}

package client

import (
	"context"
	"errors"
	"sync"
)

// PublishEach publishes messages to the partitions that they belong to, by the stream's hash of keys, else of IDs, else in
// turn: those of a partition as one batch, in their order, and each batch as by PublishBatch. It returns an ack for each
// message, in the order of the messages, and the errors of the batches that failed, joined: the acks of their messages have
// offset -1, while those of other partitions may be stored. With ErrStalePartitions partitions were added in between: publish
// those messages again. ExpectNext is for one partition, so that To must name it.
func (s *Stream) PublishEach(ctx context.Context, messages []Message, opts ...PublishOption) ([]Ack, error) {
	p, err := s.publishing(messages, opts)
	if err != nil {
		return nil, err
	}
	if p.expectNext != nil && p.partition == nil {
		return nil, newError(reasonInvalidArgument, "publish to stream %q: ExpectNext says nothing about several partitions; name one with To", s.name)
	}
	shares, err := s.share(ctx, p, messages)
	if err != nil {
		return nil, err
	}
	acks, failures := make([]Ack, len(messages)), make([]error, len(shares))
	var group sync.WaitGroup
	for i := range shares {
		group.Go(func() { failures[i] = shares[i].publish(ctx, s, p, messages, acks) })
	}
	group.Wait()
	return acks, errors.Join(failures...)
}

// share is those of the messages that go to one partition.
type share struct {
	partition int32
	chosenOf  uint32 // partitions, as in publishing
	indexes   []int
}

// share shares the messages out, in their order.
func (s *Stream) share(ctx context.Context, p *publishing, messages []Message) ([]share, error) {
	known, err := s.shape(ctx)
	if err != nil {
		return nil, err
	}
	if p.by == nil {
		p.by = partitionerOf(known.hash)
	}
	var shares []share
	byPartition := map[int32]int{}
	for i := range messages {
		one := *p
		if one.partition == nil {
			if err := one.choose(ctx, s, &messages[i]); err != nil {
				return nil, err
			}
		}
		n, ok := byPartition[*one.partition]
		if !ok {
			n = len(shares)
			byPartition[*one.partition] = n
			shares = append(shares, share{partition: *one.partition})
		}
		shares[n].chosenOf = max(shares[n].chosenOf, one.chosenOf)
		shares[n].indexes = append(shares[n].indexes, i)
	}
	return shares, nil
}

// publish publishes the share and sets the acks of its messages.
func (h *share) publish(ctx context.Context, s *Stream, p *publishing, messages []Message, acks []Ack) error {
	one := *p
	one.by, one.partition, one.chosenOf = nil, &h.partition, h.chosenOf
	own := make([]Message, len(h.indexes))
	for i, index := range h.indexes {
		own[i] = messages[index]
	}
	ack, err := s.publish(ctx, &one, own)
	told := parcel{ack: ack}
	for i, index := range h.indexes {
		if err != nil {
			acks[index] = Ack{Stream: s.name, Partition: int(h.partition), Offset: -1}
		} else {
			told.acknowledge(&acks[index], i)
		}
	}
	return err
}

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Handle reads the stream and calls h for each message, one after the other, until the stop position, an error of h,
// which it returns, or the end of ctx. How far h has come is for h to remember: by a Cursor, say.
func (s *Stream) Handle(ctx context.Context, h func(context.Context, *Message) error, opts ...SubscribeOption) error {
	sub, err := s.Subscribe(ctx, opts...)
	if err != nil {
		return err
	}
	defer sub.Stop()
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := h(ctx, m); err != nil {
			return fmt.Errorf("handle the message at offset %d of partition %d of stream %q: %w", m.Offset, m.Partition, m.Stream, err)
		}
	}
	return nil
}

// Get reads one message. It is ErrOffsetBeyondEnd when nothing is committed at the offset yet, and ErrOffsetGone when
// retention or compaction have taken the message away.
func (s *Stream) Get(ctx context.Context, partition int, offset int64) (*Message, error) {
	sub, err := s.Subscribe(ctx, Partitions(partition), FromOffset(offset), UntilLatest())
	if err != nil {
		return nil, err
	}
	defer sub.Stop()
	m, err := sub.Next(ctx)
	switch {
	case errors.Is(err, io.EOF):
		return nil, newError(reasonOffsetBeyondEnd, "get offset %d of partition %d of stream %q: nothing is committed there yet; wait for it with Subscribe", offset, partition, s.name)
	case err != nil:
		return nil, err
	case m.Offset != offset:
		return nil, newError(reasonOffsetGone, "get offset %d of partition %d of stream %q: the message is gone, the next one is at offset %d", offset, partition, s.name, m.Offset)
	}
	return m, nil
}

package liftbridge

import (
	"context"
	"errors"
	"math"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/host"
)

// A cursor of Liftbridge is the offset of the last message that its reader has done with, one of ours the next to read.

// SetCursor stores a cursor.
func (s *Service) SetCursor(ctx context.Context, req *liftbridgepb.SetCursorRequest) (*liftbridgepb.SetCursorResponse, error) {
	key, err := s.cursorKey(req.GetStream(), req.GetPartition(), req.GetCursorId())
	if err != nil {
		return nil, toRefusal(err)
	}
	if n := req.GetOffset(); n < -1 || n == math.MaxInt64 {
		return nil, invalid("Offset %d is none; use 0 or more", n)
	}
	if _, err := s.config.Cursors.Set(ctx, key, cursor.Position{NextOffset: req.GetOffset() + 1}); err != nil {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.SetCursorResponse{}, nil
}

// FetchCursor returns a cursor; -1 if there is none.
func (s *Service) FetchCursor(ctx context.Context, req *liftbridgepb.FetchCursorRequest) (*liftbridgepb.FetchCursorResponse, error) {
	none := &liftbridgepb.FetchCursorResponse{Offset: -1}
	key, err := s.cursorKey(req.GetStream(), req.GetPartition(), req.GetCursorId())
	if errors.Is(err, host.ErrStreamNotFound) || errors.As(err, new(*host.PartitionNotFoundError)) {
		return none, nil
	}
	if err != nil {
		return nil, toRefusal(err)
	}
	at, ok, err := s.config.Cursors.Get(ctx, key)
	if err != nil {
		return nil, toRefusal(err)
	}
	if !ok {
		return none, nil
	}
	return &liftbridgepb.FetchCursorResponse{Offset: at.NextOffset - 1}, nil
}

func (s *Service) cursorKey(name string, number int32, id string) (cursor.Key, error) {
	switch {
	case name == "":
		return cursor.Key{}, invalid("No stream provided")
	case id == "":
		return cursor.Key{}, invalid("No cursorId provided")
	case len(id) > cursor.MaxIDBytes:
		return cursor.Key{}, invalid("cursorId has %d bytes; use at most %d", len(id), cursor.MaxIDBytes)
	}
	stream, err := s.config.Streams.Get(name)
	if err != nil {
		return cursor.Key{}, err
	}
	if number < 0 || int(number) >= len(stream.Partitions) {
		return cursor.Key{}, &host.PartitionNotFoundError{Stream: name, Partition: number, Partitions: len(stream.Partitions)}
	}
	return cursor.Key{Stream: stream.ID, Partition: number, ID: id}, nil
}

package rpc

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/host"
)

// Cursors stores named positions of readers.
type Cursors interface {
	Set(ctx context.Context, key cursor.Key, at cursor.Position) (cursor.Position, error)
	Get(ctx context.Context, key cursor.Key) (at cursor.Position, ok bool, err error)
	List(ctx context.Context, stream uuid.UUID, after cursor.Key, limit int) ([]cursor.Cursor, error)
	Delete(ctx context.Context, key cursor.Key) error
}

type cursorService struct {
	trestlev1.UnimplementedCursorServiceServer
	streams Streams
	cursors Cursors
}

// SetCursor stores a position.
func (s *cursorService) SetCursor(ctx context.Context, req *trestlev1.SetCursorRequest) (*trestlev1.SetCursorResponse, error) {
	c := req.GetCursor()
	key, err := s.key(c.GetId(), c.GetStream(), c.GetPartition())
	if err != nil {
		return nil, toStatus(err)
	}
	if c.GetNextOffset() < 0 {
		return nil, toStatus(&host.InvalidError{Field: "next_offset", Problem: fmt.Sprintf("is %d; offsets begin at 0", c.GetNextOffset())})
	}
	if err := s.checkReached(c); err != nil {
		return nil, toStatus(err)
	}
	at, err := s.cursors.Set(ctx, key, cursor.Position{NextOffset: c.GetNextOffset(), LeaderEpoch: c.GetLeaderEpoch()})
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.SetCursorResponse{Cursor: toCursor(c.GetStream(), key, at)}, nil
}

// checkReached refuses a position beyond the next offset: nobody has read so far. A partition that another broker leads is
// not asked.
func (s *cursorService) checkReached(c *trestlev1.Cursor) error {
	p, err := s.streams.PartitionOf(c.GetStream(), c.GetPartition())
	if err != nil {
		return nil //nolint:nilerr // what cannot be asked does not stand in the way
	}
	if state := p.State(); c.GetNextOffset() > state.NextOffset {
		return &commitlog.RangeError{Offset: c.GetNextOffset(), LogStart: state.LogStart, NextOffset: state.NextOffset}
	}
	return nil
}

// GetCursor returns a position.
func (s *cursorService) GetCursor(ctx context.Context, req *trestlev1.GetCursorRequest) (*trestlev1.GetCursorResponse, error) {
	at, err := s.get(ctx, req.GetId(), req.GetStream(), req.GetPartition())
	if err != nil {
		return nil, toStatus(err)
	}
	key := cursor.Key{ID: req.GetId(), Partition: req.GetPartition()}
	return &trestlev1.GetCursorResponse{Cursor: toCursor(req.GetStream(), key, at)}, nil
}

// get returns a position; one that there is not is a *CursorNotFoundError.
func (s *cursorService) get(ctx context.Context, id, stream string, partition int32) (cursor.Position, error) {
	key, err := s.key(id, stream, partition)
	if err != nil {
		return cursor.Position{}, err
	}
	at, ok, err := s.cursors.Get(ctx, key)
	if err == nil && !ok {
		err = &CursorNotFoundError{ID: id, Stream: stream, Partition: partition}
	}
	return at, err
}

// DeleteCursor forgets a position.
func (s *cursorService) DeleteCursor(ctx context.Context, req *trestlev1.DeleteCursorRequest) (*trestlev1.DeleteCursorResponse, error) {
	key, err := s.key(req.GetId(), req.GetStream(), req.GetPartition())
	if err == nil {
		err = s.cursors.Delete(ctx, key)
	}
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.DeleteCursorResponse{}, nil
}

// ListCursors returns the positions of a stream, a page at a time.
func (s *cursorService) ListCursors(ctx context.Context, req *trestlev1.ListCursorsRequest) (*trestlev1.ListCursorsResponse, error) {
	size, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, toStatus(err)
	}
	after, err := parseToken(req.GetPageToken())
	if err != nil {
		return nil, toStatus(err)
	}
	stream, err := s.streams.Get(req.GetStream())
	if err != nil {
		return nil, toStatus(err)
	}
	found, err := s.cursors.List(ctx, stream.ID, after, size)
	if err != nil {
		return nil, toStatus(err)
	}
	page := &trestlev1.ListCursorsResponse{}
	for _, c := range found {
		page.Cursors = append(page.Cursors, toCursor(req.GetStream(), c.Key, c.Position))
	}
	if len(found) == size {
		last := found[size-1]
		page.NextPageToken = strconv.Itoa(int(last.Partition)) + "/" + last.ID
	}
	return page, nil
}

// parseToken reads a page token: the partition and the id of the last cursor before the page.
func parseToken(token string) (cursor.Key, error) {
	if token == "" {
		return cursor.Key{}, nil
	}
	partition, id, ok := strings.Cut(token, "/")
	n, err := strconv.ParseInt(partition, 10, 32)
	if !ok || err != nil || id == "" {
		return cursor.Key{}, &host.InvalidError{Field: "page_token", Problem: "is not one that a page came with; begin with an empty one"}
	}
	return cursor.Key{Partition: int32(n), ID: id}, nil
}

// key finds the stream that has the name now.
func (s *cursorService) key(id, stream string, partition int32) (cursor.Key, error) {
	switch {
	case id == "" || len(id) > cursor.MaxIDBytes:
		return cursor.Key{}, &host.InvalidError{Field: "id", Problem: fmt.Sprintf("has %d bytes; use 1 to %d", len(id), cursor.MaxIDBytes)}
	case !utf8.ValidString(id):
		return cursor.Key{}, &host.InvalidError{Field: "id", Problem: "is not UTF-8"}
	}
	found, err := s.streams.Get(stream)
	if err != nil {
		return cursor.Key{}, err
	}
	if partition < 0 || int(partition) >= len(found.Partitions) {
		return cursor.Key{}, &host.PartitionNotFoundError{Stream: stream, Partition: partition, Partitions: len(found.Partitions)}
	}
	return cursor.Key{Stream: found.ID, Partition: partition, ID: id}, nil
}

func toCursor(stream string, key cursor.Key, at cursor.Position) *trestlev1.Cursor {
	return &trestlev1.Cursor{
		Id: key.ID, Stream: stream, Partition: key.Partition, NextOffset: at.NextOffset, LeaderEpoch: at.LeaderEpoch, Time: at.Time,
	}
}

package client

import (
	"context"
	"fmt"
	"iter"
	"time"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Cursor is a handle on a named position in one partition, which the server keeps: how far a reader has come, say. It
// goes with its stream. It is safe for concurrent use; of two positions set at once the one that is stored last holds.
type Cursor struct {
	stream    *Stream
	id        string
	partition int
}

// CursorInfo is a cursor as it is stored.
type CursorInfo struct {
	ID        string
	Stream    string
	Partition int
	// NextOffset is that of the next message to read.
	NextOffset int64
	// LeaderEpoch of the message before it; 0: not known. With it, a reader is told if that message was lost.
	LeaderEpoch uint64
	// Time at which it was set.
	Time time.Time
}

// Cursor is a handle on the cursor of that ID, whether it was set or not. An ID has 1 to 256 bytes.
func (s *Stream) Cursor(id string, partition int) *Cursor {
	return &Cursor{stream: s, id: id, partition: partition}
}

// Get reads the cursor. It is ErrCursorNotFound if it was never set, or deleted.
func (c *Cursor) Get(ctx context.Context) (CursorInfo, error) {
	partition, end, err := c.begin()
	if err != nil {
		return CursorInfo{}, err
	}
	defer end()
	resp, err := c.stream.client.cursors.GetCursor(ctx, &trestlev1.GetCursorRequest{Id: c.id, Stream: c.stream.name, Partition: partition})
	if err != nil {
		return CursorInfo{}, callError(c.doing("get"), err)
	}
	return cursorFromProto(resp.GetCursor()), nil
}

// Set stores the offset of the next message to read, and returns when that is as safe as a message.
func (c *Cursor) Set(ctx context.Context, next int64) error { return c.set(ctx, next, 0) }

// SetAfter is Set for one who has handled m and all before it. Unlike Set it remembers the epoch of m, so that who goes
// on there is told with ErrTruncated if m was lost.
func (c *Cursor) SetAfter(ctx context.Context, m *Message) error {
	return c.set(ctx, m.Offset+1, m.LeaderEpoch)
}

func (c *Cursor) set(ctx context.Context, next int64, epoch uint64) error {
	partition, end, err := c.begin()
	if err != nil {
		return err
	}
	defer end()
	cursor := &trestlev1.Cursor{Id: c.id, Stream: c.stream.name, Partition: partition, NextOffset: next, LeaderEpoch: epoch}
	if _, err := c.stream.client.cursors.SetCursor(ctx, &trestlev1.SetCursorRequest{Cursor: cursor}); err != nil {
		return callError(c.doing("set"), err)
	}
	return nil
}

// Delete forgets the cursor, if it was set.
func (c *Cursor) Delete(ctx context.Context) error {
	partition, end, err := c.begin()
	if err != nil {
		return err
	}
	defer end()
	_, err = c.stream.client.cursors.DeleteCursor(ctx, &trestlev1.DeleteCursorRequest{Id: c.id, Stream: c.stream.name, Partition: partition})
	if err != nil {
		return callError(c.doing("delete"), err)
	}
	return nil
}

// begin counts a call in; end counts it out.
func (c *Cursor) begin() (partition int32, end func(), err error) {
	if partition, err = partitionNumber(c.partition); err != nil {
		return 0, nil, err
	}
	return partition, c.stream.client.end, c.stream.client.begin()
}

func (c *Cursor) doing(what string) string {
	return fmt.Sprintf("%s cursor %q of partition %d of stream %q", what, c.id, c.partition, c.stream.name)
}

// Cursors are the cursors of the stream, in the order of IDs and then of partitions. They are asked for page by page as
// the loop goes on; an error ends it.
func (s *Stream) Cursors(ctx context.Context) iter.Seq2[CursorInfo, error] {
	return func(yield func(CursorInfo, error) bool) {
		req := &trestlev1.ListCursorsRequest{Stream: s.name}
		for {
			page, err := s.listCursors(ctx, req)
			if err != nil {
				yield(CursorInfo{}, err)
				return
			}
			for _, cursor := range page.GetCursors() {
				if !yield(cursorFromProto(cursor), nil) {
					return
				}
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				return
			}
		}
	}
}

func (s *Stream) listCursors(ctx context.Context, req *trestlev1.ListCursorsRequest) (*trestlev1.ListCursorsResponse, error) {
	if err := s.client.begin(); err != nil {
		return nil, err
	}
	defer s.client.end()
	page, err := s.client.cursors.ListCursors(ctx, req)
	if err != nil {
		return nil, callError(fmt.Sprintf("list the cursors of stream %q", s.name), err)
	}
	return page, nil
}

func cursorFromProto(p *trestlev1.Cursor) CursorInfo {
	return CursorInfo{
		ID: p.GetId(), Stream: p.GetStream(), Partition: int(p.GetPartition()),
		NextOffset: p.GetNextOffset(), LeaderEpoch: p.GetLeaderEpoch(), Time: time.Unix(0, p.GetTime()),
	}
}

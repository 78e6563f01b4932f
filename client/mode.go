package client

import (
	"context"
	"fmt"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Delete deletes the stream. Its name is free at once; its data stay in trash for an hour, or until the disk
// is full.
func (s *Stream) Delete(ctx context.Context) error {
	if err := s.client.begin(); err != nil {
		return err
	}
	defer s.client.end()
	if _, err := s.client.streams.DeleteStream(ctx, &trestlev1.DeleteStreamRequest{Name: s.name}); err != nil {
		return callError(fmt.Sprintf("delete stream %q", s.name), err)
	}
	return nil
}

// Pause ends the recording of those partitions, or of all, until Resume. What is published meanwhile on their subjects is
// a gap, and Publish is refused with ErrPaused.
func (s *Stream) Pause(ctx context.Context, partitions ...int) error {
	return s.setMode(ctx, trestlev1.Mode_MODE_PAUSED, partitions)
}

// Resume ends what Pause or SetReadOnly began.
func (s *Stream) Resume(ctx context.Context, partitions ...int) error {
	return s.setMode(ctx, trestlev1.Mode_MODE_ACTIVE, partitions)
}

// SetReadOnly makes those partitions, or all, refuse what is published, or take it again. They are read as ever; a
// subscription ends with io.EOF at the end of one that is read-only.
func (s *Stream) SetReadOnly(ctx context.Context, on bool, partitions ...int) error {
	if on {
		return s.setMode(ctx, trestlev1.Mode_MODE_READ_ONLY, partitions)
	}
	return s.setMode(ctx, trestlev1.Mode_MODE_ACTIVE, partitions)
}

func (s *Stream) setMode(ctx context.Context, mode trestlev1.Mode, partitions []int) error {
	req := &trestlev1.SetStreamModeRequest{Name: s.name, Mode: mode}
	for _, id := range partitions {
		n, err := partitionNumber(id)
		if err != nil {
			return err
		}
		req.Partitions = append(req.Partitions, n)
	}
	if err := s.client.begin(); err != nil {
		return err
	}
	defer s.client.end()
	if _, err := s.client.streams.SetStreamMode(ctx, req); err != nil {
		return callError(fmt.Sprintf("make stream %q %s", s.name, wordOf("MODE_", mode)), err)
	}
	return nil
}

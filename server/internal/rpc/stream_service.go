package rpc

import (
	"context"
	"fmt"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
)

// Sizes of a page of streams.
const (
	defaultPage = 100
	maxPage     = 1000
)

type streamService struct {
	trestlev1.UnimplementedStreamServiceServer
	streams Streams
	broker  string
}

// CreateStream makes a stream; it captures when this answers.
func (s *streamService) CreateStream(ctx context.Context, req *trestlev1.CreateStreamRequest) (*trestlev1.CreateStreamResponse, error) {
	stream, existed, err := s.streams.Create(ctx, req.GetConfig(), req.GetAcceptExisting())
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.CreateStreamResponse{Stream: stream.State(s.broker), Existed: existed}, nil
}

// GetStream describes a stream.
func (s *streamService) GetStream(_ context.Context, req *trestlev1.GetStreamRequest) (*trestlev1.GetStreamResponse, error) {
	stream, err := s.streams.Get(req.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.GetStreamResponse{Stream: stream.State(s.broker)}, nil
}

// ListStreams describes streams, a page at a time. The token of a page is the name of the last stream before it.
func (s *streamService) ListStreams(_ context.Context, req *trestlev1.ListStreamsRequest) (*trestlev1.ListStreamsResponse, error) {
	size := int(req.GetPageSize())
	switch {
	case size == 0:
		size = defaultPage
	case size < 0 || size > maxPage:
		return nil, toStatus(&host.InvalidError{Field: "page_size", Problem: fmt.Sprintf("is %d; use 1 to %d", size, maxPage)})
	}
	streams, err := s.streams.List(req.GetGlob(), req.GetPageToken(), size)
	if err != nil {
		return nil, toStatus(err)
	}
	page := &trestlev1.ListStreamsResponse{}
	for _, stream := range streams {
		page.Streams = append(page.Streams, stream.State(s.broker))
	}
	if len(streams) == size {
		page.NextPageToken = streams[size-1].Config.GetName()
	}
	return page, nil
}

// UpdateStream is refused: it is not built yet.
func (s *streamService) UpdateStream(context.Context, *trestlev1.UpdateStreamRequest) (*trestlev1.UpdateStreamResponse, error) {
	return nil, toStatus(&host.UnimplementedError{Feature: "UpdateStream"})
}

// DeleteStream is refused: it is not built yet.
func (s *streamService) DeleteStream(context.Context, *trestlev1.DeleteStreamRequest) (*trestlev1.DeleteStreamResponse, error) {
	return nil, toStatus(&host.UnimplementedError{Feature: "DeleteStream"})
}

// SetStreamMode is refused: it is not built yet.
func (s *streamService) SetStreamMode(context.Context, *trestlev1.SetStreamModeRequest) (*trestlev1.SetStreamModeResponse, error) {
	return nil, toStatus(&host.UnimplementedError{Feature: "SetStreamMode"})
}

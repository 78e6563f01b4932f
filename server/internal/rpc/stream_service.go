package rpc

import (
	"context"
	"fmt"
	"math"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Sizes of a page of a list.
const (
	defaultPage = 100
	maxPage     = 1000
)

type streamService struct {
	trestlev1.UnimplementedStreamServiceServer
	streams Streams
}

// CreateStream makes a stream; it captures when this answers.
func (s *streamService) CreateStream(ctx context.Context, req *trestlev1.CreateStreamRequest) (*trestlev1.CreateStreamResponse, error) {
	stream, existed, err := s.streams.Create(ctx, req.GetConfig(), req.GetAcceptExisting())
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.CreateStreamResponse{Stream: stream, Existed: existed}, nil
}

// UpdateStream changes the fields that are present.
func (s *streamService) UpdateStream(ctx context.Context, req *trestlev1.UpdateStreamRequest) (*trestlev1.UpdateStreamResponse, error) {
	stream, err := s.streams.Update(ctx, req.GetConfig(), req.GetRevision())
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.UpdateStreamResponse{Stream: stream}, nil
}

// DeleteStream takes a stream away.
func (s *streamService) DeleteStream(ctx context.Context, req *trestlev1.DeleteStreamRequest) (*trestlev1.DeleteStreamResponse, error) {
	if err := s.streams.Delete(ctx, req.GetName()); err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.DeleteStreamResponse{}, nil
}

// SetStreamMode pauses, resumes or write-protects a stream.
func (s *streamService) SetStreamMode(ctx context.Context, req *trestlev1.SetStreamModeRequest) (*trestlev1.SetStreamModeResponse, error) {
	stream, err := s.streams.SetMode(ctx, req.GetName(), req.GetMode(), req.GetPartitions())
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.SetStreamModeResponse{Stream: stream}, nil
}

// PurgeStream takes the oldest records of a stream away.
func (s *streamService) PurgeStream(_ context.Context, req *trestlev1.PurgeStreamRequest) (*trestlev1.PurgeStreamResponse, error) {
	to := partition.Place{Kind: partition.AtEnd}
	switch at := req.GetTo().(type) {
	case *trestlev1.PurgeStreamRequest_Offset:
		if at.Offset < 0 {
			return nil, toStatus(&host.InvalidError{Field: "offset", Problem: fmt.Sprintf("is %d; offsets begin at 0", at.Offset)})
		}
		to = partition.Place{Kind: partition.AtOffset, Offset: at.Offset}
	case *trestlev1.PurgeStreamRequest_Time:
		to = partition.Place{Kind: partition.AtTime, Time: min(max(at.Time, 0), math.MaxInt64-1)}
	}
	purged, err := s.streams.Purge(req.GetName(), req.GetPartitions(), to)
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.PurgeStreamResponse{Partitions: purged}, nil
}

// GetStream describes a stream.
func (s *streamService) GetStream(_ context.Context, req *trestlev1.GetStreamRequest) (*trestlev1.GetStreamResponse, error) {
	stream, err := s.streams.Describe(req.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.GetStreamResponse{Stream: stream}, nil
}

// ListStreams describes streams, a page at a time. The token of a page is the name of the last stream before it.
func (s *streamService) ListStreams(_ context.Context, req *trestlev1.ListStreamsRequest) (*trestlev1.ListStreamsResponse, error) {
	size, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, toStatus(err)
	}
	streams, err := s.streams.List(req.GetGlob(), req.GetPageToken(), size)
	if err != nil {
		return nil, toStatus(err)
	}
	page := &trestlev1.ListStreamsResponse{Streams: streams}
	if len(streams) == size {
		page.NextPageToken = streams[size-1].GetConfig().GetName()
	}
	return page, nil
}

// pageSize is how many entries a page is to have.
func pageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked < 0 || asked > maxPage:
		return 0, &host.InvalidError{Field: "page_size", Problem: fmt.Sprintf("is %d; use 1 to %d", asked, maxPage)}
	default:
		return int(asked), nil
	}
}

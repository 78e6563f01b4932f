package client_test

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// UpdateStream refuses what was read at another revision, as a server does.
func (s *fakeServer) UpdateStream(_ context.Context, req *trestlev1.UpdateStreamRequest) (*trestlev1.UpdateStreamResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updated = append(s.updated, req)
	if s.onUpdate != nil {
		s.onUpdate()
	}
	if s.refuse != nil {
		return nil, s.refuse
	}
	for _, stream := range s.streams {
		if stream.GetConfig().GetName() != req.GetConfig().GetName() {
			continue
		}
		if req.GetRevision() != stream.GetRevision() {
			return nil, answer(codes.Aborted, "STALE_REVISION", "it is at another revision", nil)
		}
		proto.Merge(stream.GetConfig(), req.GetConfig())
		stream.Revision++
		return &trestlev1.UpdateStreamResponse{Stream: stream}, nil
	}
	return nil, noStream(req.GetConfig().GetName())
}

func (s *fakeServer) DeleteStream(_ context.Context, req *trestlev1.DeleteStreamRequest) (*trestlev1.DeleteStreamResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, stream := range s.streams {
		if stream.GetConfig().GetName() == req.GetName() {
			s.streams = append(s.streams[:i:i], s.streams[i+1:]...)
			return &trestlev1.DeleteStreamResponse{}, nil
		}
	}
	return nil, noStream(req.GetName())
}

func (s *fakeServer) SetStreamMode(_ context.Context, req *trestlev1.SetStreamModeRequest) (*trestlev1.SetStreamModeResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.modes = append(s.modes, req)
	if s.refuse != nil {
		return nil, s.refuse
	}
	return &trestlev1.SetStreamModeResponse{}, nil
}

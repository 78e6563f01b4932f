package liftbridge

import (
	"context"
	"errors"
	"maps"

	"github.com/trestlehq/trestle/metadata"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
)

// resumeAllLabel is set on a stream of which all partitions resume once one does.
const resumeAllLabel = "liftbridge.resume-all"

// CreateStream makes a stream. It waits for the partitions to lead and capture, but not for ever.
func (s *Service) CreateStream(ctx context.Context, req *liftbridgepb.CreateStreamRequest) (*liftbridgepb.CreateStreamResponse, error) {
	config, err := toConfig(req, s.liveBrokers(), s.config.Encrypts)
	if err == nil {
		_, _, err = s.config.Streams.Create(ctx, config, false)
	}
	if err != nil && !errors.As(err, new(*host.NotReadyError)) {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.CreateStreamResponse{}, nil
}

// liveBrokers is how many brokers there are that may hold something.
func (s *Service) liveBrokers() (n int) {
	for b := range s.config.Metadata.State().Brokers() {
		if b.Live() {
			n++
		}
	}
	return n
}

// DeleteStream takes a stream away.
func (s *Service) DeleteStream(ctx context.Context, req *liftbridgepb.DeleteStreamRequest) (*liftbridgepb.DeleteStreamResponse, error) {
	if reserved(req.GetName()) {
		return nil, invalid("Stream is reserved")
	}
	err := s.config.Streams.Delete(ctx, req.GetName())
	if errors.Is(err, host.ErrStreamNotFound) {
		return nil, notFound("stream does not exist")
	}
	if err != nil {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.DeleteStreamResponse{}, nil
}

// PauseStream pauses partitions until they are published to, or subscribed to with resume. Those that are read-only take
// nothing in as it is, and stay so.
func (s *Service) PauseStream(ctx context.Context, req *liftbridgepb.PauseStreamRequest) (*liftbridgepb.PauseStreamResponse, error) {
	stream, err := s.changeable(req.GetName())
	if err == nil {
		err = hasPartitions(stream, req.GetPartitions()) // before anything changes
	}
	if err == nil {
		err = s.keepResumeAll(ctx, stream, req.GetResumeAll())
	}
	if err == nil {
		err = s.change(ctx, stream, req.GetPartitions(), trestlev1.Mode_MODE_ACTIVE, trestlev1.Mode_MODE_PAUSED)
	}
	if err != nil {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.PauseStreamResponse{}, nil
}

// SetStreamReadonly makes partitions take nothing in, or something again.
func (s *Service) SetStreamReadonly(ctx context.Context, req *liftbridgepb.SetStreamReadonlyRequest) (*liftbridgepb.SetStreamReadonlyResponse, error) {
	stream, err := s.changeable(req.GetName())
	switch {
	case err != nil:
	case req.GetReadonly():
		err = s.change(ctx, stream, req.GetPartitions(), trestlev1.Mode_MODE_UNSPECIFIED, trestlev1.Mode_MODE_READ_ONLY)
	default:
		err = s.change(ctx, stream, req.GetPartitions(), trestlev1.Mode_MODE_READ_ONLY, trestlev1.Mode_MODE_ACTIVE)
	}
	if err != nil {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.SetStreamReadonlyResponse{}, nil
}

// changeable is the stream of that name.
func (s *Service) changeable(name string) (metadata.Stream, error) {
	stream, err := s.config.Streams.Get(name)
	if errors.Is(err, host.ErrStreamNotFound) {
		return stream, notFound("stream not found")
	}
	if err == nil && stream.Internal {
		return stream, invalid("Stream is reserved")
	}
	return stream, err
}

func hasPartitions(stream metadata.Stream, numbers []int32) error {
	for _, n := range numbers {
		if n < 0 || int(n) >= len(stream.Partitions) {
			return notFound("partition does not exist")
		}
	}
	return nil
}

// change gives a mode to those partitions, none meaning all, that are in the mode from; unspecified: in any.
func (s *Service) change(ctx context.Context, stream metadata.Stream, asked []int32, from, to trestlev1.Mode) error {
	if len(asked) == 0 {
		for i := range stream.Partitions {
			asked = append(asked, int32(i))
		}
	}
	state := s.config.Metadata.State()
	seen := make(map[int32]bool, len(asked))
	var numbers []int32
	for _, number := range asked {
		p, ok := state.PartitionOf(stream, number)
		if !ok {
			return notFound("partition does not exist")
		}
		if !seen[number] && (from == trestlev1.Mode_MODE_UNSPECIFIED || p.Mode == from) && p.Mode != to {
			numbers = append(numbers, number)
		}
		seen[number] = true
	}
	if len(numbers) == 0 {
		return nil
	}
	_, err := s.config.Streams.SetMode(ctx, stream.Name(), to, numbers)
	return err
}

// keepResumeAll notes whether all partitions resume together.
func (s *Service) keepResumeAll(ctx context.Context, stream metadata.Stream, all bool) error {
	labels := maps.Clone(stream.Config.GetLabels())
	if has := labels[resumeAllLabel] == "true"; has == all {
		return nil
	}
	if labels == nil {
		labels = map[string]string{}
	}
	labels[resumeAllLabel] = "false"
	if all {
		labels[resumeAllLabel] = "true"
	}
	_, err := s.config.Streams.Update(ctx, &trestlev1.StreamConfig{Name: stream.Name(), Labels: labels}, 0)
	return err
}

// resume lets a paused partition take messages in again, with the others of its stream if they were paused so.
func (s *Service) resume(ctx context.Context, name string, number int32) error {
	stream, err := s.config.Streams.Get(name)
	if err != nil {
		return err
	}
	numbers := []int32{number}
	if stream.Config.GetLabels()[resumeAllLabel] == "true" {
		numbers = nil
	}
	return s.change(ctx, stream, numbers, trestlev1.Mode_MODE_PAUSED, trestlev1.Mode_MODE_ACTIVE)
}

package liftbridge

import (
	"context"
	"net"
	"slices"
	"strconv"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/proto/batch"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// FetchMetadata tells about live brokers, and about streams: those that are named, else all, internal ones included.
func (s *Service) FetchMetadata(ctx context.Context, req *liftbridgepb.FetchMetadataRequest) (*liftbridgepb.FetchMetadataResponse, error) {
	state := s.config.Metadata.State()
	res := &liftbridgepb.FetchMetadataResponse{Brokers: brokers(state)}
	for _, name := range req.GetStreams() {
		stream, ok := state.Stream(name)
		if !ok {
			res.StreamMetadata = append(res.StreamMetadata, &liftbridgepb.StreamMetadata{Name: name, Error: liftbridgepb.StreamMetadata_UNKNOWN_STREAM})
			continue
		}
		res.StreamMetadata = append(res.StreamMetadata, s.describe(ctx, state, stream))
	}
	if len(req.GetStreams()) == 0 {
		for stream := range state.Streams() {
			res.StreamMetadata = append(res.StreamMetadata, s.describe(ctx, state, stream))
		}
	}
	for _, id := range req.GetGroups() {
		res.GroupMetadata = append(res.GroupMetadata, s.describeGroup(ctx, id))
	}
	return res, nil
}

// brokers are those that can be reached: a client gives up on a list with one that cannot.
func brokers(state *metadata.State) (list []*liftbridgepb.Broker) {
	for b := range state.Brokers() {
		if !b.Live() {
			continue
		}
		hostName, text, err := net.SplitHostPort(b.ClientAddress)
		port, portErr := strconv.ParseUint(text, 10, 16)
		if err != nil || portErr != nil {
			continue
		}
		load := state.Load(b.Name)
		list = append(list, &liftbridgepb.Broker{
			Id: b.Name, Host: hostName, Port: int32(port), PartitionCount: int32(load.Replicas), LeaderCount: int32(load.Leaders),
		})
	}
	return list
}

func (s *Service) describe(ctx context.Context, state *metadata.State, stream metadata.Stream) *liftbridgepb.StreamMetadata {
	m := &liftbridgepb.StreamMetadata{
		Name: stream.Name(), Subject: subjectOf(stream, 0), CreationTimestamp: stream.Created,
		Partitions: make(map[int32]*liftbridgepb.PartitionMetadata, len(stream.Partitions)),
	}
	for i, id := range stream.Partitions {
		p, _ := state.Partition(id)
		here, err := s.config.Streams.PartitionOf(stream.Name(), int32(i))
		if err != nil {
			here = nil
		}
		m.Partitions[int32(i)] = describePartition(&p, here, s.autoPaused(ctx, stream, &p, here))
	}
	return m
}

// describePartition tells about a partition; here is nil unless this broker leads it, and autoPaused is since when it is paused by
// itself, 0 if it is not.
func describePartition(p *metadata.Partition, here *partition.Partition, autoPaused int64) *liftbridgepb.PartitionMetadata {
	m := &liftbridgepb.PartitionMetadata{
		Id: p.Number, Leader: p.Leader, Replicas: slices.Clone(p.Replicas), Isr: slices.Clone(p.ISR), HighWatermark: -1, NewestOffset: -1,
		Paused: p.Mode == trestlev1.Mode_MODE_PAUSED, Readonly: p.Mode == trestlev1.Mode_MODE_READ_ONLY,
		MessagesReceivedTimestamps: &liftbridgepb.PartitionEventTimestamps{},
		PauseTimestamps:            &liftbridgepb.PartitionEventTimestamps{},
		ReadonlyTimestamps:         &liftbridgepb.PartitionEventTimestamps{},
	}
	switch since := p.ModeSince; {
	case autoPaused != 0:
		m.Paused = true
		m.PauseTimestamps.FirstTimestamp, m.PauseTimestamps.LatestTimestamp = autoPaused, autoPaused
	case m.Paused:
		m.PauseTimestamps.FirstTimestamp, m.PauseTimestamps.LatestTimestamp = since, since
	case m.Readonly:
		m.ReadonlyTimestamps.FirstTimestamp, m.ReadonlyTimestamps.LatestTimestamp = since, since
	}
	if here != nil {
		now := here.State()
		m.HighWatermark, m.NewestOffset = now.HighWatermark-1, now.NextOffset-1 // inclusive
	}
	return m
}

// FetchPartitionMetadata tells about a partition that this broker leads, with the times of its oldest and its newest message.
func (s *Service) FetchPartitionMetadata(
	ctx context.Context, req *liftbridgepb.FetchPartitionMetadataRequest,
) (*liftbridgepb.FetchPartitionMetadataResponse, error) {
	state := s.config.Metadata.State()
	stream, ok := state.Stream(req.GetStream())
	p, found := state.PartitionOf(stream, req.GetPartition())
	if !ok || !found {
		return nil, notFound("partition not found")
	}
	here, err := s.config.Streams.PartitionOf(req.GetStream(), req.GetPartition())
	if err != nil {
		return nil, precondition("The request should be sent to partition leader: %v", err)
	}
	m := describePartition(&p, here, s.autoPaused(ctx, stream, &p, here))
	received := m.GetMessagesReceivedTimestamps()
	received.FirstTimestamp = timeAt(ctx, here, partition.Place{Kind: partition.AtEarliest})
	received.LatestTimestamp = timeAt(ctx, here, partition.Place{Kind: partition.AtLatest})
	return &liftbridgepb.FetchPartitionMetadataResponse{Metadata: m}, nil
}

// timeAt is when the message at the place was appended; 0 if there is none, or it cannot be read.
func timeAt(ctx context.Context, p *partition.Partition, start partition.Place) int64 {
	r, err := p.Read(partition.ReadOptions{Start: start, Stop: partition.Place{Kind: partition.AtLatest}, Plain: true})
	if err != nil {
		return 0
	}
	for {
		chunk, err := r.Next(ctx)
		if err != nil {
			return 0
		}
		for b := chunk.Batches; len(b) > 0; {
			h, err := batch.ParseHeader(b)
			if err != nil {
				return 0
			}
			if !h.Control() {
				return h.Time
			}
			b = b[h.Size:]
		}
	}
}

// subjectOf is the subject on which a partition of a stream listens: also a pattern, where one is shown. Internal streams
// listen on none, and show their name.
func subjectOf(stream metadata.Stream, number int32) string {
	subjects := stream.Config.GetSubjects()
	switch {
	case len(subjects) == 0:
		return stream.Name()
	case number == 0 || stream.Config.GetPartitionBy() != nil:
		return subjects[0]
	default:
		return subjects[0] + "." + strconv.Itoa(int(number))
	}
}

// literal says whether the subject is one that messages are published on.
func literal(subject string) bool { return names.Literal(subject) == nil }

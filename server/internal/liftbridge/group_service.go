package liftbridge

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/trestlehq/trestle/metadata/names"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

// maxConsumerBytes is the size of a consumer's id at most, maxJoined how many streams it can read.
const (
	maxConsumerBytes = 256
	maxJoined        = 64
)

// JoinConsumerGroup makes a consumer a member of a group, which it makes if need be.
func (s *Service) JoinConsumerGroup(
	ctx context.Context, req *liftbridgepb.JoinConsumerGroupRequest,
) (*liftbridgepb.JoinConsumerGroupResponse, error) {
	streams, err := s.checkJoin(req)
	if err != nil {
		return nil, err
	}
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	g, err := s.find(ctx, req.GetGroupId())
	if err != nil {
		return nil, toRefusal(err)
	}
	if g == nil {
		g = &group{id: req.GetGroupId(), members: map[string]*member{}}
	}
	if g.members[req.GetConsumerId()] != nil {
		return nil, precondition("consumer is already a member of the consumer group")
	}
	g.members[req.GetConsumerId()] = &member{streams: streams, heard: s.config.Now()}
	if err := s.store(ctx, g); err != nil {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.JoinConsumerGroupResponse{
		Coordinator: s.config.Broker, Epoch: g.epoch,
		ConsumerTimeout: int64(consumerTimeout), CoordinatorTimeout: int64(coordinatorTimeout),
	}, nil
}

// checkJoin returns the streams that the consumer wants to read, each once.
func (s *Service) checkJoin(req *liftbridgepb.JoinConsumerGroupRequest) ([]string, error) {
	switch id := req.GetConsumerId(); {
	case req.GetGroupId() == "":
		return nil, invalid("Group id cannot be empty")
	case id == "":
		return nil, invalid("Consumer id cannot be empty")
	case len(id) > maxConsumerBytes || !utf8.ValidString(id):
		return nil, invalid("Consumer id has %d bytes; use at most %d", len(id), maxConsumerBytes)
	case len(req.GetStreams()) == 0:
		return nil, invalid("No streams provided")
	case len(req.GetStreams()) > maxJoined:
		return nil, invalid("%d streams are too many for one consumer; use at most %d", len(req.GetStreams()), maxJoined)
	}
	if err := names.Stream(req.GetGroupId()); err != nil {
		return nil, invalid("Group id is invalid: %v", err)
	}
	for _, name := range req.GetStreams() {
		if _, err := s.config.Streams.Get(name); err != nil {
			return nil, precondition("stream does not exist: %s", name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(req.GetStreams()))), nil
}

// LeaveConsumerGroup ends a membership.
func (s *Service) LeaveConsumerGroup(
	ctx context.Context, req *liftbridgepb.LeaveConsumerGroupRequest,
) (*liftbridgepb.LeaveConsumerGroupResponse, error) {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	g, err := s.memberOf(ctx, req.GetGroupId(), req.GetConsumerId())
	if err != nil {
		return nil, err
	}
	leaving := seenMember{req.GetGroupId(), req.GetConsumerId()}
	s.groups.noteLeaving(leaving, s.assignments(g, req.GetConsumerId()))
	defer s.groups.noteLeaving(leaving, nil)
	delete(g.members, req.GetConsumerId())
	if err := s.store(ctx, g); err != nil {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.LeaveConsumerGroupResponse{}, nil
}

// memberOf returns the group of a member. The caller holds groups.mu.
func (s *Service) memberOf(ctx context.Context, id, consumer string) (*group, error) {
	switch {
	case id == "":
		return nil, invalid("Group id cannot be empty")
	case consumer == "":
		return nil, invalid("Consumer id cannot be empty")
	}
	g, err := s.find(ctx, id)
	switch {
	case err != nil:
		return nil, toRefusal(err)
	case g == nil:
		return nil, notFound("consumer group does not exist")
	case g.members[consumer] == nil:
		return nil, precondition("consumer is not a member of the consumer group")
	}
	return g, nil
}

// FetchConsumerGroupAssignments hears a member and tells it what it is to read. One that is just leaving is answered as before it
// leaves: Liftbridge's Go client asks on meanwhile, and never ends if it is told an error then.
func (s *Service) FetchConsumerGroupAssignments(
	ctx context.Context, req *liftbridgepb.FetchConsumerGroupAssignmentsRequest,
) (*liftbridgepb.FetchConsumerGroupAssignmentsResponse, error) {
	if before := s.groups.beforeLeaving(seenMember{req.GetGroupId(), req.GetConsumerId()}); before != nil && before.GetEpoch() == req.GetEpoch() {
		return before, nil
	}
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	g, err := s.memberOf(ctx, req.GetGroupId(), req.GetConsumerId())
	if err != nil {
		return nil, err
	}
	g.members[req.GetConsumerId()].heard = s.config.Now()
	if req.GetEpoch() != g.epoch { // a client that is told an error asks for the epoch and comes back
		return nil, precondition("generation mismatch: the group is at epoch %d, not %d", g.epoch, req.GetEpoch())
	}
	return s.assignments(g, req.GetConsumerId()), nil
}

// assignments are what the group has its member read. The caller holds groups.mu.
func (s *Service) assignments(g *group, consumer string) *liftbridgepb.FetchConsumerGroupAssignmentsResponse {
	state := s.config.Metadata.State()
	members, partitions := map[string][]string{}, map[string]int{}
	for id, m := range g.members {
		members[id] = m.streams
		for _, name := range m.streams {
			if stream, ok := state.Stream(name); ok {
				partitions[name] = len(stream.Partitions)
			}
		}
	}
	return &liftbridgepb.FetchConsumerGroupAssignmentsResponse{Epoch: g.epoch, Assignments: assign(members, partitions)[consumer]}
}

// ReportConsumerGroupCoordinator hears that a member does not reach its coordinator. As long as that is the broker that
// answers, it is not gone, and nothing changes.
func (s *Service) ReportConsumerGroupCoordinator(
	ctx context.Context, req *liftbridgepb.ReportConsumerGroupCoordinatorRequest,
) (*liftbridgepb.ReportConsumerGroupCoordinatorResponse, error) {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	g, err := s.memberOf(ctx, req.GetGroupId(), req.GetConsumerId())
	if err != nil {
		return nil, err
	}
	if req.GetCoordinator() != s.config.Broker || req.GetEpoch() != g.epoch {
		return nil, precondition("generation mismatch: the coordinator is %q at epoch %d", s.config.Broker, g.epoch)
	}
	return &liftbridgepb.ReportConsumerGroupCoordinatorResponse{}, nil
}

// describeGroup tells clients who coordinates a group, and its epoch.
func (s *Service) describeGroup(ctx context.Context, id string) *liftbridgepb.ConsumerGroupMetadata {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	g, err := s.find(ctx, id)
	if err != nil || g == nil {
		return &liftbridgepb.ConsumerGroupMetadata{GroupId: id, Error: liftbridgepb.ConsumerGroupMetadata_UNKNOWN_GROUP}
	}
	return &liftbridgepb.ConsumerGroupMetadata{GroupId: id, Coordinator: s.config.Broker, Epoch: g.epoch}
}

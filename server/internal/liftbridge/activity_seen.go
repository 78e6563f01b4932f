package liftbridge

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// seen is what the events that were recorded say there is. Whatever the metadata have and it has not is an event to come, so that
// each is recorded once, however often a broker ends in between.
type seen struct {
	id      uint64 // of the last event
	streams map[uuid.UUID]*seenStream
	members map[seenMember][]string // the streams that each reads
}

type seenStream struct {
	name  string
	modes map[int32]trestlev1.Mode // of partitions that are not active
}

type seenMember struct{ group, consumer string }

func newSeen() *seen {
	return &seen{streams: map[uuid.UUID]*seenStream{}, members: map[seenMember][]string{}}
}

// activity is an event, and the stream that it is about: a name alone may have been another's before.
type activity struct {
	*liftbridgepb.ActivityStreamEvent
	stream uuid.UUID
}

// apply takes in an event.
func (n *seen) apply(a activity) {
	n.id = max(n.id, a.GetId())
	switch a.GetOp() {
	case liftbridgepb.ActivityStreamOp_CREATE_STREAM:
		n.streams[a.stream] = &seenStream{name: a.GetCreateStreamOp().GetStream(), modes: map[int32]trestlev1.Mode{}}
	case liftbridgepb.ActivityStreamOp_DELETE_STREAM:
		delete(n.streams, a.stream)
	case liftbridgepb.ActivityStreamOp_PAUSE_STREAM:
		n.mode(a.stream, a.GetPauseStreamOp().GetPartitions(), trestlev1.Mode_MODE_PAUSED)
	case liftbridgepb.ActivityStreamOp_RESUME_STREAM:
		n.mode(a.stream, a.GetResumeStreamOp().GetPartitions(), trestlev1.Mode_MODE_ACTIVE)
	case liftbridgepb.ActivityStreamOp_SET_STREAM_READONLY:
		mode := trestlev1.Mode_MODE_ACTIVE
		if a.GetSetStreamReadonlyOp().GetReadonly() {
			mode = trestlev1.Mode_MODE_READ_ONLY
		}
		n.mode(a.stream, a.GetSetStreamReadonlyOp().GetPartitions(), mode)
	case liftbridgepb.ActivityStreamOp_JOIN_CONSUMER_GROUP:
		op := a.GetJoinConsumerGroupOp()
		n.members[seenMember{op.GetGroupId(), op.GetConsumerId()}] = op.GetStreams()
	case liftbridgepb.ActivityStreamOp_LEAVE_CONSUMER_GROUP:
		op := a.GetLeaveConsumerGroupOp()
		delete(n.members, seenMember{op.GetGroupId(), op.GetConsumerId()})
	}
}

func (n *seen) mode(stream uuid.UUID, partitions []int32, mode trestlev1.Mode) {
	s := n.streams[stream]
	if s == nil {
		return
	}
	for _, p := range partitions {
		if mode == trestlev1.Mode_MODE_ACTIVE {
			delete(s.modes, p)
		} else {
			s.modes[p] = mode
		}
	}
}

// missing are the events that lead from what was seen to the state, in an order in which they can have happened. Members that were
// silent for too long are those that expired says.
func (n *seen) missing(state *metadata.State, expired func(seenMember) bool) (events []activity) {
	left, joined := n.missingMembers(state, expired)
	events = append(events, left...)
	for _, id := range slices.SortedFunc(maps.Keys(n.streams), compareIDs) {
		if _, ok := state.StreamByID(id); !ok {
			events = append(events, activity{&liftbridgepb.ActivityStreamEvent{
				Op: liftbridgepb.ActivityStreamOp_DELETE_STREAM, DeleteStreamOp: &liftbridgepb.DeleteStreamOp{Stream: n.streams[id].name},
			}, id})
		}
	}
	for stream := range state.Streams() {
		if !stream.Internal {
			events = append(events, n.missingOf(state, stream)...)
		}
	}
	events = append(events, joined...)
	for i, e := range events {
		e.Id = max(n.id+1, state.Index()) + uint64(i) // each greater than all before
	}
	return events
}

func compareIDs(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }

// missingOf are the events of one stream that is there.
func (n *seen) missingOf(state *metadata.State, stream metadata.Stream) (events []activity) {
	known := n.streams[stream.ID]
	if known == nil {
		known = &seenStream{}
		op := &liftbridgepb.CreateStreamOp{Stream: stream.Name()}
		for i := range stream.Partitions {
			op.Partitions = append(op.Partitions, int32(i))
		}
		events = append(events, activity{&liftbridgepb.ActivityStreamEvent{Op: liftbridgepb.ActivityStreamOp_CREATE_STREAM, CreateStreamOp: op}, stream.ID})
	}
	type change struct{ from, to trestlev1.Mode }
	changes := map[change][]int32{}
	for i, id := range stream.Partitions {
		p, _ := state.Partition(id)
		from := cmp.Or(known.modes[int32(i)], trestlev1.Mode_MODE_ACTIVE)
		if to := cmp.Or(p.Mode, trestlev1.Mode_MODE_ACTIVE); from != to {
			changes[change{from, to}] = append(changes[change{from, to}], int32(i))
		}
	}
	order := func(a, b change) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) }
	for _, c := range slices.SortedFunc(maps.Keys(changes), order) {
		events = append(events, activity{modeEvent(stream, c.from, c.to, changes[c]), stream.ID})
	}
	return events
}

// modeEvent is the event of partitions that go from one mode to another.
func modeEvent(stream metadata.Stream, from, to trestlev1.Mode, partitions []int32) *liftbridgepb.ActivityStreamEvent {
	switch {
	case to == trestlev1.Mode_MODE_PAUSED:
		return &liftbridgepb.ActivityStreamEvent{Op: liftbridgepb.ActivityStreamOp_PAUSE_STREAM, PauseStreamOp: &liftbridgepb.PauseStreamOp{
			Stream: stream.Name(), Partitions: partitions, ResumeAll: stream.Config.GetLabels()[resumeAllLabel] == "true",
		}}
	case to == trestlev1.Mode_MODE_ACTIVE && from == trestlev1.Mode_MODE_PAUSED:
		return &liftbridgepb.ActivityStreamEvent{Op: liftbridgepb.ActivityStreamOp_RESUME_STREAM, ResumeStreamOp: &liftbridgepb.ResumeStreamOp{
			Stream: stream.Name(), Partitions: partitions,
		}}
	default:
		return &liftbridgepb.ActivityStreamEvent{Op: liftbridgepb.ActivityStreamOp_SET_STREAM_READONLY, SetStreamReadonlyOp: &liftbridgepb.SetStreamReadonlyOp{
			Stream: stream.Name(), Partitions: partitions, Readonly: to == trestlev1.Mode_MODE_READ_ONLY,
		}}
	}
}

// missingMembers are the events of members that left, and of those that joined.
func (n *seen) missingMembers(state *metadata.State, expired func(seenMember) bool) (left, joined []activity) {
	now := membersOf(state)
	order := func(a, b seenMember) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.consumer, b.consumer))
	}
	for _, m := range slices.SortedFunc(maps.Keys(n.members), order) {
		if streams, ok := now[m]; !ok || !slices.Equal(streams, n.members[m]) {
			left = append(left, activity{ActivityStreamEvent: &liftbridgepb.ActivityStreamEvent{
				Op:                   liftbridgepb.ActivityStreamOp_LEAVE_CONSUMER_GROUP,
				LeaveConsumerGroupOp: &liftbridgepb.LeaveConsumerGroupOp{GroupId: m.group, ConsumerId: m.consumer, Expired: expired(m)},
			}})
		}
	}
	for _, m := range slices.SortedFunc(maps.Keys(now), order) {
		if streams, ok := n.members[m]; !ok || !slices.Equal(streams, now[m]) {
			joined = append(joined, activity{ActivityStreamEvent: &liftbridgepb.ActivityStreamEvent{
				Op:                  liftbridgepb.ActivityStreamOp_JOIN_CONSUMER_GROUP,
				JoinConsumerGroupOp: &liftbridgepb.JoinConsumerGroupOp{GroupId: m.group, ConsumerId: m.consumer, Streams: now[m]},
			}})
		}
	}
	return left, joined
}

// membersOf are the members of all groups, with the streams that each reads.
func membersOf(state *metadata.State) map[seenMember][]string {
	all := map[seenMember][]string{}
	for stream := range state.Streams() {
		for g := range state.Groups(stream.ID) {
			if g.Config.GetSettings()[kindSetting] != kind {
				continue
			}
			for name, value := range g.Config.GetSettings() {
				if consumer, ok := strings.CutPrefix(name, memberPrefix); ok {
					all[seenMember{g.Name, consumer}] = strings.Split(value, ",")
				}
			}
		}
	}
	return all
}

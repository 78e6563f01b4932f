package liftbridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

// consumerTimeout is how long a member may be silent, and coordinatorTimeout how long a coordinator may be before members
// report it.
const (
	consumerTimeout    = 15 * time.Second
	coordinatorTimeout = 15 * time.Second
)

// Settings of a group in the metadata: what kind of group it is, and for each member, behind the prefix, the streams that it
// subscribed to. A comma is in no name of a stream.
const (
	kindSetting  = "kind"
	kind         = "liftbridge"
	memberPrefix = "member:"
)

// groups are the consumer groups that this broker coordinates. Members are in the metadata, with one of the streams that they
// read, so that they outlive the broker; when they were heard last is not, and begins anew with a start.
type groups struct {
	mu    sync.Mutex // held over changes of the metadata: groups change one after the other
	known map[string]*group

	leavingMu sync.Mutex
	leaving   map[seenMember]*liftbridgepb.FetchConsumerGroupAssignmentsResponse // what members had until now; guarded by leavingMu
}

// noteLeaving remembers what a member that is leaving had; nil: it has left.
func (g *groups) noteLeaving(m seenMember, had *liftbridgepb.FetchConsumerGroupAssignmentsResponse) {
	g.leavingMu.Lock()
	defer g.leavingMu.Unlock()
	if had == nil {
		delete(g.leaving, m)
		return
	}
	g.leaving[m] = had
}

// beforeLeaving is what a member had that is leaving at this moment; nil: it is not.
func (g *groups) beforeLeaving(m seenMember) *liftbridgepb.FetchConsumerGroupAssignmentsResponse {
	g.leavingMu.Lock()
	defer g.leavingMu.Unlock()
	return g.leaving[m]
}

// group of consumers. Its epoch is the raft index of the last change of its members. Guarded by groups.mu.
type group struct {
	id      string
	epoch   uint64
	stored  uuid.UUID // stream under which the metadata have it; Nil: nowhere
	members map[string]*member
}

type member struct {
	streams []string
	heard   time.Time
}

// find returns the group, nil if there is none, without the members that were silent for too long. The caller holds mu.
func (s *Service) find(ctx context.Context, id string) (*group, error) {
	g, err := s.lookup(id)
	if g == nil || err != nil {
		return nil, err
	}
	gone := false
	for name, m := range g.members {
		if s.config.Now().Sub(m.heard) > consumerTimeout {
			delete(g.members, name)
			s.noteSilent(id, name)
			gone = true
		}
	}
	if _, ok := s.config.Metadata.State().Group(g.stored, g.id); gone || !ok { // its stream may have been deleted
		if err := s.store(ctx, g); err != nil {
			return nil, err
		}
	}
	if len(g.members) == 0 {
		return nil, nil
	}
	return g, nil
}

// lookup returns the group as this broker or the metadata know it; nil: neither does.
func (s *Service) lookup(id string) (*group, error) {
	if g := s.groups.known[id]; g != nil {
		return g, nil
	}
	state := s.config.Metadata.State()
	for stream := range state.Streams() {
		stored, ok := state.Group(stream.ID, id)
		if !ok {
			continue
		}
		if stored.Config.GetSettings()[kindSetting] != kind {
			continue
		}
		g := &group{id: id, epoch: stored.Revision, stored: stream.ID, members: map[string]*member{}}
		for name, value := range stored.Config.GetSettings() {
			if consumer, ok := strings.CutPrefix(name, memberPrefix); ok {
				g.members[consumer] = &member{streams: strings.Split(value, ","), heard: s.config.Now()}
			}
		}
		s.groups.known[id] = g
		return g, nil
	}
	return nil, nil
}

// store has the metadata know the members of a group, which begins its next epoch. If that fails, what this broker knew is
// forgotten: the metadata say what holds.
func (s *Service) store(ctx context.Context, g *group) error {
	err := s.tryStore(ctx, g)
	if err != nil {
		delete(s.groups.known, g.id)
		return fmt.Errorf("storing group %q: %w", g.id, err)
	}
	if len(g.members) == 0 {
		delete(s.groups.known, g.id)
		return nil
	}
	s.groups.known[g.id] = g
	return nil
}

func (s *Service) tryStore(ctx context.Context, g *group) error {
	state := s.config.Metadata.State()
	before, had := state.Group(g.stored, g.id)
	if len(g.members) == 0 {
		if !had {
			return nil
		}
		return s.propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_DeleteGroup{
			DeleteGroup: &clusterv1.DeleteGroup{Stream: g.stored[:], Name: g.id},
		}}, g)
	}
	if !had {
		if g.stored = anchor(state, g); g.stored == uuid.Nil {
			return errors.New("none of the streams that its members read is there any more; leave the group")
		}
	}
	put := &clusterv1.PutGroup{Stream: g.stored[:], Name: g.id, Revision: before.Revision, Config: &clusterv1.GroupConfig{
		Settings: map[string]string{kindSetting: kind},
	}}
	for name, m := range g.members {
		put.Config.Settings[memberPrefix+name] = strings.Join(m.streams, ",")
	}
	return s.propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_PutGroup{PutGroup: put}}, g)
}

func (s *Service) propose(ctx context.Context, cmd *clusterv1.Command, g *group) error {
	answer, err := s.config.Metadata.Propose(ctx, cmd)
	if err != nil {
		return err
	}
	g.epoch = max(g.epoch, answer.GetStream().GetRevision())
	return nil
}

// anchor is a stream of the group under which it can be stored.
func anchor(state *metadata.State, g *group) uuid.UUID {
	for _, name := range slices.Sorted(maps.Keys(g.members)) {
		for _, of := range g.members[name].streams {
			if stream, ok := state.Stream(of); ok && !stream.Internal {
				return stream.ID
			}
		}
	}
	return uuid.Nil
}

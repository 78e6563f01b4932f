package metadata

import (
	"fmt"
	"iter"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/metadata/names"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// Group is the configuration of a consumer group of one stream. What it has delivered is no metadata.
type Group struct {
	Stream uuid.UUID
	Name   string
	// Config is shared: clone it before changing it.
	Config *clusterv1.GroupConfig
	// Revision is the raft index of the command that last changed it.
	Revision uint64
}

func groupKey(stream uuid.UUID, name string) []byte {
	return append(stream[:], name...)
}

// Group returns the group of that name that reads the stream.
func (s *State) Group(stream uuid.UUID, name string) (Group, bool) {
	if group, ok := s.streams.groups.Get(groupKey(stream, name)); ok {
		return *group, true
	}
	return Group{}, false
}

// Groups returns the groups that read the stream, in the order of their names.
func (s *State) Groups(stream uuid.UUID) iter.Seq[Group] {
	return func(yield func(Group) bool) {
		it := s.streams.groups.Root().Iterator()
		it.SeekPrefix(stream[:])
		for _, group, ok := it.Next(); ok; _, group, ok = it.Next() {
			if !yield(*group) {
				return
			}
		}
	}
}

func (s *State) allGroups() iter.Seq[Group] {
	return func(yield func(Group) bool) {
		it := s.streams.groups.Root().Iterator()
		for _, group, ok := it.Next(); ok; _, group, ok = it.Next() {
			if !yield(*group) {
				return
			}
		}
	}
}

func groupBytes(g Group) int { return len(g.Name) + proto.Size(g.Config) }

func (c *change) setGroup(g Group) {
	if before, had := c.Group(g.Stream, g.Name); had {
		c.streams.configBytes -= groupBytes(before)
	}
	c.streams.configBytes += groupBytes(g)
	c.streams.groups, _, _ = c.streams.groups.Insert(groupKey(g.Stream, g.Name), &g)
}

func (c *change) unsetGroup(g Group) {
	c.streams.configBytes -= groupBytes(g)
	c.streams.groups, _, _ = c.streams.groups.Delete(groupKey(g.Stream, g.Name))
}

func (c *change) putGroup(cmd *clusterv1.PutGroup) (*clusterv1.Answer, *Refusal) {
	stream, refusal := c.userStream(cmd.GetStream())
	if refusal != nil {
		return nil, refusal
	}
	if err := names.Stream(cmd.GetName()); err != nil {
		return nil, refuse(ReasonInvalid, "group: %v", err).with("field", "name")
	}
	if err := checkLabels("settings", cmd.GetConfig().GetSettings()); err != nil {
		return nil, refuse(ReasonInvalid, "settings of group %q: %v", cmd.GetName(), err).with("field", "settings")
	}
	before, had := c.Group(stream.ID, cmd.GetName())
	if refusal := checkGroupRevision(cmd, before, had); refusal != nil {
		return nil, refusal
	}
	config, isConfig := proto.Clone(cmd.GetConfig()).(*clusterv1.GroupConfig)
	if !isConfig || config == nil {
		config = &clusterv1.GroupConfig{}
	}
	group := Group{Stream: stream.ID, Name: cmd.GetName(), Config: config, Revision: c.index}
	if size := groupBytes(group); size > MaxGroupBytes {
		return nil, refuse(ReasonInvalid, "settings of group %q have %d bytes; use at most %d", group.Name, size, MaxGroupBytes).with("field", "settings")
	}
	if !had && c.streams.groups.Len() >= MaxGroups {
		return nil, refuse(ReasonLimit, "the cluster has %d groups, as many as it can; delete some", MaxGroups).with("limit", "groups")
	}
	c.setGroup(group)
	if refusal := c.checkConfigBytes(); refusal != nil {
		return nil, refusal
	}
	return streamAnswer(stream.ID, group.Revision, had), nil
}

func checkGroupRevision(cmd *clusterv1.PutGroup, before Group, had bool) *Refusal {
	switch {
	case !had && cmd.GetRevision() != 0:
		return refuse(ReasonGroupNotFound, "there is no group %q to change; it was deleted: make it with revision 0", cmd.GetName()).with("group", cmd.GetName())
	case had && cmd.GetRevision() == 0:
		return refuse(ReasonGroupExists, "there is a group %q; read it and name its revision to change it", cmd.GetName()).with("group", cmd.GetName())
	case had && cmd.GetRevision() != before.Revision:
		return refuse(ReasonStaleRevision, "group %q is at revision %d, not %d; read it again", cmd.GetName(), before.Revision, cmd.GetRevision()).
			with("group", cmd.GetName()).with("revision", fmt.Sprint(before.Revision))
	}
	return nil
}

func (c *change) deleteGroup(cmd *clusterv1.DeleteGroup) (*clusterv1.Answer, *Refusal) {
	stream, refusal := c.userStream(cmd.GetStream())
	if refusal != nil {
		return nil, refusal
	}
	group, had := c.Group(stream.ID, cmd.GetName())
	if !had {
		return nil, refuse(ReasonGroupNotFound, "stream %q has no group %q", stream.Name(), cmd.GetName()).with("group", cmd.GetName())
	}
	c.unsetGroup(group)
	return streamAnswer(stream.ID, group.Revision, true), nil
}

// checkConfigBytes refuses what would make a snapshot too large.
func (c *change) checkConfigBytes() *Refusal {
	if c.streams.configBytes > MaxAllConfigBytes {
		return refuse(ReasonLimit, "the configurations of all streams and groups would have %d bytes, more than %d; use shorter subjects and labels, or delete streams",
			c.streams.configBytes, MaxAllConfigBytes).with("limit", "config bytes")
	}
	return nil
}

func streamAnswer(id uuid.UUID, revision uint64, existed bool) *clusterv1.Answer {
	return &clusterv1.Answer{Stream: &clusterv1.StreamAnswer{Uuid: id[:], Revision: revision, Existed: existed}}
}

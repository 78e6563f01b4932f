package host

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Get returns the stream of that name.
func (h *Host) Get(name string) (metadata.Stream, error) {
	s, ok := h.config.Metadata.State().Stream(name)
	if !ok {
		return metadata.Stream{}, &StreamNotFoundError{Stream: name}
	}
	return s, nil
}

// PartitionOf returns a partition of a stream, to be read.
func (h *Host) PartitionOf(name string, number int32) (*partition.Partition, error) {
	_, _, runs, err := h.find(name, number)
	return runs.partition, err
}

// Publishable returns a partition that users may append to, and the subjects that its records may have.
func (h *Host) Publishable(name string, number int32) (*partition.Partition, []string, error) {
	at, wanted := h.lookups.now(h.config.Metadata.State()), place{stream: name, partition: number}
	if found, ok := h.lookups.get(at, wanted); ok {
		return found.partition, found.subjects, nil
	}
	s, p, runs, err := h.findAs(at.state, name, number)
	switch {
	case err != nil:
		return nil, nil, err
	case s.Internal:
		return nil, nil, &InternalError{Stream: name}
	case p.Mode != trestlev1.Mode_MODE_ACTIVE:
		return nil, nil, &ModeError{Stream: name, Partition: number, ReadOnly: p.Mode == trestlev1.Mode_MODE_READ_ONLY}
	}
	subjects := s.Config.GetSubjects()
	if number > 0 {
		subjects = slices.Concat(subjects, listens(s, number))
	}
	h.lookups.put(at, wanted, publicity{runs.partition, subjects})
	return runs.partition, subjects, nil
}

func (h *Host) find(name string, number int32) (metadata.Stream, metadata.Partition, running, error) {
	return h.findAs(h.config.Metadata.State(), name, number)
}

func (h *Host) findAs(state *metadata.State, name string, number int32) (metadata.Stream, metadata.Partition, running, error) {
	s, ok := state.Stream(name)
	if !ok {
		return s, metadata.Partition{}, running{}, &StreamNotFoundError{Stream: name}
	}
	p, ok := state.PartitionOf(s, number)
	if !ok {
		return s, p, running{}, &PartitionNotFoundError{Stream: name, Partition: number, Partitions: len(s.Partitions)}
	}
	runs := h.running(p.ID)
	if runs.partition == nil {
		e := &NotLedError{Stream: name, Partition: number, Cause: runs.fault}
		if p.Leader != h.config.Folder.Broker {
			e.Leader = p.Leader
		}
		return s, p, runs, e
	}
	return s, p, runs, nil
}

// Describe returns the state of a stream as of now.
func (h *Host) Describe(name string) (*trestlev1.StreamState, error) {
	state := h.config.Metadata.State()
	s, ok := state.Stream(name)
	if !ok {
		return nil, &StreamNotFoundError{Stream: name}
	}
	return h.describe(state, s), nil
}

// List returns at most limit streams whose names match the glob and come after the name after, in the order of names.
// Internal streams are listed for those only who ask for names that begin with __.
func (h *Host) List(glob, after string, limit int) ([]*trestlev1.StreamState, error) {
	state := h.config.Metadata.State()
	var list []*trestlev1.StreamState
	for len(list) < limit {
		found, err := state.StreamsLike(glob, after, limit)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			after = s.Name()
			if len(list) < limit && (!s.Internal || strings.HasPrefix(glob, "__")) {
				list = append(list, h.describe(state, s))
			}
		}
		if len(found) < limit {
			break
		}
	}
	return list, nil
}

func (h *Host) describe(state *metadata.State, s metadata.Stream) *trestlev1.StreamState {
	described := &trestlev1.StreamState{Config: proto.CloneOf(s.Config), Uuid: s.ID.String(), Revision: s.Revision}
	for _, id := range s.Partitions {
		p, _ := state.Partition(id)
		described.Partitions = append(described.Partitions, describePartition(&p, h.running(id)))
	}
	return described
}

func describePartition(p *metadata.Partition, runs running) *trestlev1.PartitionState {
	described := &trestlev1.PartitionState{
		Id: p.Number, Leader: p.Leader, Replicas: p.Replicas, Isr: p.ISR, LeaderEpoch: p.LeaderEpoch, Mode: p.Mode,
	}
	switch {
	case runs.fault != nil:
		described.Fault = runs.fault.Error()
	case p.Leader == "":
		described.Fault = "no replica may lead; those that have what was acknowledged are away or gone"
	}
	if runs.partition == nil {
		return described
	}
	now := runs.partition.State()
	described.LogStart, described.NextOffset = now.LogStart, now.NextOffset
	described.HighWatermark, described.DurableOffset = now.HighWatermark, now.DurableOffset
	described.Messages, described.Bytes = now.HighWatermark-now.LogStart, now.Bytes
	if now.Fault != nil {
		described.Fault = now.Fault.Error()
	}
	described.Gaps = now.Gaps
	if now.LastGap != nil {
		described.LastGap = describeGap(now.LastGap)
	}
	return described
}

func describeGap(g *batch.Gap) *trestlev1.Gap {
	gap := &trestlev1.Gap{Cause: trestlev1.GapCause(g.Cause), FromTime: g.FromTime, ToTime: g.ToTime}
	if g.Counted {
		gap.AtLeast = &g.AtLeast
	}
	return gap
}

package host

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// recover opens every log in the folder, also those of which the state does not know: it may be behind. None has a role
// yet.
func (h *Host) recover() error {
	partitions, unknown, err := h.config.Folder.partitionFolders()
	if err != nil {
		return fmt.Errorf("listing partitions: %w", err)
	}
	for _, name := range unknown {
		h.config.Logger.Warn("not a partition; left alone", "folder", name)
	}
	found := make([]*replica, 0, len(partitions))
	for _, id := range partitions {
		found = append(found, &replica{id: id, unclean: h.clean == 0})
	}
	err = atOnce(found, func(r *replica) error {
		has, err := h.config.Folder.hasLog(r.id)
		if err == nil && has { // without one its first leadership never began
			err = h.open(r, h.configOf(r.id), h.clean != 0)
		}
		if err != nil {
			return fmt.Errorf("partition %s: %w", r.id, err)
		}
		return nil
	})
	for _, r := range found {
		if r.log != nil {
			h.replicas[r.id] = r
		}
	}
	return err
}

// configOf is the configuration of a partition's stream: that of the state, or else of the folder, or else the default.
func (h *Host) configOf(partition uuid.UUID) *trestlev1.StreamConfig {
	state := h.config.Metadata.State()
	if p, ok := state.Partition(partition); ok {
		if s, ok := state.StreamByID(p.Stream); ok {
			return s.Config
		}
	}
	if m, err := h.config.Folder.readMeta(partition); err == nil {
		return m.Config
	}
	return &trestlev1.StreamConfig{}
}

// reports says of every copy that this broker has, or should have, how it is.
//
// A copy that should be here and has no log was either never made, because the broker stopped between the command that
// placed it here and the making, or is gone. The marks tell which: that of a new log is durable before its first leadership
// serves anybody. So without a mark nothing was ever acknowledged for it here, and it is reported whole and empty.
func (h *Host) reports() []*clusterv1.PartitionReport {
	var reports []*clusterv1.PartitionReport
	add := func(id uuid.UUID, state clusterv1.CopyState, last commitlog.BatchName) {
		reports = append(reports, &clusterv1.PartitionReport{
			Partition: id[:], State: state, LastEpoch: last.Epoch, LastSeq: last.Seq,
		})
	}
	for id, r := range h.replicas {
		state := clusterv1.CopyState_COPY_STATE_OK
		if r.damaged {
			state = clusterv1.CopyState_COPY_STATE_DAMAGED
		}
		add(id, state, r.log.Last())
	}
	for p := range h.config.Metadata.State().PartitionsOn(h.config.Folder.Broker) {
		if h.replicas[p.ID] != nil {
			continue
		}
		state := clusterv1.CopyState_COPY_STATE_OK
		if _, marked := h.config.Marks.Get(logOf(p.ID)); marked {
			state = clusterv1.CopyState_COPY_STATE_MISSING
			h.config.Logger.Error("the copy of a partition is gone", "folder", h.config.Folder.partitionDir(p.ID))
		}
		add(p.ID, state, commitlog.BatchName{})
	}
	return reports
}

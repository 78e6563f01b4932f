package host

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// found is a partition as its folder tells of it.
type found struct {
	id uuid.UUID
	*meta
}

// adopt puts into the metadata the streams of a folder whose metadata is not complete yet: one of the first format, where
// the folders of partitions alone say what there is. It may be cut off anywhere and is gone through again then. Nothing in
// the folders changes.
func (h *Host) adopt(ctx context.Context) error {
	if h.config.Folder.RaftID != "" {
		return nil
	}
	streams, err := h.unadopted()
	if err != nil {
		return err
	}
	if err := h.passEpochs(ctx, streams); err != nil {
		return err
	}
	for _, partitions := range streams {
		if err := h.adoptStream(ctx, partitions); err != nil {
			return fmt.Errorf("taking over stream %q: %w", partitions[0].Config.GetName(), err)
		}
	}
	return h.config.Folder.settled(h.config.RaftID)
}

// unadopted lists the streams that the folders tell of and the state does not have: their partitions in the order of
// numbers, the streams in that of names.
func (h *Host) unadopted() ([][]found, error) {
	partitions, _, err := h.config.Folder.partitionFolders()
	if err != nil {
		return nil, fmt.Errorf("listing partitions: %w", err)
	}
	byStream := map[uuid.UUID][]found{}
	named := map[string]uuid.UUID{}
	for _, id := range partitions {
		m, err := h.config.Folder.readMeta(id)
		if isUnfinished(err) {
			h.config.Logger.Warn("a partition was never finished; left alone", "folder", h.config.Folder.partitionDir(id))
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, known := h.config.Metadata.State().StreamByID(m.Stream); known {
			continue
		}
		if other, taken := named[m.Config.GetName()]; taken && other != m.Stream {
			return nil, fmt.Errorf("two folders hold stream %q; move %s away", m.Config.GetName(), h.config.Folder.partitionDir(id))
		}
		named[m.Config.GetName()] = m.Stream
		byStream[m.Stream] = append(byStream[m.Stream], found{id, m})
	}
	var streams [][]found
	for _, list := range byStream {
		slices.SortFunc(list, func(a, b found) int { return cmp.Compare(a.Number, b.Number) })
		for number, f := range list {
			if int(f.Number) != number || len(list) != int(f.Config.GetPartitions()) {
				return nil, fmt.Errorf("stream %q has %d partitions and the folder %s has %d of them, each to be there once; put the others back, or move these away",
					f.Config.GetName(), f.Config.GetPartitions(), h.config.Folder.dir, len(list))
			}
		}
		streams = append(streams, list)
	}
	slices.SortFunc(streams, func(a, b []found) int { return cmp.Compare(a[0].Config.GetName(), b[0].Config.GetName()) })
	return streams, nil
}

// passEpochs sees that the leader epochs to come are above those in the logs: leader epochs are indexes of the metadata,
// and those of a folder of the first format were counted. Commands that change nothing raise the index.
func (h *Host) passEpochs(ctx context.Context, streams [][]found) error {
	var last uint64
	for _, partitions := range streams {
		for _, f := range partitions {
			if r := h.replicas[f.id]; r != nil {
				epoch, _ := r.log.LastEpoch()
				last = max(last, epoch)
			}
		}
	}
	for state := h.config.Metadata.State(); state.Index() < last; state = h.config.Metadata.State() {
		_, err := h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_SetFeatureLevel{
			SetFeatureLevel: &clusterv1.SetFeatureLevel{Level: state.Cluster().FeatureLevel},
		}})
		if err != nil {
			return fmt.Errorf("raising the index of the metadata to epoch %d of the logs: %w", last, err)
		}
	}
	return nil
}

func (h *Host) adoptStream(ctx context.Context, partitions []found) error {
	create := &clusterv1.CreateStream{
		Uuid: partitions[0].Stream[:], Config: partitions[0].Config, Created: h.config.Now().UnixNano(),
	}
	for _, f := range partitions {
		create.Partitions = append(create.Partitions, &clusterv1.NewPartition{Uuid: f.id[:], Replicas: []string{h.config.Folder.Broker}})
	}
	_, err := h.config.Metadata.Propose(ctx, createCommand(create))
	return err
}

func createCommand(create *clusterv1.CreateStream) *clusterv1.Command {
	return &clusterv1.Command{Command: &clusterv1.Command_CreateStream{CreateStream: create}}
}

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// ackedAtOnce is how many removals one command acknowledges.
const ackedAtOnce = 1000

// removeDeleted moves the copies that a command has deleted, named by their UUIDs, to the trash, and says so (S14, C9).
func (h *Host) removeDeleted(ctx context.Context, state *metadata.State) error {
	var deleted []uuid.UUID
	for d := range state.Deleted(h.config.Folder.Broker) {
		deleted = append(deleted, d.Partition)
	}
	if len(deleted) == 0 {
		return nil
	}
	var errs []error
	for _, id := range deleted { // no capture and no reader goes on while the folders are moved
		if r := h.replicas[id]; r != nil {
			errs = append(errs, h.close(ctx, r))
		}
		h.config.Marks.Forget(logOf(id))
	}
	if err := errors.Join(append(errs, h.config.Marks.Flush())...); err != nil {
		return fmt.Errorf("closing deleted partitions: %w", err)
	}
	removed := make([][]byte, 0, len(deleted))
	for _, id := range deleted {
		if err := h.discard(id); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(h.replicas, id)
		h.put(id, running{})
		removed = append(removed, id[:])
	}
	for len(removed) > 0 {
		n := min(ackedAtOnce, len(removed))
		_, err := h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_AckDeleted{
			AckDeleted: &clusterv1.AckDeleted{Broker: h.config.Folder.Broker, Partitions: removed[:n], StateIndex: state.Index()},
		}})
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("acknowledging that partitions were removed: %w", err))...)
		}
		removed = removed[n:]
	}
	return errors.Join(errs...)
}

// discard moves the folder of a partition to the trash, or removes it on a disk without room for that. One that is not there
// was never made, or was moved before.
func (h *Host) discard(id uuid.UUID) error {
	f := h.config.Folder
	dir := f.partitionDir(id)
	if _, err := f.fs.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := commitlog.Trash(f.fs, dir, f.trashDir(), h.config.Now())
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if err := f.fs.RemoveAll(dir); err != nil {
			return fmt.Errorf("removing a deleted partition on a full disk: %w", err)
		}
		h.config.Logger.Info("a deleted partition was removed for good: the disk has no room for the trash", "partition", id)
		return nil
	}
	if err != nil {
		return err
	}
	h.config.Logger.Info("a deleted partition is in the trash for an hour", "partition", id, "folder", f.trashDir())
	return nil
}

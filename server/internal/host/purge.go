package host

import (
	"fmt"
	"slices"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Purge takes the records below a place away in partitions of a stream, for good; no numbers: in all of them. Nothing is
// taken away unless this broker leads them all. An offset needs the number of its partition, if there are several.
func (h *Host) Purge(name string, numbers []int32, to partition.Place) ([]*trestlev1.PurgedPartition, error) {
	stream, err := h.Get(name)
	switch {
	case err != nil:
		return nil, err
	case stream.Internal:
		return nil, &InternalError{Stream: name}
	case len(numbers) == 0:
		for _, id := range stream.Partitions {
			p, _ := h.config.Metadata.State().Partition(id)
			numbers = append(numbers, p.Number)
		}
	}
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	if to.Kind == partition.AtOffset && len(numbers) > 1 {
		return nil, &InvalidError{"partitions", fmt.Sprintf("name %d, and offset %d is that of one; each counts its own", len(numbers), to.Offset)}
	}
	found := make([]*partition.Partition, len(numbers))
	for i, number := range numbers {
		if found[i], err = h.PartitionOf(name, number); err != nil {
			return nil, err
		}
	}
	purged := make([]*trestlev1.PurgedPartition, 0, len(numbers))
	for i, p := range found {
		before, now, err := p.Purge(to)
		if err != nil {
			return purged, fmt.Errorf("partition %d of stream %q: %w", numbers[i], name, err)
		}
		h.config.Logger.Info("records were purged", "stream", name, "partition", numbers[i], "log_start", now, "before", before)
		purged = append(purged, &trestlev1.PurgedPartition{Partition: numbers[i], LogStart: now, PreviousLogStart: before})
	}
	return purged, nil
}

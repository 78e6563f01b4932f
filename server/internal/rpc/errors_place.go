package rpc

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// PlaceError says in which partition the offsets are that an error speaks of: partitions do not know their names.
type PlaceError struct {
	Stream    string
	Partition int32
	Err       error
}

func (e *PlaceError) Error() string {
	return fmt.Sprintf("partition %d of stream %q: %v", e.Partition, e.Stream, e.Err)
}

// Unwrap gives what the partition said.
func (e *PlaceError) Unwrap() error { return e.Err }

// placed is an error about offsets with its partition, and any other as it is.
func placed(to *destination, err error) error {
	switch {
	case errors.As(err, new(*partition.WrongOffsetError)), errors.As(err, new(*commitlog.RangeError)),
		errors.As(err, new(*partition.TruncatedError)), errors.As(err, new(*partition.DamagedError)), errors.Is(err, partition.ErrCompacted):
		return &PlaceError{Stream: to.stream, Partition: to.partition, Err: err}
	default:
		return err
	}
}

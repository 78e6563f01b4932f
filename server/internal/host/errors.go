package host

import (
	"errors"
	"fmt"
)

// ErrStreamNotFound means that there is no stream of that name.
var ErrStreamNotFound = errors.New("stream not found")

// StreamNotFoundError names the stream that there is not.
type StreamNotFoundError struct{ Stream string }

func (e *StreamNotFoundError) Error() string {
	return fmt.Sprintf("there is no stream %q; create it, or list those that there are", e.Stream)
}

// Is makes it an ErrStreamNotFound.
func (e *StreamNotFoundError) Is(target error) bool { return target == ErrStreamNotFound }

// PartitionNotFoundError names the partition that the stream has not.
type PartitionNotFoundError struct {
	Stream     string
	Partition  int32
	Partitions int
}

func (e *PartitionNotFoundError) Error() string {
	return fmt.Sprintf("stream %q has no partition %d; it has %d, numbered from 0", e.Stream, e.Partition, e.Partitions)
}

// NotLedError says that a partition has no leader here now.
type NotLedError struct {
	Stream    string
	Partition int32
	Leader    string // empty: nobody
	Cause     error  // why this broker does not lead it, if it should
}

func (e *NotLedError) Error() string {
	switch {
	case e.Cause != nil:
		return fmt.Sprintf("partition %d of stream %q does not run: %v; try again", e.Partition, e.Stream, e.Cause)
	case e.Leader != "":
		return fmt.Sprintf("partition %d of stream %q is led by broker %q; ask that one", e.Partition, e.Stream, e.Leader)
	default:
		return fmt.Sprintf("partition %d of stream %q has no leader; try again, or look at `trestle stream info`", e.Partition, e.Stream)
	}
}

func (e *NotLedError) Unwrap() error { return e.Cause }

// ModeError says that a partition takes no records in the mode that it is in.
type ModeError struct {
	Stream    string
	Partition int32
	ReadOnly  bool // otherwise paused
}

func (e *ModeError) Error() string {
	if e.ReadOnly {
		return fmt.Sprintf("partition %d of stream %q is read-only; lift that with `trestle stream readonly %s --off`", e.Partition, e.Stream, e.Stream)
	}
	return fmt.Sprintf("partition %d of stream %q is paused; resume it with `trestle stream resume %s`", e.Partition, e.Stream, e.Stream)
}

// NotReadyError says that a change was made and has not taken effect everywhere in time.
type NotReadyError struct {
	Stream string
	Cause  error
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("stream %q is as it was asked for, but not all of it runs yet: %v; look at it with `trestle stream info %s`", e.Stream, e.Cause, e.Stream)
}

func (e *NotReadyError) Unwrap() error { return e.Cause }

// InvalidError says which field of a request cannot be as it is, and what would be right.
type InvalidError struct {
	Field   string
	Problem string
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Problem }

// UnimplementedError names what this version cannot do yet.
type UnimplementedError struct{ Feature string }

func (e *UnimplementedError) Error() string {
	return e.Feature + " is not built yet in this version; leave it out"
}

// InternalError says that a stream is the brokers' own.
type InternalError struct{ Stream string }

func (e *InternalError) Error() string {
	return fmt.Sprintf("stream %q is the brokers' own: it can be read and not changed; choose another", e.Stream)
}

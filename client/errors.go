package client

import (
	"errors"
	"fmt"
)

// Kinds of error, for errors.Is.
var (
	ErrStreamExists      = errors.New("stream exists")
	ErrStreamNotFound    = errors.New("stream not found")
	ErrPartitionNotFound = errors.New("partition not found")
	ErrCursorNotFound    = errors.New("cursor not found")
	// ErrStaleRevision means that what was to be changed has changed since it was read.
	ErrStaleRevision = errors.New("stale revision")
	// ErrStalePartitions means that the partition was chosen by a key when the stream had another number of them.
	ErrStalePartitions = errors.New("stale number of partitions")
	// ErrInternalStream means that the stream is the brokers' own: it can be read and not changed.
	ErrInternalStream = errors.New("internal stream")
	ErrPaused         = errors.New("paused")
	ErrReadOnly       = errors.New("read-only")
	// ErrWrongOffset means that the log does not go on at the offset that ExpectNext named.
	ErrWrongOffset = errors.New("wrong offset")
	// ErrOffsetGone means that the log begins after the offset asked for, or that compaction took the message away.
	ErrOffsetGone = errors.New("offset is gone")
	// ErrOffsetBeyondEnd means that the log ends before the offset asked for.
	ErrOffsetBeyondEnd = errors.New("offset is beyond the end")
	// ErrTruncated means that messages read before are no longer part of the log.
	ErrTruncated = errors.New("log was truncated")
	ErrTooLarge  = errors.New("too large")
	// ErrLimitExceeded means that there is as much of it as a cluster may have.
	ErrLimitExceeded     = errors.New("limit exceeded")
	ErrNotEnoughReplicas = errors.New("not enough replicas")
	ErrTooFewBrokers     = errors.New("too few brokers")
	// ErrTooManyInFlight means that the server, or a Producer, has more unfinished work than it takes on.
	ErrTooManyInFlight = errors.New("too many in flight")
	ErrDiskFull        = errors.New("disk is full")
	// ErrCorruptData means that bytes, stored or received, are not those that were written.
	ErrCorruptData     = errors.New("corrupt data")
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrUnimplemented means that the server, or this client, is too old for what was asked.
	ErrUnimplemented = errors.New("not implemented")
	// ErrConflict means that the state of the cluster does not allow it: the message says what would.
	ErrConflict = errors.New("conflict with the state of the cluster")
	// ErrFenced means that a later epoch of the same producer has ended this one.
	ErrFenced = errors.New("producer is fenced")
	// ErrSequenceGap means that batches that a producer numbered lower were never stored. A Producer mends that itself.
	ErrSequenceGap = errors.New("gap in the sequence of a producer")
	// ErrUnavailable means that no server could be reached, or that it cannot serve now: it is shutting down, say.
	ErrUnavailable = errors.New("unavailable")
	// ErrNoLeader means that nobody leads the partition now. It is ErrUnavailable, too.
	ErrNoLeader = fmt.Errorf("%w: no leader", ErrUnavailable)
	// ErrNotReady means that a stream was changed as asked, and not all of it runs yet. It is ErrUnavailable, too.
	ErrNotReady = fmt.Errorf("%w: not ready yet", ErrUnavailable)
	// ErrInternal means a fault of the server, or one that this client has no name for.
	ErrInternal = errors.New("internal error")
	// ErrClosed means that the client or the producer was closed, or the subscription stopped.
	ErrClosed = errors.New("closed")
	// ErrOutcomeUnknown means that a message may or may not be stored. It is the only error of publishing that is not
	// a "no".
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

// Error is what a server answered, or what the client found out by itself. Its kind is one of the Err… variables, for
// errors.Is(err, ErrStreamNotFound), or an error of package context.
type Error struct {
	// Reason is a stable word, such as STREAM_NOT_FOUND.
	Reason string
	// Message says what failed, why, and what to do about it.
	Message string
	// Names of what is concerned, by what they are: stream, partition, offset …
	Names map[string]string

	kind  error
	cause error // what brought it about, when that is more than Message says
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// newError is an error that the client found out by itself; the reason is one of the table.
func newError(reason string, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...), kind: kindOfReason[reason]}
}

func (e *Error) because(cause error) *Error {
	e.cause = cause
	return e
}

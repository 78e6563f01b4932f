package client

import (
	"context"
	"errors"
	"fmt"
)

// Kinds of error, for errors.Is.
var (
	ErrStreamExists      = errors.New("stream exists")
	ErrStreamNotFound    = errors.New("stream not found")
	ErrPartitionNotFound = errors.New("partition not found")
	ErrPaused            = errors.New("paused")
	ErrReadOnly          = errors.New("read-only")
	// ErrWrongOffset means that the log does not go on at the offset that ExpectNext named.
	ErrWrongOffset = errors.New("wrong offset")
	// ErrOffsetGone means that the log begins after the offset asked for.
	ErrOffsetGone = errors.New("offset is gone")
	// ErrOffsetBeyondEnd means that the log ends before the offset asked for.
	ErrOffsetBeyondEnd = errors.New("offset is beyond the end")
	// ErrTruncated means that messages read before are no longer part of the log.
	ErrTruncated         = errors.New("log was truncated")
	ErrTooLarge          = errors.New("too large")
	ErrNotEnoughReplicas = errors.New("not enough replicas")
	// ErrTooManyInFlight means that the server has more unfinished work than it takes on.
	ErrTooManyInFlight = errors.New("too many in flight")
	ErrDiskFull        = errors.New("disk is full")
	// ErrCorruptData means that bytes, stored or received, are not those that were written.
	ErrCorruptData     = errors.New("corrupt data")
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrUnimplemented means that the server, or this client, is too old for what was asked.
	ErrUnimplemented = errors.New("not implemented")
	// ErrUnavailable means that no server could be reached, or that it cannot serve now: it is shutting down, say.
	ErrUnavailable = errors.New("unavailable")
	// ErrInternal means a fault of the server, or one that this client has no name for.
	ErrInternal = errors.New("internal error")
	// ErrClosed means that the client was closed or the subscription stopped.
	ErrClosed = errors.New("closed")
	// ErrOutcomeUnknown means that a message may or may not be stored. It is the only error of publishing that is not
	// a "no".
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

// Reasons that an Error can have without a server having given it.
const (
	reasonInvalidArgument = "INVALID_ARGUMENT"
	reasonUnimplemented   = "UNIMPLEMENTED"
	reasonCorruptData     = "CORRUPT_DATA"
	reasonInternal        = "INTERNAL"
	reasonUnavailable     = "UNAVAILABLE"
	reasonClosed          = "CLOSED"
	reasonOutcomeUnknown  = "OUTCOME_UNKNOWN"
	reasonTooLarge        = "TOO_LARGE"
)

// kindOfReason is the kind of every reason there is, whether the server gives it or the client.
var kindOfReason = map[string]error{
	"STREAM_EXISTS":       ErrStreamExists,
	"STREAM_NOT_FOUND":    ErrStreamNotFound,
	"PARTITION_NOT_FOUND": ErrPartitionNotFound,
	"PAUSED":              ErrPaused,
	"READ_ONLY":           ErrReadOnly,
	"WRONG_OFFSET":        ErrWrongOffset,
	"OFFSET_GONE":         ErrOffsetGone,
	"OFFSET_BEYOND_END":   ErrOffsetBeyondEnd,
	"TRUNCATED":           ErrTruncated,
	"NOT_ENOUGH_REPLICAS": ErrNotEnoughReplicas,
	"DISK_FULL":           ErrDiskFull,
	"TOO_MANY_IN_FLIGHT":  ErrTooManyInFlight,
	"SHUTTING_DOWN":       ErrUnavailable,
	"PARTITION_FAILED":    ErrUnavailable,
	"CANCELED":            context.Canceled,
	"DEADLINE_EXCEEDED":   context.DeadlineExceeded,
	reasonTooLarge:        ErrTooLarge,
	reasonInvalidArgument: ErrInvalidArgument,
	reasonUnimplemented:   ErrUnimplemented,
	reasonCorruptData:     ErrCorruptData,
	reasonInternal:        ErrInternal,
	reasonUnavailable:     ErrUnavailable,
	reasonClosed:          ErrClosed,
	reasonOutcomeUnknown:  ErrOutcomeUnknown,
}

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

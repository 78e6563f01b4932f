package client

import "context"

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
	reasonTooManyInFlight = "TOO_MANY_IN_FLIGHT"
	reasonOffsetGone      = "OFFSET_GONE"
	reasonOffsetBeyondEnd = "OFFSET_BEYOND_END"
	reasonStalePartitions = "STALE_PARTITIONS"
)

// kindOfReason is the kind of every reason there is, whether the server gives it or the client. A test compares it with
// the server's own table.
var kindOfReason = map[string]error{
	"STREAM_EXISTS":       ErrStreamExists,
	"STREAM_NOT_FOUND":    ErrStreamNotFound,
	"PARTITION_NOT_FOUND": ErrPartitionNotFound,
	"CURSOR_NOT_FOUND":    ErrCursorNotFound,
	"INTERNAL_STREAM":     ErrInternalStream,
	"STALE_REVISION":      ErrStaleRevision,
	reasonStalePartitions: ErrStalePartitions,
	"PAUSED":              ErrPaused,
	"READ_ONLY":           ErrReadOnly,
	"LIMIT_EXCEEDED":      ErrLimitExceeded,
	"TOO_FEW_BROKERS":     ErrTooFewBrokers,

	"WRONG_OFFSET":        ErrWrongOffset,
	reasonOffsetGone:      ErrOffsetGone,
	reasonOffsetBeyondEnd: ErrOffsetBeyondEnd,
	reasonTooLarge:        ErrTooLarge,
	"DISK_FULL":           ErrDiskFull,
	"FENCED":              ErrFenced,
	"SEQUENCE_GAP":        ErrSequenceGap,
	reasonTooManyInFlight: ErrTooManyInFlight,
	reasonCorruptData:     ErrCorruptData,
	reasonOutcomeUnknown:  ErrOutcomeUnknown,

	"NO_LEADER":          ErrNoLeader,
	"NOT_READY":          ErrNotReady,
	"NO_METADATA_LEADER": ErrUnavailable,
	"NOT_INITIALIZED":    ErrUnavailable,
	"SHUTTING_DOWN":      ErrUnavailable,
	"PARTITION_FAILED":   ErrUnavailable,
	reasonUnavailable:    ErrUnavailable,

	// About the cluster itself.
	"ALREADY_INITIALIZED": ErrConflict,
	"BROKER_ALIVE":        ErrConflict,
	"BROKER_IN_USE":       ErrConflict,
	"BROKER_NOT_FOUND":    ErrConflict,
	"BROKER_NOT_LIVE":     ErrConflict,
	"FEATURE_LEVEL":       ErrConflict,
	"GROUP_EXISTS":        ErrConflict,
	"GROUP_NOT_FOUND":     ErrConflict,
	"HAS_LEADER":          ErrConflict,
	"LOSS_NOT_ACCEPTED":   ErrConflict,
	"MIN_ISR":             ErrConflict,
	"NOT_A_REPLICA":       ErrConflict,
	"NOT_IN_SYNC":         ErrConflict,
	"NOT_LEADER":          ErrConflict,
	"NO_CANDIDATE":        ErrConflict,
	"NO_REASSIGNMENT":     ErrConflict,
	"STALE_BROKER_EPOCH":  ErrConflict,
	"STALE_PARTITION":     ErrConflict,
	"STALE_STATE":         ErrConflict,
	"STORAGE_IN_USE":      ErrConflict,
	"UUID_IN_USE":         ErrConflict,

	"CANCELED":            context.Canceled,
	"DEADLINE_EXCEEDED":   context.DeadlineExceeded,
	reasonInvalidArgument: ErrInvalidArgument,
	reasonUnimplemented:   ErrUnimplemented,
	"MALFORMED_COMMAND":   ErrInternal,
	"ALREADY_APPLIED":     ErrInternal,
	reasonInternal:        ErrInternal,
	reasonClosed:          ErrClosed,

	"TRUNCATED": ErrTruncated,

	// Of servers of other versions.
	"NOT_ENOUGH_REPLICAS": ErrNotEnoughReplicas,
}

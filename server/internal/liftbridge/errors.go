package liftbridge

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/names"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// refusal is an error in the words of Liftbridge.
type refusal struct {
	code  codes.Code
	async liftbridgepb.PublishAsyncError_Code // the same on PublishAsync
	text  string
}

func (r *refusal) Error() string { return r.text }

// GRPCStatus makes gRPC say it.
func (r *refusal) GRPCStatus() *status.Status { return status.New(r.code, r.text) }

// Codes of refusals, as gRPC and PublishAsync have them.
const (
	asyncUnknown    = liftbridgepb.PublishAsyncError_UNKNOWN
	asyncBadRequest = liftbridgepb.PublishAsyncError_BAD_REQUEST
	asyncNotFound   = liftbridgepb.PublishAsyncError_NOT_FOUND
	asyncInternal   = liftbridgepb.PublishAsyncError_INTERNAL
	asyncReadonly   = liftbridgepb.PublishAsyncError_READONLY
)

func invalid(format string, args ...any) *refusal {
	return &refusal{codes.InvalidArgument, asyncBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *refusal {
	return &refusal{codes.NotFound, asyncNotFound, fmt.Sprintf(format, args...)}
}

func precondition(format string, args ...any) *refusal {
	return &refusal{codes.FailedPrecondition, asyncInternal, fmt.Sprintf(format, args...)}
}

func unavailable(format string, args ...any) *refusal {
	return &refusal{codes.Unavailable, asyncInternal, fmt.Sprintf(format, args...)}
}

// toRefusal is the one place where errors of the rooms below become those of Liftbridge.
func toRefusal(err error) *refusal {
	var told *refusal
	if errors.As(err, &told) {
		return told
	}
	for _, look := range []func(error) *refusal{ofStreams, ofRequests, ofStored} {
		if r := look(err); r != nil {
			return r
		}
	}
	for _, row := range []struct {
		is error
		r  refusal
	}{
		{context.DeadlineExceeded, refusal{codes.DeadlineExceeded, asyncUnknown, "the time is over; the outcome is unknown"}},
		{context.Canceled, refusal{codes.Canceled, asyncUnknown, "the call was given up"}},
		{partition.ErrOutcomeUnknown, refusal{codes.Unknown, asyncUnknown, err.Error()}},
		{host.ErrOutcomeUnknown, refusal{codes.Unknown, asyncUnknown, err.Error()}},
		// Clients compare this text.
		{host.ErrNoMetadataLeader, refusal{codes.Internal, asyncInternal, "no known metadata leader"}},
		{host.ErrMetadataStopped, refusal{codes.Unavailable, asyncInternal, errStopping.Error()}},
		{errStopping, refusal{codes.Unavailable, asyncInternal, errStopping.Error()}},
		{partition.ErrClosed, refusal{codes.Unavailable, asyncInternal, "the partition is closed; try again"}},
		{commitlog.ErrClosed, refusal{codes.Unavailable, asyncInternal, "the partition is closed; try again"}},
		{commitlog.ErrFault, refusal{codes.Unavailable, asyncInternal, "the log of the partition has failed and the broker ends; its own log says why"}},
	} {
		if errors.Is(err, row.is) {
			return &row.r
		}
	}
	return &refusal{codes.Internal, asyncInternal, err.Error()}
}

// ofStreams finds the words for errors about streams and their partitions.
func ofStreams(err error) *refusal {
	var (
		noStream    *host.StreamNotFoundError
		noPartition *host.PartitionNotFoundError
		notLed      *host.NotLedError
		mode        *host.ModeError
		notReady    *host.NotReadyError
		internal    *host.InternalError
		refused     *metadata.Refusal
	)
	switch {
	case errors.As(err, &noStream):
		return notFound("no such stream: %s", noStream.Stream)
	case errors.As(err, &noPartition):
		return notFound("no such partition: %d", noPartition.Partition)
	case errors.As(err, &notReady):
		return unavailable("%v", err)
	case errors.As(err, &notLed) && notLed.Leader != "":
		return precondition("Server not partition leader: %v", err)
	case errors.As(err, &notLed):
		return unavailable("%v", err)
	case errors.As(err, &mode) && mode.ReadOnly:
		return readonly(mode.Partition)
	case errors.As(err, &mode):
		return precondition("%v", err)
	case errors.As(err, &internal):
		return &refusal{codes.PermissionDenied, liftbridgepb.PublishAsyncError_PERMISSION_DENIED, err.Error()}
	case errors.As(err, &refused):
		return ofMetadata(refused)
	}
	return nil
}

func readonly(number int32) *refusal {
	return &refusal{codes.FailedPrecondition, asyncReadonly, fmt.Sprintf("readonly partition: %d", number)}
}

// ofMetadata finds the words for a command that was refused.
func ofMetadata(refused *metadata.Refusal) *refusal {
	switch refused.Reason {
	case metadata.ReasonStreamExists:
		return &refusal{codes.AlreadyExists, asyncBadRequest, refused.Error()}
	case metadata.ReasonStreamNotFound:
		return notFound("stream not found")
	case metadata.ReasonPartitionNotFound:
		return notFound("partition does not exist")
	case metadata.ReasonInvalid, metadata.ReasonUnimplemented:
		return invalid("%v", refused)
	case metadata.ReasonInternalStream:
		return invalid("Stream is reserved")
	case metadata.ReasonStaleRevision, metadata.ReasonStalePartition, metadata.ReasonStaleBroker, metadata.ReasonStaleState,
		metadata.ReasonNotInitialized, metadata.ReasonNoLeader:
		return unavailable("%v", refused)
	case metadata.ReasonLimit:
		return &refusal{codes.ResourceExhausted, asyncInternal, refused.Error()}
	default:
		return precondition("%v", refused)
	}
}

// ofRequests finds the words for what cannot be asked.
func ofRequests(err error) *refusal {
	if errors.As(err, new(*host.InvalidError)) || errors.As(err, new(*names.Error)) || errors.As(err, new(*metadata.ConfigError)) {
		return invalid("%v", err)
	}
	if errors.As(err, new(*host.UnimplementedError)) {
		return &refusal{codes.Unimplemented, asyncBadRequest, err.Error()}
	}
	return nil
}

// ofStored finds the words for errors about what is stored, or was to be.
func ofStored(err error) *refusal {
	switch {
	case errors.As(err, new(*partition.WrongOffsetError)):
		return &refusal{codes.Unknown, liftbridgepb.PublishAsyncError_INCORRECT_OFFSET, "incorrect expected offset"}
	case errors.As(err, new(*partition.TooLargeError)):
		return invalid("message exceeds max replication size: %v", err)
	case errors.Is(err, partition.ErrReadOnly), errors.Is(err, commitlog.ErrReadOnly):
		return &refusal{codes.FailedPrecondition, asyncReadonly, "readonly partition"}
	case errors.Is(err, partition.ErrPaused):
		return precondition("%v", err)
	case errors.As(err, new(*partition.DamagedError)), errors.As(err, new(*commitlog.CorruptError)):
		return &refusal{codes.DataLoss, asyncInternal, "stored bytes are damaged; the broker's own log says where"}
	// ResourceExhausted is how clients are told that a message is too large, or a partition at its end.
	case errors.As(err, new(*partition.DiskGuardError)), errors.Is(err, commitlog.ErrFull), errors.Is(err, partition.ErrTooManyInFlight):
		return unavailable("not stored: %v", err)
	case errors.As(err, new(*cursor.LimitError)):
		return precondition("%v", err)
	}
	return nil
}

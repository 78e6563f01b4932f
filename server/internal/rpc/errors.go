package rpc

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// errorDomain of the ErrorInfo that every error carries.
const errorDomain = "trestle"

// TooLargeError says that what was sent is larger than what can be stored.
type TooLargeError struct {
	What                  string
	SizeBytes, LimitBytes int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has %d bytes and the limit is %d; send it in smaller parts", e.What, e.SizeBytes, e.LimitBytes)
}

// StalePartitionsError says that a partition was chosen when the stream had another number of them.
type StalePartitionsError struct {
	Stream   string
	Had, Has int
}

func (e *StalePartitionsError) Error() string {
	return fmt.Sprintf("the partition was chosen among %d of stream %q, which has %d now; choose it anew", e.Had, e.Stream, e.Has)
}

// LimitError says that there is as much of something as the broker takes on at one time.
type LimitError struct {
	What  string
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the broker has %d %s, as many as it takes on; end some, or ask another broker", e.Limit, e.What)
}

// mapping says how an error of a room below is told to clients.
type mapping struct {
	code   codes.Code
	reason string // stable: clients match it
	names  map[string]string
	text   string // instead of the error's own, which names files of the broker; empty: the error's
}

// toStatus is the one place where errors become statuses.
func toStatus(err error) error {
	m := classify(err)
	text := err.Error()
	if m.text != "" {
		text = m.text
	}
	st, detailErr := status.New(m.code, text).WithDetails(&errdetails.ErrorInfo{
		Reason: m.reason, Domain: errorDomain, Metadata: m.names,
	})
	if detailErr != nil {
		return status.Error(m.code, text)
	}
	return st.Err()
}

// classify finds the mapping of an error, with the partition that it is about, if it says so.
func classify(err error) mapping {
	m := classifyBare(err)
	if where := (*PlaceError)(nil); errors.As(err, &where) {
		if m.names == nil {
			m.names = map[string]string{}
		}
		m.names["stream"], m.names["partition"] = where.Stream, number(where.Partition)
	}
	return m
}

// classifyBare finds the mapping of an error, by its type where it has details and else by what it is.
func classifyBare(err error) mapping {
	if m, ok := classifyTyped(err); ok {
		return m
	}
	for _, row := range []struct {
		is     error
		code   codes.Code
		reason string
		text   string
	}{
		{partition.ErrOutcomeUnknown, codes.Unknown, "OUTCOME_UNKNOWN", ""},
		{host.ErrOutcomeUnknown, codes.Unknown, "OUTCOME_UNKNOWN", ""},
		{host.ErrNoMetadataLeader, codes.Unavailable, "NO_METADATA_LEADER", ""},
		{host.ErrMetadataStopped, codes.Unavailable, "SHUTTING_DOWN", "the broker is stopping"},
		{metadata.ErrLaterVersion, codes.Unimplemented, "UNIMPLEMENTED", ""},
		{metadata.ErrSnapshotLater, codes.Unimplemented, "UNIMPLEMENTED", ""},
		{metadata.ErrSnapshotCorrupt, codes.DataLoss, "CORRUPT_DATA", ""},
		{host.ErrStreamNotFound, codes.NotFound, "STREAM_NOT_FOUND", ""},
		{partition.ErrSequenceGap, codes.FailedPrecondition, "SEQUENCE_GAP", ""},
		{partition.ErrFenced, codes.FailedPrecondition, "FENCED", ""},
		{errStopping, codes.Unavailable, "SHUTTING_DOWN", ""},
		{partition.ErrClosed, codes.Unavailable, "SHUTTING_DOWN", "the broker is stopping"},
		{commitlog.ErrClosed, codes.Unavailable, "SHUTTING_DOWN", "the broker is stopping"},
		{partition.ErrPaused, codes.FailedPrecondition, "PAUSED", ""},
		{partition.ErrReadOnly, codes.FailedPrecondition, "READ_ONLY", ""},
		{partition.ErrTooManyInFlight, codes.ResourceExhausted, "TOO_MANY_IN_FLIGHT", ""},
		{partition.ErrCompacted, codes.OutOfRange, "OFFSET_GONE", ""},
		{commitlog.ErrFull, codes.ResourceExhausted, "DISK_FULL", "the disk of the broker is full; " + partition.MakeRoom},
		{commitlog.ErrReadOnly, codes.FailedPrecondition, "READ_ONLY", ""},
		{commitlog.ErrNewer, codes.Unimplemented, "UNIMPLEMENTED", "the partition was written by a later version of the broker; run that version"},
		{commitlog.ErrNoCodec, codes.Unimplemented, "UNIMPLEMENTED", ""},
		{commitlog.ErrNoKey, codes.Unavailable, "PARTITION_FAILED", ""},
		{commitlog.ErrWrongKey, codes.Unavailable, "PARTITION_FAILED", ""},
		{commitlog.ErrFault, codes.Unavailable, "PARTITION_FAILED", "the log of the partition has failed and the broker ends; its own log says why"},
		{context.Canceled, codes.Canceled, "CANCELED", ""},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", ""},
	} {
		if errors.Is(err, row.is) {
			return mapping{code: row.code, reason: row.reason, text: row.text}
		}
	}
	return mapping{code: codes.Internal, reason: "INTERNAL"}
}

func classifyTyped(err error) (mapping, bool) {
	if m, ok := classifyStream(err); ok {
		return m, true
	}
	if m, ok := classifyStored(err); ok {
		return m, true
	}
	var (
		invalid       *host.InvalidError
		unimplemented *host.UnimplementedError
		name          *names.Error
		config        *metadata.ConfigError
		request       *RequestError
	)
	switch {
	case errors.As(err, &invalid):
		return invalidField(invalid.Field), true
	case errors.As(err, &request):
		return invalidField("request"), true
	case errors.As(err, &config):
		return invalidField(config.Field), true
	case errors.As(err, &name):
		m := invalidField(name.Kind)
		m.names["name"] = fmt.Sprintf("%q", name.Name)
		return m, true
	case errors.As(err, &unimplemented):
		return mapping{code: codes.Unimplemented, reason: "UNIMPLEMENTED", names: map[string]string{"feature": unimplemented.Feature}}, true
	}
	return mapping{}, false
}

func invalidField(field string) mapping {
	return mapping{code: codes.InvalidArgument, reason: "INVALID_ARGUMENT", names: map[string]string{"field": field}}
}

// classifyStream finds the mapping of errors about streams and their partitions.
func classifyStream(err error) (mapping, bool) {
	var (
		notFound    *host.StreamNotFoundError
		noPartition *host.PartitionNotFoundError
		notLed      *host.NotLedError
		mode        *host.ModeError
		notReady    *host.NotReadyError
		internal    *host.InternalError
		stale       *StalePartitionsError
		refusal     *metadata.Refusal
	)
	switch {
	case errors.As(err, &notFound):
		return mapping{code: codes.NotFound, reason: "STREAM_NOT_FOUND", names: map[string]string{"stream": notFound.Stream}}, true
	case errors.As(err, &noPartition):
		return mapping{code: codes.NotFound, reason: "PARTITION_NOT_FOUND", names: map[string]string{
			"stream": noPartition.Stream, "partition": number(noPartition.Partition),
		}}, true
	case errors.As(err, &notReady): // whatever the cause
		return mapping{code: codes.Unavailable, reason: "NOT_READY", names: map[string]string{"stream": notReady.Stream}}, true
	case errors.As(err, &notLed):
		return mapping{code: codes.Unavailable, reason: "NO_LEADER", names: map[string]string{
			"stream": notLed.Stream, "partition": number(notLed.Partition), "leader": notLed.Leader,
		}}, true
	case errors.As(err, &mode):
		return mapping{code: codes.FailedPrecondition, reason: modeReason(mode), names: map[string]string{
			"stream": mode.Stream, "partition": number(mode.Partition),
		}}, true
	case errors.As(err, &stale):
		return mapping{code: codes.Aborted, reason: "STALE_PARTITIONS", names: map[string]string{
			"stream": stale.Stream, "partitions": number(stale.Has),
		}}, true
	case errors.As(err, &internal):
		return mapping{code: codes.PermissionDenied, reason: string(metadata.ReasonInternalStream), names: map[string]string{"stream": internal.Stream}}, true
	case errors.As(err, &refusal):
		return mapping{code: codeOfRefusal(refusal.Reason), reason: string(refusal.Reason), names: refusal.Names}, true
	}
	return mapping{}, false
}

func modeReason(e *host.ModeError) string {
	if e.ReadOnly {
		return "READ_ONLY"
	}
	return "PAUSED"
}

func number[N int | int32 | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

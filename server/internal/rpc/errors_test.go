package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Every error of the rooms below has a code and a stable reason, also when it is wrapped; what is not in the table is an
// internal error and never something else.
func TestToStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err    error
		code   codes.Code
		reason string
		names  map[string]string
	}{
		{&host.StreamNotFoundError{Stream: "s"}, codes.NotFound, "STREAM_NOT_FOUND", map[string]string{"stream": "s"}},
		{&host.PartitionNotFoundError{Stream: "s", Partition: 3, Partitions: 1}, codes.NotFound, "PARTITION_NOT_FOUND", map[string]string{"stream": "s", "partition": "3"}},
		{
			&metadata.Refusal{Reason: metadata.ReasonStreamExists, Names: map[string]string{"stream": "s", "sync": "have a, want b"}},
			codes.AlreadyExists, "STREAM_EXISTS",
			map[string]string{"stream": "s", "sync": "have a, want b"},
		},
		{&metadata.Refusal{Reason: metadata.ReasonInvalid}, codes.InvalidArgument, "INVALID_ARGUMENT", nil},
		{&metadata.Refusal{Reason: metadata.ReasonStreamNotFound}, codes.NotFound, "STREAM_NOT_FOUND", nil},
		{&metadata.Refusal{Reason: metadata.ReasonPartitionNotFound}, codes.NotFound, "PARTITION_NOT_FOUND", nil},
		{&metadata.Refusal{Reason: metadata.ReasonInternalStream}, codes.PermissionDenied, "INTERNAL_STREAM", nil},
		{&metadata.Refusal{Reason: metadata.ReasonStaleRevision}, codes.Aborted, "STALE_REVISION", nil},
		{&metadata.Refusal{Reason: metadata.ReasonLimit}, codes.ResourceExhausted, "LIMIT_EXCEEDED", nil},
		{&metadata.Refusal{Reason: metadata.ReasonTooFewBrokers}, codes.FailedPrecondition, "TOO_FEW_BROKERS", nil},
		{&metadata.ConfigError{Field: "f"}, codes.InvalidArgument, "INVALID_ARGUMENT", map[string]string{"field": "f"}},
		{metadata.ErrLaterVersion, codes.Unimplemented, "UNIMPLEMENTED", nil},
		{
			&host.NotLedError{Stream: "s", Partition: 2, Leader: "b", Cause: commitlog.ErrFull}, codes.Unavailable, "NO_LEADER",
			map[string]string{"stream": "s", "partition": "2", "leader": "b"},
		},
		{&host.NotReadyError{Stream: "s", Cause: &host.NotLedError{}}, codes.Unavailable, "NOT_READY", map[string]string{"stream": "s"}},
		{&host.ModeError{Stream: "s", Partition: 1}, codes.FailedPrecondition, "PAUSED", map[string]string{"stream": "s", "partition": "1"}},
		{&host.ModeError{Stream: "s", ReadOnly: true}, codes.FailedPrecondition, "READ_ONLY", nil},
		{&host.InternalError{Stream: "__s"}, codes.PermissionDenied, "INTERNAL_STREAM", map[string]string{"stream": "__s"}},
		{fmt.Errorf("%w: %w", host.ErrOutcomeUnknown, context.Canceled), codes.Unknown, "OUTCOME_UNKNOWN", nil},
		{host.ErrNoMetadataLeader, codes.Unavailable, "NO_METADATA_LEADER", nil},
		{host.ErrMetadataStopped, codes.Unavailable, "SHUTTING_DOWN", nil},
		{&host.InvalidError{Field: "f", Problem: "is odd"}, codes.InvalidArgument, "INVALID_ARGUMENT", map[string]string{"field": "f"}},
		{names.Stream("a b"), codes.InvalidArgument, "INVALID_ARGUMENT", map[string]string{"field": "stream name", "name": `"a b"`}},
		{&host.UnimplementedError{Feature: "x"}, codes.Unimplemented, "UNIMPLEMENTED", map[string]string{"feature": "x"}},
		{&partition.WrongOffsetError{Expected: 1, Next: 2}, codes.FailedPrecondition, "WRONG_OFFSET", map[string]string{"expected": "1", "next_offset": "2"}},
		{&commitlog.RangeError{Offset: 1, LogStart: 2, NextOffset: 3}, codes.OutOfRange, "OFFSET_GONE", map[string]string{"offset": "1", "log_start": "2", "next_offset": "3"}},
		{&commitlog.RangeError{Offset: 9, LogStart: 2, NextOffset: 3}, codes.OutOfRange, "OFFSET_BEYOND_END", nil},
		{&commitlog.TooLargeError{Offset: 7, SizeBytes: 9}, codes.ResourceExhausted, "TOO_LARGE", map[string]string{"offset": "7", "bytes": "9"}},
		{&TooLargeError{What: "a message", SizeBytes: 9, LimitBytes: 8}, codes.InvalidArgument, "TOO_LARGE", map[string]string{"bytes": "9", "limit": "8"}},
		{&StalePartitionsError{Stream: "s", Had: 2, Has: 3}, codes.Aborted, "STALE_PARTITIONS", map[string]string{"stream": "s", "partitions": "3"}},
		{&partition.DamagedError{Offset: 3, NextGood: 9}, codes.DataLoss, "CORRUPT_DATA", map[string]string{"offset": "3", "next_good_offset": "9"}},
		{fmt.Errorf("%w: %w", partition.ErrOutcomeUnknown, context.Canceled), codes.Unknown, "OUTCOME_UNKNOWN", nil},
		{partition.ErrPaused, codes.FailedPrecondition, "PAUSED", nil},
		{partition.ErrReadOnly, codes.FailedPrecondition, "READ_ONLY", nil},
		{partition.ErrTooManyInFlight, codes.ResourceExhausted, "TOO_MANY_IN_FLIGHT", nil},
		{commitlog.ErrFull, codes.ResourceExhausted, "DISK_FULL", nil},
		{commitlog.ErrFault, codes.Unavailable, "PARTITION_FAILED", nil},
		{partition.ErrClosed, codes.Unavailable, "SHUTTING_DOWN", nil},
		{errStopping, codes.Unavailable, "SHUTTING_DOWN", nil},
		{errors.New("what is this"), codes.Internal, "INTERNAL", nil},
	} {
		for _, err := range []error{test.err, fmt.Errorf("wrapped: %w", test.err)} {
			st := status.Convert(toStatus(err))
			if st.Code() != test.code || len(st.Details()) != 1 {
				t.Errorf("%v: got %v with %d details, want %v", err, st.Code(), len(st.Details()), test.code)
				continue
			}
			info, ok := st.Details()[0].(*errdetails.ErrorInfo)
			if !ok || info.GetReason() != test.reason || info.GetDomain() != "trestle" {
				t.Errorf("%v: got %v, want reason %s", err, info, test.reason)
			}
			for name, want := range test.names {
				if got := info.GetMetadata()[name]; got != want {
					t.Errorf("%v: %s is %q, want %q", err, name, got, want)
				}
			}
		}
	}
}

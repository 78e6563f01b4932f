package rpc

import (
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// classifyStored finds the mapping of errors about what is stored, or was to be.
func classifyStored(err error) (mapping, bool) {
	var (
		wrongOffset   *partition.WrongOffsetError
		producer      *partition.ProducerError
		truncated     *partition.TruncatedError
		damaged       *partition.DamagedError
		corrupt       *commitlog.CorruptError
		guarded       *partition.DiskGuardError
		outOfRange    *commitlog.RangeError
		batchTooLarge *commitlog.TooLargeError
		tooLarge      *TooLargeError
		recordLarge   *partition.TooLargeError
	)
	switch {
	case errors.As(err, &wrongOffset):
		return mapping{code: codes.FailedPrecondition, reason: "WRONG_OFFSET", names: map[string]string{
			"expected": number(wrongOffset.Expected), "next_offset": number(wrongOffset.Next),
		}}, true
	case errors.As(err, &producer):
		return classifyProducer(producer), true
	case errors.As(err, &truncated):
		return mapping{code: codes.FailedPrecondition, reason: "TRUNCATED", names: map[string]string{
			"offset": number(truncated.Offset), "leader_epoch": strconv.FormatUint(truncated.LeaderEpoch, 10), "divergence": number(truncated.Divergence),
		}}, true
	case errors.As(err, &outOfRange):
		return mapping{code: codes.OutOfRange, reason: rangeReason(outOfRange), names: map[string]string{
			"offset": number(outOfRange.Offset), "log_start": number(outOfRange.LogStart), "next_offset": number(outOfRange.NextOffset),
		}}, true
	case errors.As(err, &batchTooLarge):
		return mapping{code: codes.ResourceExhausted, reason: "TOO_LARGE", names: map[string]string{
			"offset": number(batchTooLarge.Offset), "bytes": number(batchTooLarge.SizeBytes),
		}}, true
	case errors.As(err, &tooLarge):
		return mapping{code: codes.InvalidArgument, reason: "TOO_LARGE", names: map[string]string{
			"bytes": number(tooLarge.SizeBytes), "limit": number(tooLarge.LimitBytes),
		}}, true
	case errors.As(err, &recordLarge):
		return mapping{code: codes.InvalidArgument, reason: "TOO_LARGE", names: map[string]string{
			"bytes": number(recordLarge.SizeBytes), "limit": number(recordLarge.LimitBytes),
		}}, true
	case errors.As(err, &damaged):
		return mapping{code: codes.DataLoss, reason: "CORRUPT_DATA", names: map[string]string{
			"offset": number(damaged.Offset), "next_good_offset": number(damaged.NextGood),
		}}, true
	case errors.As(err, &corrupt):
		return mapping{code: codes.DataLoss, reason: "CORRUPT_DATA", text: "stored bytes are damaged; the broker's own log says where"}, true
	case errors.As(err, &guarded):
		return mapping{code: codes.ResourceExhausted, reason: "DISK_FULL", names: map[string]string{
			"total_bytes": number(guarded.TotalBytes), "free_bytes": number(guarded.FreeBytes),
		}}, true
	}
	return classifyKept(err)
}

// classifyKept finds the mapping of errors about what a broker keeps for its clients.
func classifyKept(err error) (mapping, bool) {
	var (
		limit    *LimitError
		noCursor *CursorNotFoundError
		tooMany  *cursor.LimitError
	)
	switch {
	case errors.As(err, &limit):
		return mapping{code: codes.ResourceExhausted, reason: "LIMIT_EXCEEDED", names: map[string]string{
			"what": limit.What, "limit": number(limit.Limit),
		}}, true
	case errors.As(err, &noCursor):
		return mapping{code: codes.NotFound, reason: "CURSOR_NOT_FOUND", names: map[string]string{
			"id": noCursor.ID, "stream": noCursor.Stream, "partition": number(noCursor.Partition),
		}}, true
	case errors.As(err, &tooMany):
		return mapping{code: codes.ResourceExhausted, reason: "LIMIT_EXCEEDED", names: map[string]string{
			"what": "cursors", "limit": number(tooMany.Limit),
		}}, true
	}
	return mapping{}, false
}

// classifyProducer finds the mapping of a refused batch with a number.
func classifyProducer(e *partition.ProducerError) mapping {
	m := mapping{code: codes.FailedPrecondition, names: map[string]string{
		"producer_id": strconv.FormatUint(e.ProducerID, 10), "producer_epoch": number(int64(e.Epoch)), "producer_sequence": number(int64(e.Sequence)),
	}}
	switch {
	case errors.Is(e, partition.ErrSequenceGap):
		m.reason, m.names["expected_sequence"] = "SEQUENCE_GAP", number(int64(e.Expected))
	case errors.Is(e, partition.ErrFenced):
		m.reason = "FENCED"
	default:
		m.code, m.reason = codes.Unknown, "OUTCOME_UNKNOWN"
	}
	return m
}

func rangeReason(e *commitlog.RangeError) string {
	if e.Offset < e.LogStart {
		return "OFFSET_GONE"
	}
	return "OFFSET_BEYOND_END"
}

// CursorNotFoundError names the cursor that there is not.
type CursorNotFoundError struct {
	ID, Stream string
	Partition  int32
}

func (e *CursorNotFoundError) Error() string {
	return fmt.Sprintf("there is no cursor %q for partition %d of stream %q; set it first", e.ID, e.Partition, e.Stream)
}

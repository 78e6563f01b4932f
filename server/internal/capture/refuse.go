package capture

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// reason is why a message is not stored. It is a number of an envelope's negative ack and an error of JetStream.
type reason uint8

const (
	reasonFailed reason = iota
	reasonWrongOffset
	reasonWrongStream
	reasonTooLarge
	reasonInvalid
	reasonNotBuilt
	reasonPaused
	reasonReadOnly
	reasonDiskFull
	reasonTooMuch
)

// refusal says why a message is not stored now, and never will be by this publish.
type refusal struct {
	reason reason
	text   string
	next   int64 // with reasonWrongOffset: the next offset
}

func refuse(why reason, format string, args ...any) *refusal {
	return &refusal{reason: why, text: fmt.Sprintf(format, args...)}
}

// refuseSize is the refusal of a record that is larger than the stream takes: a pure function of the message and the
// settings, which every replica applies alike (protocol.md 2.5). The size is that of key, value and headers.
func refuseSize(r *batch.Record, s *Settings) *refusal {
	size := int64(sizeOf(r))
	if s.MaxMessageBytes <= 0 || size <= s.MaxMessageBytes {
		return nil
	}
	return refuse(reasonTooLarge, "the message has %d bytes and stream %q takes at most %d; send less, or raise max_message_bytes", size, s.Stream, s.MaxMessageBytes)
}

func sizeOf(r *batch.Record) int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

// refusalOf translates what the partition says; nil: it does not know whether the message is stored, and nobody is
// answered.
func refusalOf(err error) *refusal {
	var wrong *partition.WrongOffsetError
	switch {
	case errors.Is(err, partition.ErrOutcomeUnknown):
		return nil
	case errors.As(err, &wrong):
		return &refusal{reason: reasonWrongOffset, text: err.Error(), next: wrong.Next}
	case errors.Is(err, partition.ErrPaused):
		return &refusal{reason: reasonPaused, text: err.Error()}
	case errors.Is(err, partition.ErrReadOnly):
		return &refusal{reason: reasonReadOnly, text: err.Error()}
	case errors.Is(err, commitlog.ErrFull):
		return &refusal{reason: reasonDiskFull, text: err.Error()}
	case errors.Is(err, partition.ErrTooManyInFlight):
		return &refusal{reason: reasonTooMuch, text: err.Error()}
	default:
		return &refusal{reason: reasonFailed, text: err.Error()}
	}
}

// ackError is the refusal as an envelope says it.
func (r *refusal) ackError() envelope.AckError {
	switch r.reason {
	case reasonWrongOffset:
		return envelope.IncorrectOffset
	case reasonTooLarge:
		return envelope.TooLarge
	case reasonPaused:
		return envelope.Paused
	case reasonReadOnly:
		return envelope.ReadOnly
	case reasonDiskFull:
		return envelope.DiskFull
	case reasonTooMuch:
		return envelope.Overloaded
	case reasonFailed, reasonWrongStream, reasonInvalid, reasonNotBuilt:
	}
	return envelope.Unavailable
}

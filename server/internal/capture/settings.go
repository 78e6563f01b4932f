package capture

import (
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Sink takes captured records of a partition. The record is the sink's for the time of the call only.
type Sink interface {
	// CaptureWith stores a record. With an error it is not stored, and nobody is called.
	CaptureWith(r *batch.Record, c partition.Captured) error
	// AppendGap says that messages are missing.
	AppendGap(gap batch.Gap) error
	// Full says whether there is no room on the disk, so that records become part of a gap.
	Full() bool
}

// Target is what a partition listens on, and how.
type Target struct {
	UUID      uuid.UUID // of the stream
	Partition int32
	Subjects  []string
	// Group is the queue group of the stream; "": none. Of several streams in one group each message reaches one.
	Group string
	// Shared says that the partitions of the stream listen on the same subjects, and By which of them a message is for. It is
	// the same for all of them.
	Shared bool
	By     Sharing
	// Settings may change while the capture runs.
	Settings *Live
	// Secret authenticates what brokers of this cluster fanned out.
	Secret fanout.Secret
	// Known are those of this broker; nil: none.
	Known *fanout.Known
	// Since is from when on nothing was captured that should have been, until now: a gap says so; unix nanoseconds; 0: nothing
	// is missing.
	Since int64
}

// Settings of a stream that capture heeds.
type Settings struct {
	Stream     string
	Partitions int32
	// MaxMessageBytes is the size of the largest message that is stored: key, value and headers; 0: any.
	MaxMessageBytes int64
	// ExpectedOffsets says that envelopes may name the offset that their message must get.
	ExpectedOffsets bool
	// PubAck says that messages with a reply subject are answered as JetStream would.
	PubAck bool
}

// Live are settings that change while they are read. The zero Live holds the zero Settings.
type Live struct{ now atomic.Pointer[Settings] }

// Set changes the settings for the messages that come next.
func (l *Live) Set(s Settings) { l.now.Store(&s) }

var noSettings Settings

// Now are the settings as of now; not to be changed.
func (l *Live) Now() *Settings {
	if s := l.now.Load(); s != nil {
		return s
	}
	return &noSettings
}

package client

import "time"

// StreamInfo is the configuration and the state of a stream.
type StreamInfo struct {
	Config StreamConfig
	// UUID names the stream for ever, also when its name is given again.
	UUID string
	// Revision rises with every change of the configuration.
	Revision   uint64
	Partitions []PartitionInfo
}

// PartitionInfo is the state of a partition. All ends are exclusive.
type PartitionInfo struct {
	ID          int
	Leader      string
	Replicas    []string
	ISR         []string // the replicas in sync
	LeaderEpoch uint64
	Mode        Mode

	LogStart      int64 // oldest offset that can be read
	NextOffset    int64 // that the next message gets
	HighWatermark int64 // end of what is committed
	DurableOffset int64 // end of what the leader has on disk for good
	Messages      int64 // committed, that can be read
	Bytes         int64

	Gaps    uint64
	LastGap *Gap // nil: none

	MessagesPerSecond float64
	BytesPerSecond    float64
	// Fault says what is wrong with the partition; empty: nothing.
	Fault string
}

// Mode says what a partition takes and gives.
type Mode string

// Values of Mode.
const (
	ModeActive   Mode = "active"
	ModePaused   Mode = "paused"
	ModeReadOnly Mode = "read_only"
)

// Gap is a place in a partition where messages are missing that were published but could not be recorded.
type Gap struct {
	// Offset of the message that follows the gap, which takes none itself. It is -1 in a PartitionInfo.
	Offset int64
	Cause  GapCause
	// From and To are when the first and the last message may have been missed.
	From, To time.Time
	// AtLeast so many messages are missing; 0: nobody knows how many.
	AtLeast uint64
}

// GapCause says why messages are missing. Newer servers may know more causes.
type GapCause string

// Values of GapCause.
const (
	GapRingOverflow     GapCause = "ring_overflow"
	GapNATSDropped      GapCause = "nats_dropped"
	GapNATSDisconnected GapCause = "nats_disconnected"
	GapNoReplica        GapCause = "no_replica"
	GapRestart          GapCause = "restart"
	GapPaused           GapCause = "paused"
	GapDiskFull         GapCause = "disk_full"
	GapTooLarge         GapCause = "too_large"
	GapHeardElsewhere   GapCause = "heard_elsewhere"
)

package metadata

import "time"

// What the state holds at most. Together they keep a snapshot under 16 MiB (protocol.md 3.5): what grows with records,
// consumers or cursors is no metadata.
const (
	// MaxBrokers of a cluster.
	MaxBrokers = 256
	// MaxStreams of a cluster, internal ones included.
	MaxStreams = 10_000
	// MaxPartitions of a cluster.
	MaxPartitions = 30_000
	// MaxBrokerReplicas is how many replicas one broker holds: 10,000, and those of internal streams.
	MaxBrokerReplicas = 10_240
	// MaxStreamPartitions of one stream.
	MaxStreamPartitions = 10_000
	// MaxReplicas of one partition, those that a reassignment adds included.
	MaxReplicas = 7
	// MaxConfigBytes is the size of one stream's configuration, encoded.
	MaxConfigBytes = 32 << 10
	// MaxAllConfigBytes is the size of all configurations of streams and groups, encoded.
	MaxAllConfigBytes = 5 << 20
	// MaxGroups of a cluster.
	MaxGroups = 10_000
	// MaxGroupBytes is the size of one group's name and configuration, encoded.
	MaxGroupBytes = 4 << 10
	// MaxPendingDeletions is how many deletions wait for one broker. A broker that has more must come back or be removed
	// before a stream with a replica there can be deleted.
	MaxPendingDeletions = 20_000
	// MaxAllPendingDeletions is how many deletions wait for all brokers.
	MaxAllPendingDeletions = 40_000
)

// What a configuration may say.
const (
	maxSubjects        = 64
	maxLabels          = 64
	maxLabelBytes      = 1024 // name and value
	minSegmentBytes    = 16 << 10
	maxSegmentBytes    = 1 << 30
	minSegmentAge      = time.Second
	maxAge             = 36_500 * 24 * time.Hour // of retention and segments
	maxDedupWindow     = 7 * 24 * time.Hour
	minSyncInterval    = time.Millisecond
	maxSyncInterval    = time.Second // protocol.md 1.7: fsync at least once a second
	minMessageBytes    = 1 << 10
	maxMessageBytes    = 64 << 20 // protocol.md 1.6
	maxQueueGroupBytes = 128
	maxHeaderNameBytes = 128
	maxSubjectTokens   = 512 // a subject of 1024 bytes has no more
)

// What a configuration says if it is not asked (interfaces.md, section 2).
const (
	defaultReplicas     = 3
	defaultSegmentBytes = 256 << 20
	defaultSegmentAge   = 24 * time.Hour
	defaultDedupWindow  = 2 * time.Minute
	defaultSyncInterval = 100 * time.Millisecond
	defaultMessageBytes = 8 << 20
)

// cursorsSegmentBytes keeps the stream of cursors small: what was compacted away is freed early.
const cursorsSegmentBytes = 16 << 20

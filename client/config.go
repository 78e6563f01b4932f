package client

import "time"

// None says "none" in a setting of StreamConfig that limits something, where 0 would mean the server's default: no
// limit in RetainAge, RetainBytes and RetainMessages, no dedup window, no segment that ends because of its age. It is
// what a stream without the limit has in its StreamInfo, too.
const None = -1

// StreamConfig is what a stream is made of. Only Name and Subjects are needed: a field left at zero means the server's
// default, and None means none where that makes sense. In a StreamInfo all is filled in.
type StreamConfig struct {
	// Name is 1 to 128 of A-Z a-z 0-9 _ . : and -, the first neither . nor -.
	Name string
	// Subjects are the NATS subjects to record, wildcards allowed.
	Subjects []string

	Partitions int
	Replicas   int
	MinISR     int

	// Retention holds per partition; what exceeds any of the limits is deleted.
	RetainAge      time.Duration
	RetainBytes    int64
	RetainMessages int64

	SegmentBytes int64
	SegmentAge   time.Duration

	Sync         Sync
	SyncInterval time.Duration // with Sync "interval"
	Storage      Storage
	// KeyHash finds the partition of a message with a key.
	KeyHash KeyHash
	// DedupWindow is for how long a message with the same ID is not stored again.
	DedupWindow     time.Duration
	MaxMessageBytes int64

	// QueueGroup makes the streams that name it share the messages of their subjects.
	QueueGroup string
	// Fanout publishes on NATS what is published to the stream by clients such as this.
	Fanout bool
	Reply  Reply
	// Compact keeps the newest message of each key only.
	Compact bool
	// RequireExpectedOffset makes the server heed expected offsets in envelopes too.
	RequireExpectedOffset bool
	Compression           Compression
	Labels                map[string]string
	// PartitionBy shares out plain NATS messages.
	PartitionBy PartitionRule
}

// PartitionRule says what is hashed to find the partition of a plain NATS message: at most one field is set. With none,
// partition 0 records the subjects and partition N their extension by .N.
type PartitionRule struct {
	Subject bool   // the whole subject
	Token   int    // one token of the subject, from 1
	Header  string // the first value of this NATS header
}

// Sync says when what is written becomes durable.
type Sync string

// Values of Sync.
const (
	SyncAck      Sync = "ack" // before any positive ack
	SyncInterval Sync = "interval"
	SyncNone     Sync = "none"
)

// Storage says where messages are kept.
type Storage string

// Values of Storage.
const (
	StorageDisk   Storage = "disk"
	StorageMemory Storage = "memory"
)

// KeyHash names the function that finds the partition of a key.
type KeyHash string

// Values of KeyHash.
const (
	KeyHashMurmur3 KeyHash = "murmur3"
	KeyHashCRC32   KeyHash = "crc32"
)

// Reply says how a NATS message that has a reply subject is answered.
type Reply string

// Values of Reply.
const (
	ReplyNone   Reply = "none"
	ReplyPuback Reply = "puback" // as JetStream answers a publish
)

// Compression says how batches are packed on disk.
type Compression string

// Values of Compression. A stream has none unless told otherwise.
const (
	CompressionZstd Compression = "zstd"
)

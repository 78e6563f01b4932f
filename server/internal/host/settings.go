package host

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/names"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/dedup"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// recordOverhead is what a record may have besides key, value and headers.
const recordOverhead = names.MaxSubjectLength + 64

// MaxMessageBytes is the largest message of a stream.
const MaxMessageBytes = 8 << 20

// checkBuilt refuses what is asked for and this version cannot do yet, rather than to ignore it. Absent fields ask for
// nothing.
func checkBuilt(c *trestlev1.StreamConfig) error {
	for _, f := range []struct {
		feature string
		asked   bool
	}{
		{fmt.Sprintf("replicas = %d", c.GetReplicas()), c.GetReplicas() > 1},
		{"storage = " + c.GetStorage().String(), c.GetStorage() == trestlev1.Storage_STORAGE_MEMORY},
		{"key_hash = " + c.GetKeyHash().String(), c.GetKeyHash() == trestlev1.KeyHash_KEY_HASH_CRC32},
		{fmt.Sprintf("max_message_bytes = %d", c.GetMaxMessageBytes()), c.GetMaxMessageBytes() > MaxMessageBytes},
		{"compression", c.GetCompression() != trestlev1.Codec_CODEC_UNSPECIFIED},
	} {
		if f.asked {
			return &UnimplementedError{Feature: f.feature}
		}
	}
	return nil
}

// listens is what a partition of a stream listens on: partition 0 on the subjects, any other on their extension by its
// number (protocol.md 2.3). Internal streams listen on nothing (2.12).
func listens(s metadata.Stream, number int32) []string {
	if s.Internal {
		return nil
	}
	if _, shared := sharingOf(s.Config); number == 0 || shared {
		return s.Config.GetSubjects()
	}
	extended := make([]string, 0, len(s.Config.GetSubjects()))
	for _, subject := range s.Config.GetSubjects() {
		extended = append(extended, subject+"."+strconv.Itoa(int(number)))
	}
	return extended
}

// captureSettings are what the capture of a stream heeds.
func captureSettings(c *trestlev1.StreamConfig) capture.Settings {
	return capture.Settings{
		Stream: c.GetName(), Partitions: c.GetPartitions(), MaxMessageBytes: c.GetMaxMessageBytes(),
		ExpectedOffsets: c.GetRequireExpectedOffset(), PubAck: c.GetReply() == trestlev1.Reply_REPLY_PUBACK,
	}
}

// sharingOf says by what a stream shares out what is published on its subjects, if its partitions do share them.
func sharingOf(c *trestlev1.StreamConfig) (by capture.Sharing, shared bool) {
	switch by := c.GetPartitionBy().GetBy().(type) {
	case *trestlev1.PartitionBy_Subject:
		return capture.Sharing{Subject: true}, true
	case *trestlev1.PartitionBy_Token:
		return capture.Sharing{Token: int(by.Token)}, true
	case *trestlev1.PartitionBy_Header:
		return capture.Sharing{Header: by.Header}, true
	}
	return capture.Sharing{}, false
}

// How a compacted stream is compacted. Tombstones stay a day after they became compactable (protocol.md 1.15).
const (
	tombstoneDelay = 24 * time.Hour
	minDirtyRatio  = 0.5
)

// settingsOf is what the configuration of a stream asks of each of its partitions.
func settingsOf(c *trestlev1.StreamConfig) partition.Settings {
	s := partition.Settings{
		SyncEvery: c.GetSyncInterval().AsDuration(),
		Retention: commitlog.Retention{
			Age: c.GetRetainAge().AsDuration(), Bytes: c.GetRetainBytes(), Messages: c.GetRetainMessages(),
		},
		DedupWindow: c.GetDedupWindow().AsDuration(),
	}
	if largest := c.GetMaxMessageBytes(); largest > 0 {
		s.MaxRecordBytes = largest + recordOverhead
	}
	switch c.GetSync() {
	case trestlev1.Sync_SYNC_INTERVAL:
		s.Sync = partition.SyncInterval
	case trestlev1.Sync_SYNC_NONE:
		s.Sync = partition.SyncNone
	default:
		s.Sync = partition.SyncAck
	}
	if c.GetCompact() {
		s.Compaction = &commitlog.Compaction{TombstoneDelay: tombstoneDelay, MinDirtyRatio: minDirtyRatio}
	}
	return s
}

// modeOf is the mode of a partition in the words of its room.
func modeOf(m trestlev1.Mode) partition.Mode {
	switch m {
	case trestlev1.Mode_MODE_PAUSED:
		return partition.Paused
	case trestlev1.Mode_MODE_READ_ONLY:
		return partition.ReadOnly
	default:
		return partition.Active
	}
}

// dedupKey is the secret of a stream's message ids: every broker derives the same, and no publisher knows it.
func dedupKey(cluster metadata.Cluster, stream uuid.UUID) (key dedup.Key) {
	mac := hmac.New(sha256.New, cluster.Secret[:])
	mac.Write([]byte("dedup"))
	mac.Write(stream[:])
	copy(key[:], mac.Sum(nil))
	return key
}

package metadata

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// ConfigError says which field of a stream's configuration cannot be, and what could.
type ConfigError struct {
	Field   string // as in trestle.v1.StreamConfig
	Value   string // as it was asked for
	Problem string
	Remedy  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s = %s %s; %s", e.Field, e.Value, e.Problem, e.Remedy)
}

// CompleteConfig checks the configuration of a new stream and fills in what it leaves out; brokers is how many the
// cluster has. It is the one place where defaults are chosen. The error is a *ConfigError or a *names.Error.
//
// The configuration that comes back is complete: completing it again changes nothing.
func CompleteConfig(asked *trestlev1.StreamConfig, brokers int) (*trestlev1.StreamConfig, error) {
	return complete(asked, brokers, false)
}

// complete is CompleteConfig also for streams that brokers make for themselves.
func complete(asked *trestlev1.StreamConfig, brokers int, internal bool) (*trestlev1.StreamConfig, error) {
	config := defaultConfig()
	override(config, asked)
	if config.Replicas == nil {
		config.Replicas = proto.Int32(int32(min(defaultReplicas, max(brokers, 1))))
	}
	if config.MinIsr == nil {
		config.MinIsr = proto.Int32(defaultMinISR(config.GetReplicas()))
	}
	fillSync(config)
	if err := checkConfig(config, internal); err != nil {
		return nil, err
	}
	return config, nil
}

// updated is the configuration with the fields of asked that are present, checked. What a stream keeps for ever may be
// named, but not changed.
func updated(have, asked *trestlev1.StreamConfig, internal bool) (*trestlev1.StreamConfig, error) {
	config, isClone := proto.Clone(have).(*trestlev1.StreamConfig)
	if !isClone {
		config = &trestlev1.StreamConfig{}
	}
	if asked.GetSync() != trestlev1.Sync_SYNC_UNSPECIFIED && asked.GetSync() != have.GetSync() {
		config.SyncInterval = nil // belongs to the mode that is left
	}
	override(config, asked)
	fillSync(config)
	if err := checkKept(have, config); err != nil {
		return nil, err
	}
	if err := checkConfig(config, internal); err != nil {
		return nil, err
	}
	return config, nil
}

func defaultConfig() *trestlev1.StreamConfig {
	return &trestlev1.StreamConfig{
		Partitions: proto.Int32(1),
		RetainAge:  durationpb.New(0), RetainBytes: proto.Int64(0), RetainMessages: proto.Int64(0),
		SegmentBytes: proto.Int64(defaultSegmentBytes), SegmentAge: durationpb.New(defaultSegmentAge),
		Storage: trestlev1.Storage_STORAGE_DISK, KeyHash: trestlev1.KeyHash_KEY_HASH_MURMUR3,
		DedupWindow: durationpb.New(defaultDedupWindow), MaxMessageBytes: proto.Int64(defaultMessageBytes),
		Fanout: proto.Bool(false), Reply: trestlev1.Reply_REPLY_NONE,
		Compact: proto.Bool(false), RequireExpectedOffset: proto.Bool(false),
	}
}

// isComplete says whether completing the configuration would leave it as it is.
func isComplete(c *trestlev1.StreamConfig) bool {
	return c.Partitions != nil && c.Replicas != nil && c.MinIsr != nil &&
		c.RetainAge != nil && c.RetainBytes != nil && c.RetainMessages != nil && c.SegmentBytes != nil && c.SegmentAge != nil &&
		c.Sync != trestlev1.Sync_SYNC_UNSPECIFIED && c.Storage != trestlev1.Storage_STORAGE_UNSPECIFIED &&
		(c.Sync == trestlev1.Sync_SYNC_INTERVAL) == (c.SyncInterval != nil) &&
		c.KeyHash != trestlev1.KeyHash_KEY_HASH_UNSPECIFIED && c.DedupWindow != nil && c.MaxMessageBytes != nil && c.Fanout != nil &&
		c.Reply != trestlev1.Reply_REPLY_UNSPECIFIED && c.Compact != nil && c.RequireExpectedOffset != nil
}

// defaultMinISR is a majority, but 1 of 2: two brokers are no safer than one if both must be there (protocol.md 3.14).
func defaultMinISR(replicas int32) int32 {
	if replicas <= 2 {
		return 1
	}
	return replicas/2 + 1
}

// fillSync chooses what depends on other fields: memory cannot be synced, and only an interval has a length.
func fillSync(config *trestlev1.StreamConfig) {
	if config.GetSync() == trestlev1.Sync_SYNC_UNSPECIFIED {
		config.Sync = trestlev1.Sync_SYNC_ACK
		if config.GetStorage() == trestlev1.Storage_STORAGE_MEMORY {
			config.Sync = trestlev1.Sync_SYNC_NONE
		}
	}
	if config.GetSync() == trestlev1.Sync_SYNC_INTERVAL && config.GetSyncInterval() == nil {
		config.SyncInterval = durationpb.New(defaultSyncInterval)
	}
}

// override puts the fields of from that are present into to. Lists, maps and durations are replaced as a whole, not
// merged: proto.Merge would add subjects to subjects and seconds to seconds.
func override(to, from *trestlev1.StreamConfig) {
	if from == nil {
		return
	}
	if len(from.GetSubjects()) > 0 {
		to.Subjects = nil
	}
	if len(from.GetLabels()) > 0 {
		to.Labels = nil
	}
	for _, d := range []struct{ to, from **durationpb.Duration }{
		{&to.RetainAge, &from.RetainAge},
		{&to.SegmentAge, &from.SegmentAge},
		{&to.SyncInterval, &from.SyncInterval},
		{&to.DedupWindow, &from.DedupWindow},
	} {
		if *d.from != nil {
			*d.to = nil
		}
	}
	if from.GetPartitionBy() != nil {
		to.PartitionBy = nil
	}
	proto.Merge(to, from)
}

// Durable says whether what the stream acknowledges was fsynced: the class that accepts no loss by configuration.
func Durable(config *trestlev1.StreamConfig) bool {
	return config.GetSync() == trestlev1.Sync_SYNC_ACK
}

func validAge(d *durationpb.Duration, least, most time.Duration) bool {
	return d.IsValid() && d.AsDuration() >= least && d.AsDuration() <= most
}

package host

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata/names"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// MaxMessageBytes is the largest message of a stream.
const MaxMessageBytes = 8 << 20

// Limits of settings.
const (
	maxSubjects     = 64
	maxLabels       = 64
	maxLabelBytes   = 1024 // name and value
	minSegmentBytes = 16 << 10
	maxSegmentBytes = 1 << 30
	minSegmentAge   = time.Second
)

// defaults of a stream, as they come back in its configuration.
func defaults() *trestlev1.StreamConfig {
	return &trestlev1.StreamConfig{
		Partitions: proto.Int32(1), Replicas: proto.Int32(1), MinIsr: proto.Int32(1),
		RetainAge: durationpb.New(0), RetainBytes: proto.Int64(0), RetainMessages: proto.Int64(0),
		SegmentBytes: proto.Int64(commitlog.DefaultSegmentBytes), SegmentAge: durationpb.New(commitlog.DefaultSegmentAge),
		Sync: trestlev1.Sync_SYNC_ACK, Storage: trestlev1.Storage_STORAGE_DISK,
		KeyHash: trestlev1.KeyHash_KEY_HASH_MURMUR3, DedupWindow: durationpb.New(0),
		MaxMessageBytes: proto.Int64(MaxMessageBytes), Fanout: proto.Bool(false), Reply: trestlev1.Reply_REPLY_NONE,
		Compact: proto.Bool(false), RequireExpectedOffset: proto.Bool(false),
	}
}

// complete checks a configuration and fills in what it leaves out.
func complete(asked *trestlev1.StreamConfig) (*trestlev1.StreamConfig, error) {
	if err := names.Stream(asked.GetName()); err != nil {
		return nil, err
	}
	if err := checkSubjects(asked.GetSubjects()); err != nil {
		return nil, err
	}
	config := defaults()
	proto.Merge(config, asked)
	// Merge adds the parts of a duration; what was asked for replaces the default.
	for _, d := range []struct{ to, from *durationpb.Duration }{
		{config.GetRetainAge(), asked.GetRetainAge()},
		{config.GetSegmentAge(), asked.GetSegmentAge()},
		{config.GetDedupWindow(), asked.GetDedupWindow()},
	} {
		if d.from != nil {
			d.to.Seconds, d.to.Nanos = d.from.GetSeconds(), d.from.GetNanos()
		}
	}
	if err := checkBuilt(config); err != nil {
		return nil, err
	}
	return config, checkLimits(config)
}

func checkSubjects(subjects []string) error {
	if len(subjects) == 0 || len(subjects) > maxSubjects {
		return &InvalidError{"subjects", fmt.Sprintf("has %d entries; name 1 to %d NATS subjects to record, such as orders.>", len(subjects), maxSubjects)}
	}
	for i, subject := range subjects {
		if err := names.Pattern(subject); err != nil {
			return err
		}
		for _, other := range subjects[:i] {
			if names.Overlap(subject, other) {
				return &InvalidError{"subjects", fmt.Sprintf("%q and %q overlap: a message would be recorded twice; leave one out", other, subject)}
			}
		}
	}
	return nil
}

// checkBuilt refuses what this version cannot do yet, rather than to ignore it.
func checkBuilt(c *trestlev1.StreamConfig) error {
	for _, f := range []struct {
		feature string
		asked   bool
	}{
		{fmt.Sprintf("partitions = %d", c.GetPartitions()), c.GetPartitions() != 1},
		{fmt.Sprintf("replicas = %d", c.GetReplicas()), c.GetReplicas() != 1},
		{fmt.Sprintf("min_isr = %d", c.GetMinIsr()), c.GetMinIsr() != 1},
		{"retain_age", c.GetRetainAge().AsDuration() != 0},
		{"retain_bytes", c.GetRetainBytes() != 0},
		{"retain_messages", c.GetRetainMessages() != 0},
		{"sync = " + c.GetSync().String(), c.GetSync() != trestlev1.Sync_SYNC_ACK},
		{"sync_interval", c.GetSyncInterval() != nil},
		{"storage = " + c.GetStorage().String(), c.GetStorage() != trestlev1.Storage_STORAGE_DISK},
		{"key_hash = " + c.GetKeyHash().String(), c.GetKeyHash() != trestlev1.KeyHash_KEY_HASH_MURMUR3},
		{"dedup_window", c.GetDedupWindow().AsDuration() != 0},
		{fmt.Sprintf("max_message_bytes = %d", c.GetMaxMessageBytes()), c.GetMaxMessageBytes() != MaxMessageBytes},
		{"queue_group", c.GetQueueGroup() != ""},
		{"fanout", c.GetFanout()},
		{"reply = " + c.GetReply().String(), c.GetReply() != trestlev1.Reply_REPLY_NONE},
		{"compact", c.GetCompact()},
		{"require_expected_offset", c.GetRequireExpectedOffset()},
		{"compression", c.GetCompression() != trestlev1.Codec_CODEC_UNSPECIFIED},
		{"partition_by", c.GetPartitionBy() != nil},
	} {
		if f.asked {
			return &UnimplementedError{Feature: f.feature}
		}
	}
	return nil
}

func checkLimits(c *trestlev1.StreamConfig) error {
	switch {
	case c.GetSegmentBytes() < minSegmentBytes || c.GetSegmentBytes() > maxSegmentBytes:
		return &InvalidError{"segment_bytes", fmt.Sprintf("is %d; use %d to %d", c.GetSegmentBytes(), minSegmentBytes, maxSegmentBytes)}
	case !c.GetSegmentAge().IsValid() || c.GetSegmentAge().AsDuration() < minSegmentAge:
		return &InvalidError{"segment_age", fmt.Sprintf("is %v; use %v or more", c.GetSegmentAge().AsDuration(), minSegmentAge)}
	case len(c.GetLabels()) > maxLabels:
		return &InvalidError{"labels", fmt.Sprintf("has %d entries; use at most %d", len(c.GetLabels()), maxLabels)}
	}
	for name, value := range c.GetLabels() {
		if name == "" || len(name)+len(value) > maxLabelBytes {
			return &InvalidError{"labels", fmt.Sprintf("has one of %d bytes; use at most %d, and a name", len(name)+len(value), maxLabelBytes)}
		}
	}
	return nil
}

// differences says how the configuration that is asked for differs from the one that there is, field by field.
func differences(have, want *trestlev1.StreamConfig) map[string]string {
	found := map[string]string{}
	fields := have.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		a, b := have.ProtoReflect().Get(field), want.ProtoReflect().Get(field)
		if !a.Equal(b) {
			found[string(field.Name())] = fmt.Sprintf("have %s, want %s", show(field, a), show(field, b))
		}
	}
	return found
}

func show(field protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if field.Enum() != nil {
		if value := field.Enum().Values().ByNumber(v.Enum()); value != nil {
			return string(value.Name())
		}
	}
	if field.Message() != nil && !field.IsMap() && !field.IsList() {
		if d, ok := v.Message().Interface().(*durationpb.Duration); ok {
			return d.AsDuration().String()
		}
	}
	if field.IsList() {
		list := make([]string, v.List().Len())
		for i := range list {
			list[i] = v.List().Get(i).String()
		}
		return fmt.Sprintf("%q", list)
	}
	return v.String()
}

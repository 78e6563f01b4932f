package liftbridge

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/metadata/names"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
)

// defaultRetention is that of streams made through Liftbridge (protocol.md 1.14).
const defaultRetention = 168 * time.Hour

// maxMessageBytes is the largest message of such streams: what gRPC lets a client receive unless it is told otherwise, 4 MiB, without
// room for what a message is delivered with. Liftbridge's clients take a larger one for the end of a read-only partition, and come no further.
const maxMessageBytes = 4<<20 - 64<<10

// Ranges of segment settings. They are how a broker lays its files out, so what lies outside is moved inside, not refused.
const (
	minSegmentBytes = 16 << 10
	maxSegmentBytes = 1 << 30
	minSegmentAge   = time.Second
	maxSegmentAge   = 36_500 * 24 * time.Hour
)

// reserved are names of Liftbridge's own streams. Others that begin with __ are refused with the rest of what is no name.
func reserved(name string) bool { return name == "__activity" || name == "__cursors" }

// toConfig is the configuration that the request asks for in a cluster of so many brokers, which can encrypt values or not.
func toConfig(req *liftbridgepb.CreateStreamRequest, brokers int, encrypts bool) (*trestlev1.StreamConfig, error) {
	if err := checkStream(req, brokers); err != nil {
		return nil, err
	}
	if err := checkNumbers(req); err != nil {
		return nil, err
	}
	if req.GetEncryption().GetValue() && !encrypts {
		return nil, precondition("Failed on preconditions for stream's encryption handler: the broker has no key; start it with LIFTBRIDGE_ENCRYPTION_KEY")
	}
	replicas := req.GetReplicationFactor()
	switch replicas {
	case 0:
		replicas = 1
	case -1:
		replicas = int32(brokers)
	}
	c := &trestlev1.StreamConfig{
		Name: req.GetName(), Subjects: []string{req.GetSubject()}, QueueGroup: req.GetGroup(), Replicas: &replicas,
		Partitions: proto.Int32(max(1, req.GetPartitions())), Fanout: proto.Bool(true), // protocol.md 2.1
		RetainAge: durationpb.New(defaultRetention), RetainBytes: value64(req.GetRetentionMaxBytes()),
		RetainMessages: value64(req.GetRetentionMaxMessages()), MaxMessageBytes: proto.Int64(maxMessageBytes),
		Labels:  labels(req),
		Compact: proto.Bool(req.GetCompactEnabled().GetValue()), RequireExpectedOffset: proto.Bool(req.GetOptimisticConcurrencyControl().GetValue()),
	}
	if age := req.GetRetentionMaxAge(); age != nil {
		c.RetainAge = durationpb.New(millis(age.GetValue()))
	}
	if n := req.GetSegmentMaxBytes().GetValue(); n > 0 {
		c.SegmentBytes = proto.Int64(min(max(n, minSegmentBytes), maxSegmentBytes))
	}
	if n := req.GetSegmentMaxAge().GetValue(); n > 0 {
		c.SegmentAge = durationpb.New(min(max(millis(n), minSegmentAge), maxSegmentAge))
	}
	if n := req.GetMinIsr().GetValue(); n > 0 {
		c.MinIsr = proto.Int32(n)
	}
	return c, nil
}

// labels keep what only Liftbridge has settings for.
func labels(req *liftbridgepb.CreateStreamRequest) map[string]string {
	all := autoPauseLabels(req)
	if req.GetEncryption().GetValue() {
		all[host.EncryptLabel] = "true"
	}
	return all
}

// checkStream refuses what a stream cannot be called, record, or be spread over.
func checkStream(req *liftbridgepb.CreateStreamRequest, brokers int) error {
	switch n := req.GetReplicationFactor(); {
	case req.GetName() == "":
		return invalid("Name cannot be empty")
	case reserved(req.GetName()):
		return invalid("Stream is reserved")
	case names.Pattern(req.GetSubject()) != nil:
		return invalid("Subject is invalid: %v", names.Pattern(req.GetSubject()))
	case n < -1 || int(n) > brokers:
		return invalid("Invalid replicationFactor %d, cluster size %d", n, brokers)
	case req.GetPartitions() < 0:
		return invalid("Invalid partitions %d; use 1 or more", req.GetPartitions())
	}
	return nil
}

// checkNumbers refuses limits below 0.
func checkNumbers(req *liftbridgepb.CreateStreamRequest) error {
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"retentionMaxBytes", req.GetRetentionMaxBytes().GetValue()},
		{"retentionMaxMessages", req.GetRetentionMaxMessages().GetValue()},
		{"retentionMaxAge", req.GetRetentionMaxAge().GetValue()},
		{"cleanerInterval", req.GetCleanerInterval().GetValue()},
		{"segmentMaxBytes", req.GetSegmentMaxBytes().GetValue()},
		{"segmentMaxAge", req.GetSegmentMaxAge().GetValue()},
		{"compactMaxGoroutines", int64(req.GetCompactMaxGoroutines().GetValue())},
		{"autoPauseTime", req.GetAutoPauseTime().GetValue()},
		{"minIsr", int64(req.GetMinIsr().GetValue())},
	} {
		if n.value < 0 {
			return invalid("Invalid %s %d; use 0 or more", n.name, n.value)
		}
	}
	return nil
}

func value64(n *liftbridgepb.NullableInt64) *int64 {
	if n == nil {
		return nil
	}
	return proto.Int64(n.GetValue())
}

// millis is a number of milliseconds as a duration, or the longest one there is.
func millis(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Millisecond
}

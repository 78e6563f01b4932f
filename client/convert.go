package client

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// toProto writes the configuration for the wire: zero is left out, None is 0.
func (cfg *StreamConfig) toProto() (*trestlev1.StreamConfig, error) {
	w := settings{stream: cfg.Name}
	p := &trestlev1.StreamConfig{
		Name:                  cfg.Name,
		Subjects:              cfg.Subjects,
		Partitions:            w.count("Partitions", cfg.Partitions),
		Replicas:              w.count("Replicas", cfg.Replicas),
		MinIsr:                w.count("MinISR", cfg.MinISR),
		RetainAge:             w.duration("RetainAge", cfg.RetainAge),
		RetainBytes:           w.limit("RetainBytes", cfg.RetainBytes),
		RetainMessages:        w.limit("RetainMessages", cfg.RetainMessages),
		SegmentBytes:          w.limit("SegmentBytes", cfg.SegmentBytes),
		SegmentAge:            w.duration("SegmentAge", cfg.SegmentAge),
		Sync:                  trestlev1.Sync(w.word("Sync", "SYNC_", string(cfg.Sync), trestlev1.Sync_value)),
		SyncInterval:          w.duration("SyncInterval", cfg.SyncInterval),
		Storage:               trestlev1.Storage(w.word("Storage", "STORAGE_", string(cfg.Storage), trestlev1.Storage_value)),
		KeyHash:               trestlev1.KeyHash(w.word("KeyHash", "KEY_HASH_", string(cfg.KeyHash), trestlev1.KeyHash_value)),
		DedupWindow:           w.duration("DedupWindow", cfg.DedupWindow),
		MaxMessageBytes:       w.limit("MaxMessageBytes", cfg.MaxMessageBytes),
		QueueGroup:            cfg.QueueGroup,
		Fanout:                presentIfTrue(cfg.Fanout),
		Reply:                 trestlev1.Reply(w.word("Reply", "REPLY_", string(cfg.Reply), trestlev1.Reply_value)),
		Compact:               presentIfTrue(cfg.Compact),
		RequireExpectedOffset: presentIfTrue(cfg.RequireExpectedOffset),
		Compression:           trestlev1.Codec(w.word("Compression", "CODEC_", string(cfg.Compression), trestlev1.Codec_value)),
		Labels:                cfg.Labels,
		PartitionBy:           w.rule(cfg.PartitionBy),
	}
	return p, w.err
}

// settings writes the fields of one configuration and remembers the first that cannot be written.
type settings struct {
	stream string
	err    error
}

func (w *settings) refuse(field, format string, args ...any) {
	if w.err == nil {
		w.err = newError(reasonInvalidArgument, "stream %q: %s %s", w.stream, field, fmt.Sprintf(format, args...))
	}
}

func (w *settings) count(field string, n int) *int32 {
	switch {
	case n == 0:
		return nil
	case n < 0 || n > math.MaxInt32:
		w.refuse(field, "is %d: give a number above 0, or 0 for the server's default", n)
		return nil
	}
	v := int32(n)
	return &v
}

func (w *settings) limit(field string, n int64) *int64 {
	switch {
	case n == 0:
		return nil
	case n == None:
		n = 0
	case n < 0:
		w.refuse(field, "is %d: give a number above 0, 0 for the server's default, or client.None", n)
	}
	return &n
}

func (w *settings) duration(field string, d time.Duration) *durationpb.Duration {
	n := w.limit(field, int64(d))
	if n == nil {
		return nil
	}
	return durationpb.New(time.Duration(*n))
}

// word finds the number of an enum's value. Its values on the wire are the words in upper case behind the prefix.
func (w *settings) word(field, prefix, word string, values map[string]int32) int32 {
	if word == "" {
		return 0
	}
	if n, ok := values[prefix+strings.ToUpper(word)]; ok && n != 0 {
		return n
	}
	w.refuse(field, "is %q, which is no such thing", word)
	return 0
}

func (w *settings) rule(r PartitionRule) *trestlev1.PartitionBy {
	set := 0
	p := new(trestlev1.PartitionBy)
	if r.Subject {
		set++
		p.By = &trestlev1.PartitionBy_Subject{Subject: true}
	}
	if r.Token != 0 {
		set++
		p.By = &trestlev1.PartitionBy_Token{Token: int32(min(r.Token, math.MaxInt32))}
	}
	if r.Header != "" {
		set++
		p.By = &trestlev1.PartitionBy_Header{Header: r.Header}
	}
	switch {
	case set == 0:
		return nil
	case set > 1:
		w.refuse("PartitionBy", "names several things to hash: keep one of Subject, Token and Header")
	case r.Token < 0:
		w.refuse("PartitionBy", "names token %d of the subject: tokens are counted from 1", r.Token)
	}
	return p
}

func presentIfTrue(b bool) *bool {
	if !b {
		return nil
	}
	return &b
}

// configFromProto reads a configuration that the server filled in.
func configFromProto(p *trestlev1.StreamConfig) StreamConfig {
	return StreamConfig{
		Name:                  p.GetName(),
		Subjects:              p.GetSubjects(),
		Partitions:            int(p.GetPartitions()),
		Replicas:              int(p.GetReplicas()),
		MinISR:                int(p.GetMinIsr()),
		RetainAge:             durationFromProto(p.GetRetainAge()),
		RetainBytes:           limitFromProto(p.RetainBytes),
		RetainMessages:        limitFromProto(p.RetainMessages),
		SegmentBytes:          limitFromProto(p.SegmentBytes),
		SegmentAge:            durationFromProto(p.GetSegmentAge()),
		Sync:                  Sync(wordOf("SYNC_", p.GetSync())),
		SyncInterval:          durationFromProto(p.GetSyncInterval()),
		Storage:               Storage(wordOf("STORAGE_", p.GetStorage())),
		KeyHash:               KeyHash(wordOf("KEY_HASH_", p.GetKeyHash())),
		DedupWindow:           durationFromProto(p.GetDedupWindow()),
		MaxMessageBytes:       limitFromProto(p.MaxMessageBytes),
		QueueGroup:            p.GetQueueGroup(),
		Fanout:                p.GetFanout(),
		Reply:                 Reply(wordOf("REPLY_", p.GetReply())),
		Compact:               p.GetCompact(),
		RequireExpectedOffset: p.GetRequireExpectedOffset(),
		Compression:           Compression(wordOf("CODEC_", p.GetCompression())),
		Labels:                p.GetLabels(),
		PartitionBy: PartitionRule{
			Subject: p.GetPartitionBy().GetSubject(),
			Token:   int(p.GetPartitionBy().GetToken()),
			Header:  p.GetPartitionBy().GetHeader(),
		},
	}
}

// limitFromProto turns 0, which on the wire means none, into None.
func limitFromProto(n *int64) int64 {
	switch {
	case n == nil:
		return 0
	case *n == 0:
		return None
	}
	return *n
}

func durationFromProto(d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	n := int64(d.AsDuration())
	return time.Duration(limitFromProto(&n))
}

// wordOf is the name of an enum's value in lower case without the prefix, empty for the unspecified one. A value that
// only newer servers know is its number.
func wordOf[E interface {
	~int32
	fmt.Stringer
}](prefix string, value E) string {
	if value == 0 {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}

func infoFromProto(p *trestlev1.StreamState) StreamInfo {
	info := StreamInfo{Config: configFromProto(p.GetConfig()), UUID: p.GetUuid(), Revision: p.GetRevision()}
	for _, partition := range p.GetPartitions() {
		info.Partitions = append(info.Partitions, partitionFromProto(partition))
	}
	return info
}

func partitionFromProto(p *trestlev1.PartitionState) PartitionInfo {
	info := PartitionInfo{
		ID:                int(p.GetId()),
		Leader:            p.GetLeader(),
		Replicas:          p.GetReplicas(),
		ISR:               p.GetIsr(),
		LeaderEpoch:       p.GetLeaderEpoch(),
		Mode:              Mode(wordOf("MODE_", p.GetMode())),
		LogStart:          p.GetLogStart(),
		NextOffset:        p.GetNextOffset(),
		HighWatermark:     p.GetHighWatermark(),
		DurableOffset:     p.GetDurableOffset(),
		Messages:          p.GetMessages(),
		Bytes:             p.GetBytes(),
		Gaps:              p.GetGaps(),
		MessagesPerSecond: p.GetMessagesPerSecond(),
		BytesPerSecond:    p.GetBytesPerSecond(),
		Fault:             p.GetFault(),
	}
	if g := p.GetLastGap(); g != nil {
		info.LastGap = &Gap{
			Offset:  -1,
			Cause:   gapCause(g.GetCause()),
			From:    time.Unix(0, g.GetFromTime()),
			To:      time.Unix(0, g.GetToTime()),
			AtLeast: g.GetAtLeast(),
		}
	}
	return info
}

func gapCause(c trestlev1.GapCause) GapCause { return GapCause(wordOf("GAP_CAUSE_", c)) }

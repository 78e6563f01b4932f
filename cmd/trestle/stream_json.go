package main

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/trestlehq/trestle/client"
)

// appendStreamJSON renders a stream as one line. With existed, it is the answer to a creation.
func appendStreamJSON(dst []byte, info *client.StreamInfo, existed *bool) []byte {
	o := jsonObject{dst: append(dst, '{')}
	o.text("name", info.Config.Name)
	o.text("uuid", info.UUID)
	o.texts("subjects", info.Config.Subjects)
	o.name("config")
	o.dst = appendConfigJSON(o.dst, &info.Config)
	o.number("messages", messagesOf(info))
	o.name("partitions")
	o.dst = append(o.dst, '[')
	for i := range info.Partitions {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendPartitionJSON(o.dst, &info.Partitions[i])
	}
	o.dst = append(o.dst, ']')
	if existed != nil {
		o.truth("existed", *existed)
	}
	return append(o.dst, '}', '\n')
}

// appendConfigJSON renders a configuration: limits that there are not are 0, as one gives them.
func appendConfigJSON(dst []byte, cfg *client.StreamConfig) []byte {
	o := jsonObject{dst: append(dst, '{')}
	o.number("partitions", int64(cfg.Partitions))
	o.text("partition_by", partitionByText(cfg.PartitionBy))
	o.number("replicas", int64(cfg.Replicas))
	o.number("min_isr", int64(cfg.MinISR))
	o.duration("retain_age", cfg.RetainAge)
	o.number("retain_bytes", max(cfg.RetainBytes, 0))
	o.number("retain_messages", max(cfg.RetainMessages, 0))
	o.number("segment_bytes", max(cfg.SegmentBytes, 0))
	o.duration("segment_age", cfg.SegmentAge)
	o.truth("compact", cfg.Compact)
	o.text("sync", string(cfg.Sync))
	o.duration("sync_interval", cfg.SyncInterval)
	o.text("storage", string(cfg.Storage))
	o.duration("dedup_window", cfg.DedupWindow)
	o.optionalText("queue", cfg.QueueGroup)
	o.truth("fanout", cfg.Fanout)
	o.text("reply", string(cfg.Reply))
	o.number("max_message", max(cfg.MaxMessageBytes, 0))
	o.text("hash", string(cfg.KeyHash))
	o.truth("require_expected_offset", cfg.RequireExpectedOffset)
	o.optionalText("compression", string(cfg.Compression))
	o.name("labels")
	labels := jsonObject{dst: append(o.dst, '{')}
	for _, name := range slices.Sorted(maps.Keys(cfg.Labels)) {
		labels.text(name, cfg.Labels[name])
	}
	return append(labels.dst, '}', '}')
}

func appendPartitionJSON(dst []byte, p *client.PartitionInfo) []byte {
	o := jsonObject{dst: append(dst, '{')}
	o.number("id", int64(p.ID))
	o.text("leader", p.Leader)
	o.texts("replicas", p.Replicas)
	o.texts("isr", p.ISR)
	o.name("leader_epoch")
	o.dst = strconv.AppendUint(o.dst, p.LeaderEpoch, 10)
	o.text("mode", string(p.Mode))
	o.number("log_start", p.LogStart)
	o.number("next_offset", p.NextOffset)
	o.number("high_watermark", p.HighWatermark)
	o.number("durable_offset", p.DurableOffset)
	o.number("messages", p.Messages)
	o.number("bytes", p.Bytes)
	o.name("gaps")
	o.dst = strconv.AppendUint(o.dst, p.Gaps, 10)
	o.optionalText("fault", p.Fault)
	return append(o.dst, '}')
}

// jsonObject appends members to an object whose brace is open.
type jsonObject struct{ dst []byte }

func (o *jsonObject) name(name string) {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(appendJSONString(o.dst, name), ':')
}

func (o *jsonObject) text(name, value string) {
	o.name(name)
	o.dst = appendJSONString(o.dst, value)
}

// optionalText writes null for an empty value.
func (o *jsonObject) optionalText(name, value string) {
	if value != "" {
		o.text(name, value)
		return
	}
	o.name(name)
	o.dst = append(o.dst, "null"...)
}

func (o *jsonObject) texts(name string, values []string) {
	o.name(name)
	o.dst = append(o.dst, '[')
	for i, value := range values {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendJSONString(o.dst, value)
	}
	o.dst = append(o.dst, ']')
}

func (o *jsonObject) number(name string, n int64) {
	o.name(name)
	o.dst = strconv.AppendInt(o.dst, n, 10)
}

func (o *jsonObject) truth(name string, b bool) {
	o.name(name)
	o.dst = strconv.AppendBool(o.dst, b)
}

func (o *jsonObject) duration(name string, d time.Duration) {
	o.text(name, max(d, 0).String())
}

// messagesOf counts the messages of a stream that can be read.
func messagesOf(info *client.StreamInfo) int64 {
	n := int64(0)
	for i := range info.Partitions {
		n += info.Partitions[i].Messages
	}
	return n
}

func partitionByText(rule client.PartitionRule) string {
	switch {
	case rule.Subject:
		return "subject"
	case rule.Token != 0:
		return "token=" + strconv.Itoa(rule.Token)
	case rule.Header != "":
		return "header=" + rule.Header
	}
	return "none"
}

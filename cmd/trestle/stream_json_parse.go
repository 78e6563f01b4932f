package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trestlehq/trestle/client"
)

// describedStream is what is read of a line that appendStreamJSON made.
type describedStream struct {
	Subjects []string         `json:"subjects"`
	Config   *describedConfig `json:"config"`
}

// describedConfig has the members that appendConfigJSON writes.
type describedConfig struct {
	Partitions            int               `json:"partitions"`
	PartitionBy           string            `json:"partition_by"`
	Replicas              int               `json:"replicas"`
	MinISR                int               `json:"min_isr"`
	RetainAge             string            `json:"retain_age"`
	RetainBytes           int64             `json:"retain_bytes"`
	RetainMessages        int64             `json:"retain_messages"`
	SegmentBytes          int64             `json:"segment_bytes"`
	SegmentAge            string            `json:"segment_age"`
	Compact               bool              `json:"compact"`
	Sync                  string            `json:"sync"`
	SyncInterval          string            `json:"sync_interval"`
	Storage               string            `json:"storage"`
	DedupWindow           string            `json:"dedup_window"`
	Queue                 string            `json:"queue"`
	Fanout                bool              `json:"fanout"`
	Reply                 string            `json:"reply"`
	MaxMessage            int64             `json:"max_message"`
	Hash                  string            `json:"hash"`
	RequireExpectedOffset bool              `json:"require_expected_offset"`
	Compression           string            `json:"compression"`
	Labels                map[string]string `json:"labels"`
}

// parseStreamJSON reads the configuration of a stream from a line of stream info -o json. It has no name: whoever reads
// it gives one. Where the line says 0 for a limit, the configuration has None.
func parseStreamJSON(line []byte) (client.StreamConfig, error) {
	var described describedStream
	if err := json.Unmarshal(line, &described); err != nil {
		return client.StreamConfig{}, fmt.Errorf("the description of the stream cannot be read: %w", err)
	}
	d := described.Config
	if d == nil || len(described.Subjects) == 0 {
		return client.StreamConfig{}, errors.New("the description of the stream lacks its configuration; export it anew")
	}
	var rule partitionRuleFlag
	var durations [4]time.Duration
	err := rule.Set(d.PartitionBy)
	for i, text := range []string{d.RetainAge, d.SegmentAge, d.DedupWindow, d.SyncInterval} {
		n, cause := time.ParseDuration(text)
		durations[i] = n
		err = errors.Join(err, cause)
	}
	if err != nil {
		return client.StreamConfig{}, fmt.Errorf("the description of the stream cannot be read: %w", err)
	}
	return client.StreamConfig{
		Subjects:              described.Subjects,
		Partitions:            d.Partitions,
		Replicas:              d.Replicas,
		MinISR:                d.MinISR,
		RetainAge:             orNone(durations[0]),
		RetainBytes:           orNone(d.RetainBytes),
		RetainMessages:        orNone(d.RetainMessages),
		SegmentBytes:          orNone(d.SegmentBytes),
		SegmentAge:            orNone(durations[1]),
		Sync:                  client.Sync(d.Sync),
		SyncInterval:          durations[3], // 0: the server's own
		Storage:               client.Storage(d.Storage),
		KeyHash:               client.KeyHash(d.Hash),
		DedupWindow:           orNone(durations[2]),
		MaxMessageBytes:       orNone(d.MaxMessage),
		QueueGroup:            d.Queue,
		Fanout:                d.Fanout,
		Reply:                 client.Reply(d.Reply),
		Compact:               d.Compact,
		RequireExpectedOffset: d.RequireExpectedOffset,
		Compression:           client.Compression(d.Compression),
		Labels:                d.Labels,
		PartitionBy:           rule.rule,
	}, nil
}

func orNone[N ~int64](limit N) N {
	if limit == 0 {
		return client.None
	}
	return limit
}

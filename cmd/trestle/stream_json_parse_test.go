package main

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
)

// TestConfigComesBack: what stream info says of a configuration is all that there is to say, and is read as it was.
func TestConfigComesBack(t *testing.T) {
	t.Parallel()
	full := client.StreamConfig{
		Subjects: []string{"orders.>", "a\"b"}, Partitions: 3, Replicas: 2, MinISR: 1, RetainAge: 7 * day, RetainBytes: 1 << 30,
		RetainMessages: 17, SegmentBytes: 1 << 20, SegmentAge: time.Hour, Sync: client.SyncInterval, SyncInterval: 50 * time.Millisecond,
		Storage: client.StorageMemory, KeyHash: client.KeyHashCRC32, DedupWindow: time.Minute, MaxMessageBytes: 1 << 16, QueueGroup: "group",
		Fanout: true, Reply: client.ReplyPuback, Compact: true, RequireExpectedOffset: true, Compression: client.CompressionZstd,
		Labels: map[string]string{"team": "billing"}, PartitionBy: client.PartitionRule{Header: "Key"},
	}
	for i, v := 0, reflect.ValueOf(full); i < v.NumField(); i++ {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Name" { // whoever reads it gives one
			t.Errorf("StreamConfig.%s is not set: this test has to know every field", name)
		}
	}
	none := client.StreamConfig{
		Subjects: []string{"orders"}, Partitions: 1, RetainAge: client.None, RetainBytes: client.None, RetainMessages: client.None,
		SegmentBytes: client.None, SegmentAge: client.None, DedupWindow: client.None, MaxMessageBytes: client.None, Labels: map[string]string{},
	}
	for name, want := range map[string]client.StreamConfig{"full": full, "no limits": none} {
		got, err := parseStreamJSON(appendStreamJSON(nil, &client.StreamInfo{Config: want}, nil))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-written +read)\n%s", name, diff)
		}
	}
	for _, line := range []string{"", "{}", `{"subjects":["a"]}`, `{"subjects":["a"],"config":{"partition_by":"none"}}`, `{"config":{"partition_by":"x"}}`} {
		if _, err := parseStreamJSON([]byte(line)); err == nil {
			t.Errorf("%q: got no error", line)
		}
	}
}

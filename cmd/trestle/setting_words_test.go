package main

import (
	"testing"

	"github.com/trestlehq/trestle/client"
)

// TestDifferencesSpeakOfFlags: each by its flag, and each value as the flag takes it; no 0 and no empty one for none.
func TestDifferencesSpeakOfFlags(t *testing.T) {
	t.Parallel()
	differs := &client.ConfigDiffError{Stream: "orders", Differences: []client.ConfigDifference{
		{Field: "compact", Have: "false", Want: "true"},
		{Field: "key_hash", Have: "KEY_HASH_MURMUR3", Want: "KEY_HASH_CRC32"},
		{Field: "labels", Have: `{"a": "b"}`, Want: "{}"},
		{Field: "max_message_bytes", Have: "8388608", Want: "1000"},
		{Field: "partition_by", Have: "none", Want: "token 2"},
		{Field: "partition_by", Have: `header "X-Id"`, Want: "subject"},
		{Field: "queue_group", Have: "", Want: "q"},
		{Field: "retain_age", Have: "168h0m0s", Want: "0s"},
		{Field: "retain_bytes", Have: "0", Want: "10485760"},
		{Field: "retain_messages", Have: "0", Want: "5"},
		{Field: "subjects", Have: `["orders.>" "x"]`, Want: `["orders.x"]`},
		{Field: "sync", Have: "SYNC_ACK", Want: "SYNC_NONE"},
	}}
	const want = `stream "orders" exists and differs; --compact is false, not true; --hash is murmur3, not crc32; ` +
		`labels is {"a": "b"}, not {}; --max-message is 8 MiB, not 1000 B; --partition-by is none, not token=2; ` +
		`--partition-by is header=X-Id, not subject; --queue is none, not q; --retain-age is 7d, not none; ` +
		`--retain-bytes is none, not 10 MiB; --retain-messages is none, not 5; --subject is orders.> x, not orders.x; ` +
		`--sync is ack, not none; ask for what it has, change it with trestle stream edit, or choose another name`
	if got := differencesText(newStreamCreateCommand(&invocation{}).Flags(), differs); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

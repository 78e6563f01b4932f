package capture_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// What is fanned out reaches who listens on NATS and other streams, with its key, and not the stream that it came from, nor
// another of its queue group (2.1). A payload that looks like an envelope stays what it is.
func TestFannedOutMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := fanout.SecretOf([32]byte{1})
	own, group, other := target("own", "orders"), target("group", "orders"), target("other", "orders")
	group.Group = "g"
	for _, s := range []*[32]byte{(*[32]byte)(&own.Secret), (*[32]byte)(&group.Secret), (*[32]byte)(&other.Secret)} {
		*s = secret
	}
	sinks := map[string]*memory{"own": newMemory(), "group": newMemory(), "other": newMemory()}
	w.subscribe(own, sinks["own"])
	w.subscribe(group, sinks["group"])
	w.subscribe(other, sinks["other"])
	p := w.lead()
	var counters fanout.Counters
	f, err := fanout.Start(fanout.Config{
		Partition: p, Epoch: 1, Publisher: w.Source, Secret: secret, Stream: own.UUID, Group: "g", Subject: "orders", Counters: &counters,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	plain := w.inbox("orders")
	values := []string{"v", string(frame(t, envelope.Message{Value: []byte("inner"), AckInbox: []byte("a")})), ""}
	var b []byte
	for _, v := range values {
		b = batch.AppendRecord(b, &batch.Record{Key: []byte("key"), Value: []byte(v)})
	}
	if _, err := p.Publish(t.Context(), partition.Batch{Records: b, Count: len(values), Checksum: batch.Checksum(b)}); err != nil {
		t.Fatal(err)
	}
	for i, r := range sinks["other"].awaitRecords(t, len(values)) {
		if r.key != "key" || r.value != values[i] || r.captured.OnAck != nil {
			t.Errorf("the other stream captured %+v", r)
		}
	}
	var last *nats.Msg
	for range values {
		if last, err = plain.NextMsg(patience); err != nil {
			t.Fatal(err)
		}
	}
	// Whoever copies the header onto a message of its own loses nothing.
	last.Data = []byte("copied")
	w.publish(last)
	for name, n := range map[string]int{"own": 1, "group": 1, "other": len(values) + 1} {
		if r := sinks[name].awaitRecords(t, n)[n-1]; r.value != "copied" || r.key != "key" {
			t.Errorf("stream %s captured %+v", name, r)
		}
	}
	if c := w.Counters(); c.FanoutHeard != uint64(2*len(values)) || c.ForgedMarkers != 3 {
		t.Errorf("counters %+v", c)
	}
}

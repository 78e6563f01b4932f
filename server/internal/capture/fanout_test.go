package capture_test

import (
	"sync"
	"testing"
	"time"

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
	own.Known = &fanout.Known{} // the other two compute what they hear
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
		Partition: p, Epoch: 1, Publisher: w.Source, Secret: secret, Known: own.Known, Stream: own.UUID, Group: "g", Subject: "orders", Counters: &counters,
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

// What is sent goes between the acks and answers of the same connection, whole. While NATS is away it fails, and then it goes on.
func TestSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inbox := w.inbox("a")
	const senders, each = 4, 500
	var sending sync.WaitGroup
	for i := range senders {
		sending.Go(func() {
			for range each {
				var err error
				if i%2 == 0 {
					err = w.Publish("a", []byte("x"))
				} else {
					err = w.Send([]byte("HPUB a 12 13\r\nNATS/1.0\r\n\r\nx\r\nHPUB a 12 13\r\nNATS/1.0\r\n\r\nx\r\n"))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	sending.Wait()
	for range senders * each * 3 / 2 {
		if msg, err := inbox.NextMsg(patience); err != nil || string(msg.Data) != "x" {
			t.Fatalf("%v, %v", msg, err)
		}
	}
	stopNATS(w.server)
	one := []byte("HPUB a 12 13\r\nNATS/1.0\r\n\r\ny\r\n")
	untilSend(t, "fail while NATS is away", func() bool { return w.Send(one) != nil })
	w.startNATS()
	untilSend(t, "go on", func() bool { return w.Send(one) == nil })
}

// untilSend waits until something is so.
func untilSend(t *testing.T, does string, is func() bool) {
	t.Helper()
	late := time.After(patience)
	for !is() {
		select {
		case <-late:
			t.Fatalf("it does not %s", does)
		case <-time.After(time.Millisecond):
		}
	}
}

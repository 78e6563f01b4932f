package compat

import (
	"testing"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
)

// The first thing that anyone does: make a stream, publish, read.
func TestFirstSteps(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "foo")
	ack, err := c.Publish(ctx, "foo", []byte("hello"), lift.Key([]byte("k")), lift.Header("h", []byte("v")), lift.AckPolicyAll())
	if err != nil {
		t.Fatal(err)
	}
	if ack.Offset() != 0 || ack.Stream() != "foo" || ack.PartitionSubject() != "foo" || ack.MessageSubject() != "foo" ||
		ack.AckPolicy() != 1 || ack.CorrelationID() == "" || ack.ReceptionTimestamp().IsZero() || ack.CommitTimestamp().IsZero() {
		t.Errorf("ack: %+v", ack)
	}
	r := subscribe(t, c, "foo", lift.StartAtEarliestReceived())
	got := r.next()
	if got.err != nil {
		t.Fatal(got.err)
	}
	m := got.msg
	if m.Offset() != 0 || string(m.Key()) != "k" || string(m.Value()) != "hello" || m.Stream() != "foo" || m.Partition() != 0 ||
		m.Subject() != "foo" || m.ReplySubject() != "" || m.Timestamp().IsZero() {
		t.Errorf("message: %+v", m)
	}
	if h := m.Headers(); string(h["h"]) != "v" || string(h["subject"]) != "foo" || h["reply"] == nil && len(h) != 3 {
		t.Errorf("headers: %q", h)
	}
	metadata, err := c.FetchMetadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s := metadata.GetStream("foo"); s == nil || s.Subject() != "foo" || s.GetPartition(0).Leader() == nil || s.CreationTime().IsZero() {
		t.Errorf("metadata of foo: %+v", s)
	}
	if s := metadata.GetStream("__cursors"); s == nil || len(s.Partitions()) != 1 {
		t.Errorf("metadata of __cursors: %+v", s)
	}
}

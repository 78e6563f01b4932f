package partition_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// settle ticks until the condition holds.
func settle(t *testing.T, s *setup, r *rig, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		r.Tick(s.clock.now())
		if time.Now().After(deadline) {
			t.Fatalf("still not: %+v", r.State())
		}
	}
}

// The limits of retention hold to the message (protocol.md 1.14); what an idle partition does not serve any more does not
// stay on the disk.
func TestRetention(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	s.segment = 4 << 10
	r := s.lead(t)
	var size int64
	for i := range 100 {
		publish(t, r, records(fmt.Sprintf("%0100d", i)))
		s.clock.forward(time.Second)
		if i == 89 {
			size = r.State().Bytes
		}
	}
	size = r.State().Bytes - size // of the last ten, or a few more
	for _, test := range []struct {
		limit commitlog.Retention
		start func(int64) bool
	}{
		{commitlog.Retention{Messages: 60}, func(start int64) bool { return start == 40 }},
		{commitlog.Retention{Age: 50 * time.Second}, func(start int64) bool { return start == 50 }},
		{commitlog.Retention{Bytes: size}, func(start int64) bool { return start >= 89 && start <= 91 }},
	} {
		r.Configure(partition.Settings{Retention: test.limit})
		settle(t, s, r, func() bool { return test.start(r.State().LogStart) })
	}
	s.clock.forward(time.Hour)
	r.Configure(partition.Settings{Retention: commitlog.Retention{Age: time.Minute}})
	settle(t, s, r, func() bool { return r.State().LogStart == 100 && r.State().Bytes < 200 })
	var gone *commitlog.RangeError
	if _, err := r.NewReader(atOffset(99), at(partition.AtEnd), 0); !errors.As(err, &gone) || gone.LogStart != 100 {
		t.Errorf("got %v", err)
	}
	if ack := publish(t, r, records("next")); ack.BaseOffset != 100 {
		t.Errorf("ack %+v", ack)
	}
	r.close(t)
}

// Compaction runs beside appends and keeps the newest record of each key; closing waits for it.
func TestCompaction(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	s.segment = 4 << 10
	r := s.lead(t, func(c *partition.Config) { c.Settings.Compaction = &commitlog.Compaction{} })
	for i := range 300 {
		b := batch.AppendRecord(nil, &batch.Record{Key: []byte{byte(i % 3)}, Value: fmt.Append(nil, i)})
		publish(t, r, partition.Batch{Records: b, Count: 1, Checksum: batch.Checksum(b)})
		r.Tick(s.clock.now())
		s.clock.forward(time.Minute)
	}
	settle(t, s, r, func() bool { s.clock.forward(time.Minute); return len(r.all(t)) < 60 })
	newest := map[int]string{}
	for _, f := range r.all(t) {
		newest[int(f.Offset)%3] = f.Value
	}
	if newest[0] != "297" || newest[1] != "298" || newest[2] != "299" {
		t.Errorf("got %v", newest)
	}
	if _, err := r.Fetch(t.Context(), 10); !errors.Is(err, partition.ErrCompacted) {
		t.Errorf("a record that is gone: %v", err)
	}
	r.Tick(s.clock.now())
	r.close(t)
}

package partition_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func paused(from, to int64) batch.Gap {
	return batch.Gap{Cause: batch.GapPaused, FromTime: from, ToTime: to}
}

func setMode(t *testing.T, r *rig, m partition.Mode) {
	t.Helper()
	if err := r.SetMode(m); err != nil {
		t.Error(err)
	}
}

// A pause refuses what comes in and leaves an open gap that resuming closes, also over a restart (2.10).
func TestPause(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t, withDedup)
	publish(t, r, messages(message("a", "1")))
	s.clock.forward(time.Second)
	begun := s.clock.after(0)
	setMode(t, r, partition.Paused)
	setMode(t, r, partition.Paused)
	if _, err := r.Publish(t.Context(), records("2")); !errors.Is(err, partition.ErrPaused) {
		t.Errorf("publish: %v", err)
	}
	if err := r.Capture(message("", "3")); !errors.Is(err, partition.ErrPaused) {
		t.Errorf("capture: %v", err)
	}
	if ack := publish(t, r, messages(message("a", "4"))); ack.BaseOffset != 0 || ack.Count != 0 {
		t.Errorf("repeated: %+v", ack)
	}
	s.clock.forward(time.Minute)
	r.close(t)
	s.clock.forward(time.Minute)
	r = s.lead(t, func(c *partition.Config) { c.Mode = partition.Paused })
	restarted := s.clock.after(0)
	if _, err := r.Publish(t.Context(), records("5")); !errors.Is(err, partition.ErrPaused) || r.State().Mode != partition.Paused {
		t.Errorf("publish after a restart: %v", err)
	}
	s.clock.forward(time.Minute)
	setMode(t, r, partition.Active)
	if ack := publish(t, r, records("6")); ack.BaseOffset != 1 {
		t.Errorf("ack %+v", ack)
	}
	wantGaps(t, r, paused(begun, begun), paused(begun, restarted), paused(restarted, s.clock.after(0)))
	r.close(t)
}

// Read-only refuses appends; readers get what was accepted before and end at the end. Then it goes on.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t)
	publish(t, r, records("1"))
	reader, err := r.NewReader(at(partition.AtEarliest), at(partition.AtNever), 0)
	if err != nil {
		t.Fatal(err)
	}
	if chunk, err := reader.Next(t.Context()); err != nil || len(valuesIn(foundIn(t, chunk.Batches))) != 1 {
		t.Fatal(err)
	}
	rest := make(chan []string, 1)
	go func() {
		var values []string
		for {
			chunk, err := reader.Next(t.Context())
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				rest <- values
				return
			}
			values = append(values, valuesIn(foundIn(t, chunk.Batches))...)
		}
	}()
	if err := r.Capture(message("", "2")); err != nil {
		t.Error(err)
	}
	setMode(t, r, partition.ReadOnly)
	if values := <-rest; len(values) != 1 || values[0] != "2" {
		t.Errorf("before the end: %q", values)
	}
	if _, err := r.Publish(t.Context(), records("3")); !errors.Is(err, partition.ErrReadOnly) {
		t.Errorf("publish: %v", err)
	}
	if err := r.Capture(message("", "4")); !errors.Is(err, partition.ErrReadOnly) {
		t.Errorf("capture: %v", err)
	}
	setMode(t, r, partition.Active)
	publish(t, r, records("5"))
	if reader, err = r.NewReader(atOffset(2), at(partition.AtNever), 0); err != nil {
		t.Fatal(err)
	}
	if chunk, err := reader.Next(t.Context()); err != nil || valuesIn(foundIn(t, chunk.Batches))[0] != "5" {
		t.Errorf("after it: %v", err)
	}
	r.close(t)
}

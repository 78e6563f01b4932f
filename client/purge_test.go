package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
)

func TestRealPurge(t *testing.T) {
	t.Parallel()
	_, s := stream(t, 2)
	ctx := within(t)
	var times []time.Time
	for _, value := range []string{"a", "b", "c", "d"} {
		ack, err := s.Publish(ctx, []byte(value), client.To(1))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, ack.Time)
	}
	for _, step := range []struct {
		name  string
		purge func() ([]client.Purged, error)
		want  []client.Purged
		left  []string
	}{
		{"to an offset", func() ([]client.Purged, error) { return s.PurgeToOffset(ctx, 1, 1) }, []client.Purged{{Partition: 1, LogStart: 1}}, []string{"b", "c", "d"}},
		{"to one before", func() ([]client.Purged, error) { return s.PurgeToOffset(ctx, 1, 0) }, []client.Purged{{Partition: 1, LogStart: 1, PreviousLogStart: 1}}, []string{"b", "c", "d"}},
		{"to a time", func() ([]client.Purged, error) { return s.PurgeToTime(ctx, times[2], 1) }, []client.Purged{{Partition: 1, LogStart: 2, PreviousLogStart: 1}}, []string{"c", "d"}},
		{"all", func() ([]client.Purged, error) { return s.Purge(ctx) }, []client.Purged{{}, {Partition: 1, LogStart: 4, PreviousLogStart: 2}}, nil},
	} {
		got, err := step.purge()
		if diff := cmp.Diff(step.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", step.name, err, diff)
		}
		if left := values(t, s, client.Partitions(1), client.FromEarliest(), client.UntilLatest()); !cmp.Equal(left, step.left) {
			t.Errorf("%s: got %q left, want %q", step.name, left, step.left)
		}
	}
	if _, err := s.PurgeToOffset(ctx, 1, 5); !errors.Is(err, client.ErrOffsetBeyondEnd) {
		t.Errorf("beyond the end: got %v, want ErrOffsetBeyondEnd", err)
	}
	if _, err := s.Purge(ctx, -1); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("partition -1: got %v, want ErrInvalidArgument", err)
	}
	if _, err := s.PurgeToTime(ctx, time.Time{}); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("the year 1: got %v, want ErrInvalidArgument", err)
	}
}

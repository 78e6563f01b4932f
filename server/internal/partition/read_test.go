package partition_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// many is a partition with records at different times, in batches of different sizes, some with gaps between; and its
// records as a naive list.
func many(t *testing.T, s *setup, random *rand.Rand) (*rig, []found) {
	t.Helper()
	s.segment = 8 << 10
	r := s.lead(t)
	var all []found
	for len(all) < 400 {
		if random.IntN(4) > 0 {
			s.clock.forward(time.Duration(1+random.IntN(3)) * time.Second)
		}
		if random.IntN(10) == 0 {
			r.addGap(t, lost(batch.GapRingOverflow, 1, 2, 1))
		}
		var values []string
		for range 1 + random.IntN(6) {
			values = append(values, fmt.Sprintf("%d%s", len(all)+len(values), string(make([]byte, random.IntN(300)))))
		}
		ack := publish(t, r, records(values...))
		for i, v := range values {
			all = append(all, found{Offset: ack.BaseOffset + int64(i), Time: ack.Time, Value: v})
		}
	}
	s.clock.forward(time.Second)
	return r, all
}

func withoutGaps(all []found) []found {
	return slices.DeleteFunc(all, func(f found) bool { return f.Gap != nil })
}

// Ends are exclusive, time=T delivers records before T, and no record outside the range arrives (interfaces.md 3, protocol.md
// 1.13): forwards and backwards, against a naive list.
func TestReadRanges(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	random := rand.New(rand.NewPCG(1, 2))
	r, all := many(t, s, random)
	end := int64(len(all))
	kinds := []partition.PlaceKind{partition.AtEnd, partition.AtEarliest, partition.AtLatest, partition.AtOffset, partition.AtLast, partition.AtTime}
	place := func() partition.Place {
		return partition.Place{
			Kind: kinds[random.IntN(len(kinds))], Offset: random.Int64N(end + 1), Last: random.Uint64N(uint64(end) + 20),
			Time: all[random.IntN(len(all))].Time + random.Int64N(3) - 1,
		}
	}
	for range 300 {
		o := partition.ReadOptions{Start: place(), Stop: place(), Backwards: random.IntN(2) == 0}
		if random.IntN(3) == 0 {
			o.MaxBytes = 4 << 10
		}
		var want []found
		for _, f := range all {
			if forwards := inRange(f, o.Start, end, false) && !inRange(f, o.Stop, end, true); !o.Backwards && forwards {
				want = append(want, f)
			}
			if o.Backwards && !beyond(f, o.Start, end) && above(f, o.Stop, end) {
				want = append(want, f)
			}
		}
		got := withoutGaps(r.read(t, o))
		if o.Backwards {
			slices.SortFunc(got, func(a, b found) int { return int(a.Offset - b.Offset) })
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v (-want +got):\n%s", o, diff)
		}
	}
	r.close(t)
}

// inRange says whether the record stands at the place or behind it.
func inRange(f found, p partition.Place, end int64, stop bool) bool {
	switch p.Kind {
	case partition.AtEarliest:
		return true
	case partition.AtLatest:
		return !stop && f.Offset >= end-1
	case partition.AtOffset:
		return f.Offset >= p.Offset
	case partition.AtLast:
		return f.Offset >= end-int64(p.Last)
	case partition.AtTime:
		return f.Time >= p.Time
	case partition.AtEnd, partition.AtNever:
	}
	return false
}

// beyond says whether the record is newer than where a reader begins that goes backwards.
func beyond(f found, p partition.Place, end int64) bool {
	switch p.Kind {
	case partition.AtEarliest:
		return f.Offset > 0
	case partition.AtOffset:
		return f.Offset > p.Offset
	case partition.AtLast:
		return f.Offset > max(end-int64(p.Last), 0)
	case partition.AtTime:
		return f.Time > p.Time
	case partition.AtEnd, partition.AtNever, partition.AtLatest:
	}
	return false
}

// above says whether a reader that goes backwards and ends at the place comes to the record.
func above(f found, p partition.Place, end int64) bool {
	switch p.Kind {
	case partition.AtEarliest:
		return f.Offset > 0
	case partition.AtOffset:
		return f.Offset > p.Offset
	case partition.AtLast:
		return f.Offset >= end-int64(p.Last)
	case partition.AtTime:
		return f.Time >= p.Time
	case partition.AtEnd, partition.AtNever, partition.AtLatest:
	}
	return true
}

// Batches come newest first.
func TestBackwardsOrder(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t)
	for i := range 100 {
		publish(t, r, records(fmt.Sprint(i)))
	}
	got := r.read(t, partition.ReadOptions{Backwards: true, Stop: at(partition.AtNever)})
	if len(got) != 100 {
		t.Fatalf("%d records", len(got))
	}
	for i, f := range got {
		if f.Offset != int64(99-i) {
			t.Fatalf("record %d is the one at %d", i, f.Offset)
		}
	}
	r.close(t)
}

// A reader whose start is a time to come gets nothing older, and one whose stop is a time to come ends then.
func TestTimesToCome(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t)
	publish(t, r, records("1"))
	start, stop := s.clock.after(time.Second), s.clock.after(2*time.Second)
	reader, err := r.NewReader(atTime(start), atTime(stop), 0)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, r, records("2"))
	s.clock.forward(time.Second)
	publish(t, r, records("3"))
	chunk, err := reader.Next(t.Context())
	if got := valuesIn(foundIn(t, chunk.Batches)); err != nil || len(got) != 1 || got[0] != "3" {
		t.Errorf("got %q, %v", got, err)
	}
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := reader.Next(now); !errors.Is(err, context.Canceled) {
		t.Errorf("before the stop: %v", err)
	}
	s.clock.forward(time.Second)
	if _, err := reader.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("at the stop: %v", err)
	}
	r.close(t)
}

// A reader that saw records which a crash took is told so, and where the histories part (api.md, leader_epoch); one that did
// not reads on.
func TestTruncatedHistory(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	none := func(c *partition.Config) { c.Settings.Sync = partition.SyncNone }
	r := s.lead(t, none) // epoch 1
	for range 10 {
		publish(t, r, records("1"))
	}
	r.close(t)
	r = s.lead(t, none) // epoch 2
	for range 10 {
		publish(t, r, records("2"))
	}
	s.disk = s.disk.Crash(vfs.KeepNone)
	_ = r.Close()
	r = s.lead(t, none) // epoch 3; of epoch 2 is the beginning left
	if got := r.State().NextOffset; got != 10 {
		t.Fatalf("%d records are left", got)
	}
	for range 5 {
		publish(t, r, records("3"))
	}
	for _, test := range []struct {
		offset     int64
		epoch      uint64
		divergence int64 // -1: none
	}{
		{20, 2, 10}, {12, 2, 10}, {10, 1, -1}, {5, 1, -1}, {12, 3, -1}, {15, 3, -1}, {11, 1, 10}, {5, 3, 4}, {0, 3, -1}, {16, 4, 15},
	} {
		_, err := r.Read(partition.ReadOptions{Start: atOffset(test.offset), LeaderEpoch: test.epoch})
		var truncated *partition.TruncatedError
		switch {
		case test.divergence < 0:
			if err != nil {
				t.Errorf("%+v: %v", test, err)
			}
		case !errors.As(err, &truncated) || truncated.Divergence != test.divergence:
			t.Errorf("%+v: %v", test, err)
		}
	}
	r.close(t)
}

// Fetch gets one record, out of the middle of a batch.
func TestFetch(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t)
	publish(t, r, records("0", "1", "2"))
	r.addGap(t, lost(batch.GapRingOverflow, 1, 2, 1))
	publish(t, r, records("3"))
	for i := range 4 {
		chunk, err := r.Fetch(t.Context(), int64(i))
		if got := foundIn(t, chunk.Batches); err != nil || len(got) != 1 || got[0].Offset != int64(i) || got[0].Value != fmt.Sprint(i) {
			t.Errorf("offset %d: %+v, %v", i, got, err)
		}
	}
	var outside *commitlog.RangeError
	if _, err := r.Fetch(t.Context(), 4); !errors.As(err, &outside) || outside.NextOffset != 4 {
		t.Errorf("offset 4: %v", err)
	}
	r.close(t)
}

package client

import (
	"context"
	"fmt"
	"math"
	"time"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Purged says what became of a partition that was purged. Ends are exclusive.
type Purged struct {
	Partition int
	// LogStart is the oldest offset that can be read now, PreviousLogStart what it was before.
	LogStart, PreviousLogStart int64
}

// Purge takes all messages of those partitions, or of all, away for good. What is published from then on is kept; offsets
// go on as if nothing had happened.
func (s *Stream) Purge(ctx context.Context, partitions ...int) ([]Purged, error) {
	return s.purge(ctx, &trestlev1.PurgeStreamRequest{}, partitions)
}

// PurgeToOffset takes the messages of a partition before offset away for good: offset is the oldest that stays. Where that
// is already so, nothing changes. One beyond what is committed is ErrOffsetBeyondEnd.
func (s *Stream) PurgeToOffset(ctx context.Context, partition int, offset int64) ([]Purged, error) {
	return s.purge(ctx, &trestlev1.PurgeStreamRequest{To: &trestlev1.PurgeStreamRequest_Offset{Offset: offset}}, []int{partition})
}

// PurgeToTime takes what was stored before t in those partitions, or in all, away for good.
func (s *Stream) PurgeToTime(ctx context.Context, t time.Time, partitions ...int) ([]Purged, error) {
	if first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64); t.Before(first) || t.After(last) {
		return nil, newError(reasonInvalidArgument, "purge stream %q: %v is no time at which a message can be stored; give one from the years 1678 to 2262", s.name, t)
	}
	return s.purge(ctx, &trestlev1.PurgeStreamRequest{To: &trestlev1.PurgeStreamRequest_Time{Time: t.UnixNano()}}, partitions)
}

func (s *Stream) purge(ctx context.Context, req *trestlev1.PurgeStreamRequest, partitions []int) ([]Purged, error) {
	req.Name = s.name
	for _, id := range partitions {
		n, err := partitionNumber(id)
		if err != nil {
			return nil, err
		}
		req.Partitions = append(req.Partitions, n)
	}
	if err := s.client.begin(); err != nil {
		return nil, err
	}
	defer s.client.end()
	resp, err := s.client.streams.PurgeStream(ctx, req)
	if err != nil {
		return nil, callError(fmt.Sprintf("purge stream %q", s.name), err)
	}
	var purged []Purged
	for _, p := range resp.GetPartitions() {
		purged = append(purged, Purged{Partition: int(p.GetPartition()), LogStart: p.GetLogStart(), PreviousLogStart: p.GetPreviousLogStart()})
	}
	return purged, nil
}

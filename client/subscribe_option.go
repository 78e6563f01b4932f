package client

import (
	"math"
	"slices"
	"time"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// SubscribeOption of Subscribe.
type SubscribeOption func(*subscribing)

// subscribing is what the options of Subscribe set.
type subscribing struct {
	start      *trestlev1.Position
	stop       *trestlev1.Position // nil: never
	backwards  bool
	partitions []int // nil: all
	onGap      func(partition int, g Gap)
}

// FromNew begins with what is published after Subscribe has returned. It is the default, but for Backwards.
func FromNew() SubscribeOption {
	return from(&trestlev1.Position{At: &trestlev1.Position_NewOnly{NewOnly: true}})
}

// FromEarliest begins with the oldest message there is.
func FromEarliest() SubscribeOption {
	return from(&trestlev1.Position{At: &trestlev1.Position_Earliest{Earliest: true}})
}

// FromLatest begins with the newest message there is.
func FromLatest() SubscribeOption {
	return from(&trestlev1.Position{At: &trestlev1.Position_Latest{Latest: true}})
}

// FromOffset begins with the message of that offset, in one partition. An offset that retention has deleted is
// ErrOffsetGone, one above the next offset is ErrOffsetBeyondEnd; the next offset itself waits for its message.
func FromOffset(offset int64) SubscribeOption { return from(atOffset(offset)) }

// FromTime begins with the first message stored at t or later.
func FromTime(t time.Time) SubscribeOption { return from(atTime(t)) }

// FromAgo is FromTime of so long before the call to Subscribe.
func FromAgo(d time.Duration) SubscribeOption {
	return func(s *subscribing) { s.start = atTime(time.Now().Add(-d)) }
}

// FromLast begins so many messages before the end, in each partition.
func FromLast(n int) SubscribeOption {
	return from(&trestlev1.Position{At: &trestlev1.Position_Last{Last: uint64(max(n, 0))}})
}

// FromCursor begins at the stored position of that ID, in each partition. It is ErrCursorNotFound where there is none, and
// ErrTruncated where the message before it is not the one that had been read.
func FromCursor(id string) SubscribeOption {
	return from(&trestlev1.Position{At: &trestlev1.Position_Cursor{Cursor: id}})
}

// UntilLatest stops at the end as it was when Subscribe was called.
func UntilLatest() SubscribeOption {
	return until(&trestlev1.Position{At: &trestlev1.Position_Latest{Latest: true}})
}

// UntilOffset stops before the message of that offset, in one partition.
func UntilOffset(offset int64) SubscribeOption { return until(atOffset(offset)) }

// UntilTime stops before the first message stored at t or later.
func UntilTime(t time.Time) SubscribeOption { return until(atTime(t)) }

// Backwards reads from the start position, by default the newest message, to older ones.
func Backwards() SubscribeOption {
	return func(s *subscribing) { s.backwards = true }
}

// Partitions reads those partitions only. The default is all that the stream has when Subscribe is called.
func Partitions(ids ...int) SubscribeOption {
	ids = slices.Clone(ids)
	return func(s *subscribing) { s.partitions = ids }
}

// OnGap has f told of places where messages are missing. It is called by Next, Messages and Batches, when they come to
// that place, in the goroutine that called them.
func OnGap(f func(partition int, g Gap)) SubscribeOption {
	return func(s *subscribing) { s.onGap = f }
}

func from(p *trestlev1.Position) SubscribeOption {
	return func(s *subscribing) { s.start = p }
}

func until(p *trestlev1.Position) SubscribeOption {
	return func(s *subscribing) { s.stop = p }
}

func atOffset(offset int64) *trestlev1.Position {
	return &trestlev1.Position{At: &trestlev1.Position_Offset{Offset: offset}}
}

func atTime(t time.Time) *trestlev1.Position {
	return &trestlev1.Position{At: &trestlev1.Position_Time{Time: unixNano(t)}}
}

// unixNano is t in nanoseconds, or, where they do not go so far, the first or last of them: nothing was stored beyond.
func unixNano(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	default:
		return t.UnixNano()
	}
}

package liftbridge

import (
	"math"

	"google.golang.org/grpc/codes"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// span is what a subscription reads: inclusive offsets became exclusive ends here.
type span struct {
	options partition.ReadOptions
	stops   bool // somewhere, and not at the end of a read-only partition alone
}

// ends of a partition, exclusive.
type ends struct{ logStart, highWatermark int64 }

// toSpan is what the request asks of a partition with those ends.
func toSpan(req *liftbridgepb.SubscribeRequest, at ends) (*span, error) {
	s := &span{options: partition.ReadOptions{Plain: true, Backwards: req.GetReverse()}}
	start, err := toStart(req, at)
	if err != nil {
		return nil, err
	}
	stop, err := toStop(req, at)
	if err != nil {
		return nil, err
	}
	s.options.Start, s.options.Stop = start, stop
	s.stops = req.GetStopPosition() != liftbridgepb.StopPosition_STOP_ON_CANCEL
	if req.GetReverse() {
		return s, s.turn(req, at)
	}
	if start.Kind == partition.AtOffset && stop.Kind == partition.AtOffset && stop.Offset <= start.Offset {
		return nil, invalid("Stop offset is before start offset: %d < %d", stop.Offset-1, start.Offset)
	}
	return s, nil
}

// toStart is where a subscription begins. An offset that is gone becomes the oldest that is there, one that is not there yet
// the next one that will be committed.
func toStart(req *liftbridgepb.SubscribeRequest, at ends) (partition.Place, error) {
	switch req.GetStartPosition() {
	case liftbridgepb.StartPosition_NEW_ONLY:
		return offset(at.highWatermark), nil
	case liftbridgepb.StartPosition_OFFSET:
		return offset(min(max(req.GetStartOffset(), at.logStart), at.highWatermark)), nil
	case liftbridgepb.StartPosition_EARLIEST:
		return offset(at.logStart), nil
	case liftbridgepb.StartPosition_LATEST:
		return offset(max(at.highWatermark-1, at.logStart)), nil
	case liftbridgepb.StartPosition_TIMESTAMP:
		return partition.Place{Kind: partition.AtTime, Time: min(max(req.GetStartTimestamp(), 0), math.MaxInt64-1)}, nil
	}
	return partition.Place{}, invalid("Unknown StartPosition %d", req.GetStartPosition())
}

// toStop is where a subscription ends. Liftbridge's stop is delivered, ours is not.
func toStop(req *liftbridgepb.SubscribeRequest, at ends) (partition.Place, error) {
	switch req.GetStopPosition() {
	case liftbridgepb.StopPosition_STOP_ON_CANCEL:
		return partition.Place{Kind: partition.AtNever}, nil
	case liftbridgepb.StopPosition_STOP_OFFSET:
		return offset(min(max(req.GetStopOffset(), -1), math.MaxInt64-2) + 1), nil
	case liftbridgepb.StopPosition_STOP_LATEST:
		if at.highWatermark == at.logStart {
			return partition.Place{}, &refusal{codes.ResourceExhausted, asyncInternal, "Stream is empty"}
		}
		return offset(at.highWatermark), nil
	case liftbridgepb.StopPosition_STOP_TIMESTAMP:
		return partition.Place{Kind: partition.AtTime, Time: min(max(req.GetStopTimestamp(), -1), math.MaxInt64-2) + 1}, nil
	}
	return partition.Place{}, invalid("Unknown StopPosition %d", req.GetStopPosition())
}

// turn makes it a span that is read from newer to older messages. Partition's stop is exclusive at the other side then, but
// for times, where it is the oldest that is delivered.
func (s *span) turn(req *liftbridgepb.SubscribeRequest, at ends) error {
	o := &s.options
	if o.Start.Kind == partition.AtOffset {
		newest := at.highWatermark - 1
		if req.GetStartPosition() == liftbridgepb.StartPosition_OFFSET {
			newest = min(req.GetStartOffset(), newest)
		} else if req.GetStartPosition() == liftbridgepb.StartPosition_EARLIEST {
			newest = min(at.logStart, newest)
		}
		o.Start = offset(max(newest, at.logStart))
	}
	switch req.GetStopPosition() {
	case liftbridgepb.StopPosition_STOP_OFFSET:
		oldest := max(req.GetStopOffset(), at.logStart)
		if o.Start.Kind == partition.AtOffset && oldest > o.Start.Offset {
			return invalid("Stop offset is before start offset: %d > %d, and the subscription is reversed", oldest, o.Start.Offset)
		}
		o.Stop = offset(oldest - 1)
	case liftbridgepb.StopPosition_STOP_LATEST:
		o.Stop = offset(max(at.highWatermark-2, -1))
	case liftbridgepb.StopPosition_STOP_TIMESTAMP:
		o.Stop.Time--
	case liftbridgepb.StopPosition_STOP_ON_CANCEL:
	}
	return nil
}

func offset(n int64) partition.Place { return partition.Place{Kind: partition.AtOffset, Offset: n} }

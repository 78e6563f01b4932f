package rpc

import (
	"context"
	"fmt"
	"math"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Limits of max_response_bytes.
const (
	minChunk = 1 << 10
	maxChunk = 128 << 20
)

// checkRead refuses what no reader can ask for.
func checkRead(req *trestlev1.SubscribeRequest) error {
	if _, ok := trestlev1.View_name[int32(req.GetView())]; !ok {
		return &host.UnimplementedError{Feature: "view " + req.GetView().String()}
	}
	if n := req.GetMaxResponseBytes(); n > maxChunk || n > 0 && n < minChunk {
		return &host.InvalidError{Field: "max_response_bytes", Problem: fmt.Sprintf("is %d; use %d to %d, or 0 for the default", n, minChunk, maxChunk)}
	}
	for _, codec := range req.GetAccept() {
		if _, ok := trestlev1.Codec_name[int32(codec)]; !ok {
			return &host.UnimplementedError{Feature: "codec " + codec.String()}
		}
	}
	return nil
}

// readOptions is what the request asks of a partition.
func (s *logService) readOptions(ctx context.Context, req *trestlev1.SubscribeRequest) (partition.ReadOptions, error) {
	o := partition.ReadOptions{
		MaxBytes: int(req.GetMaxResponseBytes()), Backwards: req.GetBackwards(), LeaderEpoch: req.GetLeaderEpoch(),
		Plain: !accepts(req, trestlev1.Codec_CODEC_ZSTD),
	}
	start, epoch, err := s.toPlace(ctx, req, "start", req.GetStart(), partition.AtEnd)
	if err != nil {
		return o, err
	}
	stop, _, err := s.toPlace(ctx, req, "stop", req.GetStop(), partition.AtNever)
	if err != nil {
		return o, err
	}
	if o.LeaderEpoch != 0 && start.Kind != partition.AtOffset {
		return o, &host.InvalidError{Field: "leader_epoch", Problem: "is that of the record before an offset; start at that offset, or leave it out"}
	}
	if o.LeaderEpoch == 0 {
		o.LeaderEpoch = epoch
	}
	o.Start, o.Stop = start, stop
	return o, nil
}

// accepts says whether the reader takes batches as they are packed. Messages and cut batches are never packed.
func accepts(req *trestlev1.SubscribeRequest, codec trestlev1.Codec) bool {
	if req.GetView() == trestlev1.View_VIEW_MESSAGES {
		return false
	}
	for _, c := range req.GetAccept() {
		if c == codec {
			return true
		}
	}
	return false
}

// toPlace converts a position of the API; one that is absent is what absent says. The epoch is that which a cursor knows of
// the record before.
func (s *logService) toPlace(
	ctx context.Context, req *trestlev1.SubscribeRequest, field string, p *trestlev1.Position, absent partition.PlaceKind,
) (place partition.Place, epoch uint64, err error) {
	switch at := p.GetAt().(type) {
	case nil:
		return partition.Place{Kind: absent}, 0, nil
	case *trestlev1.Position_NewOnly:
		return partition.Place{Kind: partition.AtEnd}, 0, nil
	case *trestlev1.Position_Earliest:
		return partition.Place{Kind: partition.AtEarliest}, 0, nil
	case *trestlev1.Position_Latest:
		return partition.Place{Kind: partition.AtLatest}, 0, nil
	case *trestlev1.Position_Last:
		return partition.Place{Kind: partition.AtLast, Last: at.Last}, 0, nil
	case *trestlev1.Position_Offset:
		if at.Offset < 0 {
			return place, 0, &host.InvalidError{Field: field, Problem: fmt.Sprintf("is offset %d; offsets begin at 0", at.Offset)}
		}
		return partition.Place{Kind: partition.AtOffset, Offset: at.Offset}, 0, nil
	case *trestlev1.Position_Time:
		return partition.Place{Kind: partition.AtTime, Time: min(max(at.Time, 0), math.MaxInt64-1)}, 0, nil
	case *trestlev1.Position_Cursor:
		stored, err := s.cursors.get(ctx, at.Cursor, req.GetStream(), req.GetPartition())
		return partition.Place{Kind: partition.AtOffset, Offset: stored.NextOffset}, stored.LeaderEpoch, err
	}
	return place, 0, &host.InvalidError{Field: field, Problem: "is of a kind that this version does not know"}
}

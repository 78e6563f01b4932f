package rpc

import (
	"fmt"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Limits of max_response_bytes.
const (
	minChunk = 1 << 10
	maxChunk = 128 << 20
)

// newReader reads what the request asks for.
func newReader(p *partition.Partition, req *trestlev1.SubscribeRequest) (*partition.Reader, error) {
	switch {
	case req.GetBackwards():
		return nil, &host.UnimplementedError{Feature: "backwards"}
	case req.GetLeaderEpoch() != 0:
		return nil, &host.UnimplementedError{Feature: "leader_epoch"}
	case req.GetView() > trestlev1.View_VIEW_BATCHES || req.GetView() < 0:
		return nil, &host.UnimplementedError{Feature: "view " + req.GetView().String()}
	}
	if n := req.GetMaxResponseBytes(); n > maxChunk || n > 0 && n < minChunk {
		return nil, &host.InvalidError{Field: "max_response_bytes", Problem: fmt.Sprintf("is %d; use %d to %d, or 0 for the default", n, minChunk, maxChunk)}
	}
	start, err := toPlace("start", req.GetStart(), partition.AtEnd)
	if err != nil {
		return nil, err
	}
	stop, err := toPlace("stop", req.GetStop(), partition.AtNever)
	if err != nil {
		return nil, err
	}
	return p.NewReader(start, stop, int(req.GetMaxResponseBytes()))
}

// toPlace converts a position of the API; one that is absent is what absent says.
func toPlace(field string, p *trestlev1.Position, absent partition.PlaceKind) (partition.Place, error) {
	switch at := p.GetAt().(type) {
	case nil:
		return partition.Place{Kind: absent}, nil
	case *trestlev1.Position_NewOnly:
		return partition.Place{Kind: partition.AtEnd}, nil
	case *trestlev1.Position_Earliest:
		return partition.Place{Kind: partition.AtEarliest}, nil
	case *trestlev1.Position_Latest:
		return partition.Place{Kind: partition.AtLatest}, nil
	case *trestlev1.Position_Last:
		return partition.Place{Kind: partition.AtLast, Last: at.Last}, nil
	case *trestlev1.Position_Offset:
		if at.Offset < 0 {
			return partition.Place{}, &host.InvalidError{Field: field, Problem: fmt.Sprintf("is offset %d; offsets begin at 0", at.Offset)}
		}
		return partition.Place{Kind: partition.AtOffset, Offset: at.Offset}, nil
	case *trestlev1.Position_Time:
		return partition.Place{}, &host.UnimplementedError{Feature: field + " at a time"}
	case *trestlev1.Position_Cursor:
		return partition.Place{}, &host.UnimplementedError{Feature: field + " at a cursor"}
	}
	return partition.Place{}, &host.InvalidError{Field: field, Problem: "is of a kind that this version does not know"}
}

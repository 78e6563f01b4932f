package rpc

import (
	"google.golang.org/grpc/codes"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// answer is the outcome of the batches of a PublishStream from first to last.
type answer struct {
	first, last uint64
	to          destination
	ack         partition.Ack
	err         error // nil: ack
	cost        int   // of the stream's window
}

// extend makes the answer hold for the batches of next as well, if the client can tell from it what next says: the records
// follow at once, and were appended in one write.
func (a *answer) extend(next *answer) bool {
	if next.first != a.last+1 || a.err != nil || next.err != nil {
		return false
	}
	x, y := &a.ack, &next.ack
	if a.to.at != next.to.at || a.to.partition != next.to.partition || x.Time != y.Time || x.Epoch != y.Epoch || x.Durable != y.Durable ||
		x.BaseOffset+int64(x.Count) != y.BaseOffset || !plain(x) || !plain(y) {
		return false
	}
	x.Count += y.Count
	a.last, a.cost = next.last, a.cost+next.cost
	return true
}

// plain says whether an ack is of nothing but new records.
func plain(a *partition.Ack) bool {
	return len(a.Duplicates) == 0 && !a.DuplicatesUnknown && a.Time != 0
}

func (s *logService) response(a *answer) *trestlev1.PublishStreamResponse {
	res := &trestlev1.PublishStreamResponse{FirstId: a.first, LastId: a.last}
	if a.err == nil {
		res.Outcome = &trestlev1.PublishStreamResponse_Ack{Ack: toAck(a.to.partition, &a.ack)}
		return res
	}
	err := s.whyEnded(&a.to, a.err)
	m := classify(err)
	text := m.text
	if text == "" {
		text = err.Error()
	}
	res.Outcome = &trestlev1.PublishStreamResponse_Error{Error: &trestlev1.Error{
		Reason: m.reason, Message: text, Names: m.names, OutcomeUnknown: m.code == codes.Unknown,
	}}
	return res
}

package rpc

import (
	"sync"

	"google.golang.org/grpc/codes"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// answer is the outcome of the batches of a PublishStream from first to last.
type answer struct {
	first, last uint64
	ack         *trestlev1.Ack
	err         error // nil: ack
	cost        int   // of the stream's window
}

// answers are those that are to be sent.
type answers struct {
	ready  chan struct{} // holds a token while there are any
	lastID uint64        // of what was received; used by who receives

	mu   sync.Mutex
	list []answer // guarded by mu
}

// add adds an answer, to the last one if it goes on there.
func (a *answers) add(one answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.list); n == 0 || !a.list[n-1].extend(&one) {
		a.list = append(a.list, one)
	}
	select {
	case a.ready <- struct{}{}:
	default:
	}
}

func (a *answers) take() []answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.list
	a.list = nil
	return list
}

// extend makes the answer hold for the batches of next as well, if the client can tell from it what next says: the records
// follow at once, and were appended in one write.
func (a *answer) extend(next *answer) bool {
	if next.first != a.last+1 || a.err != nil || next.err != nil {
		return false
	}
	x, y := a.ack, next.ack
	if x.GetPartition() != y.GetPartition() || x.GetTime() != y.GetTime() || x.GetLeaderEpoch() != y.GetLeaderEpoch() || x.GetDurable() != y.GetDurable() ||
		x.GetBaseOffset()+int64(x.GetCount()) != y.GetBaseOffset() || !plain(x) || !plain(y) {
		return false
	}
	x.Count += y.GetCount()
	a.last, a.cost = next.last, a.cost+next.cost
	return true
}

// plain says whether an ack is of nothing but new records.
func plain(a *trestlev1.Ack) bool {
	return len(a.GetDuplicates()) == 0 && !a.GetDuplicatesUnknown() && a.GetTime() != 0
}

func (a *answer) response() *trestlev1.PublishStreamResponse {
	res := &trestlev1.PublishStreamResponse{FirstId: a.first, LastId: a.last}
	if a.err == nil {
		res.Outcome = &trestlev1.PublishStreamResponse_Ack{Ack: a.ack}
		return res
	}
	m := classify(a.err)
	text := m.text
	if text == "" {
		text = a.err.Error()
	}
	res.Outcome = &trestlev1.PublishStreamResponse_Error{Error: &trestlev1.Error{
		Reason: m.reason, Message: text, Names: m.names, OutcomeUnknown: m.code == codes.Unknown,
	}}
	return res
}

package client_test

import (
	"strconv"

	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// fakeProducer is where a producer stands in a partition: as a server remembers it, but for one batch.
type fakeProducer struct {
	epoch    uint32
	sequence uint32 // of the last batch
	stored   batch.Header
}

func (s *fakeServer) newProducer() (*trestlev1.NewProducerResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	s.producers++
	return &trestlev1.NewProducerResponse{ProducerId: s.producers}, nil
}

// forgetProducers is what time does.
func (l *fakeLog) forgetProducers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbered = nil
}

// storeOnce stores a batch, unless it is one that was stored before.
func (l *fakeLog) storeOnce(req *codec.PublishRequest, h batch.Header) (batch.Header, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if req.ProducerID == 0 {
		return l.store(batch.Append(nil, &h, req.Records))
	}
	p, known := l.numbered[req.ProducerID]
	next := p.sequence + 1
	if !known || req.ProducerEpoch > p.epoch {
		next = 0
	}
	names := map[string]string{"producer_id": strconv.FormatUint(req.ProducerID, 10)}
	switch {
	case known && req.ProducerEpoch < p.epoch:
		return h, answer(codes.FailedPrecondition, "FENCED", "a later epoch has begun", names)
	case known && req.ProducerEpoch == p.epoch && req.ProducerSequence == p.sequence:
		return p.stored, nil
	case !known && req.ProducerSequence != 0:
		return h, answer(codes.Unknown, "OUTCOME_UNKNOWN", "the producer is not known", names)
	case req.ProducerSequence > next:
		return h, answer(codes.FailedPrecondition, "SEQUENCE_GAP", "a batch before it is missing", names)
	case req.ProducerSequence < next:
		return h, answer(codes.Unknown, "OUTCOME_UNKNOWN", "it was answered too long ago", names)
	}
	stored, err := l.store(batch.Append(nil, &h, req.Records))
	if l.numbered == nil {
		l.numbered = map[uint64]fakeProducer{}
	}
	l.numbered[req.ProducerID] = fakeProducer{epoch: req.ProducerEpoch, sequence: req.ProducerSequence, stored: stored}
	return stored, err
}

// values are those of all messages of the log, in order.
func (l *fakeLog) values() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var values []string
	for _, b := range l.batches {
		records, err := b.RecordsOf(b.bytes)
		if err != nil {
			continue
		}
		var r batch.Record
		for range records.Count {
			if _, _, err := records.Next(&r); err == nil {
				values = append(values, string(r.Value))
			}
		}
	}
	return values
}

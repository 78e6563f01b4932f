package client_test

import (
	"strconv"

	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// fakeProducer is where a producer stands in a partition: as a server remembers it.
type fakeProducer struct {
	epoch    uint32
	sequence uint32         // of the last batch
	stored   []batch.Header // of the last batches, five at most, oldest first
}

// repeated is how a batch of the epoch was stored, if it is one of the last.
func (p *fakeProducer) repeated(sequence uint32) (h batch.Header, ok bool) {
	if back := int(p.sequence) - int(sequence); back >= 0 && back < len(p.stored) {
		return p.stored[len(p.stored)-1-back], true
	}
	return h, false
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
	case known && req.ProducerEpoch == p.epoch && req.ProducerSequence <= p.sequence:
		if h, ok := p.repeated(req.ProducerSequence); ok {
			return h, nil
		}
		return h, answer(codes.Unknown, "OUTCOME_UNKNOWN", "it was answered too long ago", names)
	case !known && req.ProducerSequence != 0:
		return h, answer(codes.Unknown, "OUTCOME_UNKNOWN", "the producer is not known", names)
	case req.ProducerSequence > next:
		return h, answer(codes.FailedPrecondition, "SEQUENCE_GAP", "a batch before it is missing", names)
	}
	stored, err := l.store(batch.Append(nil, &h, req.Records))
	if l.numbered == nil {
		l.numbered = map[uint64]fakeProducer{}
	}
	if req.ProducerEpoch > p.epoch {
		p.stored = nil
	}
	last := append(p.stored, stored)
	l.numbered[req.ProducerID] = fakeProducer{epoch: req.ProducerEpoch, sequence: req.ProducerSequence, stored: last[max(0, len(last)-5):]}
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

package rpc

import (
	"context"
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Publish stores a batch.
func (s *logService) Publish(ctx context.Context, req *codec.PublishRequest) (*trestlev1.PublishResponse, error) {
	if err := ctx.Err(); err != nil { // a definite no, and the last chance for one
		return nil, toStatus(err)
	}
	done, err := s.ledger.admitPublish(len(req.Records))
	if err != nil {
		return nil, toStatus(err)
	}
	defer done()
	ack, err := s.publish(ctx, req)
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.PublishResponse{Acks: []*trestlev1.Ack{ack}}, nil
}

// publish checks a batch, stores it and says where.
func (s *logService) publish(ctx context.Context, req *codec.PublishRequest) (*trestlev1.Ack, error) {
	to, b, err := s.prepare(req)
	if err != nil {
		return nil, err
	}
	ack, err := to.at.Publish(ctx, b)
	if err != nil {
		return nil, s.whyEnded(&to, err)
	}
	return toAck(to.partition, &ack), nil
}

// destination is where a batch goes.
type destination struct {
	stream    string
	partition int32
	at        *partition.Partition // nil: nobody knows
}

// prepare checks a batch and finds where it goes.
func (s *logService) prepare(req *codec.PublishRequest) (destination, partition.Batch, error) {
	to := destination{stream: req.Stream}
	if err := s.checkChoice(req); err != nil {
		return to, partition.Batch{}, err
	}
	if req.Partition != nil {
		to.partition = *req.Partition
	} else if stream, err := s.streams.Get(req.Stream); err == nil { // else it is not found below
		if to.partition, err = s.spread.partitionOf(req, len(stream.Partitions)); err != nil {
			return to, partition.Batch{}, err
		}
	}
	p, subjects, err := s.streams.Publishable(to.stream, to.partition)
	if err != nil {
		return to, partition.Batch{}, err
	}
	to.at = p
	b, err := toBatch(req, subjects)
	return to, b, err
}

// checkChoice refuses a partition that was chosen when the stream had another number of them (protocol.md 3.15). A stream
// that is not there is not found later.
func (s *logService) checkChoice(req *codec.PublishRequest) error {
	if req.Partitions == 0 {
		return nil
	}
	stream, err := s.streams.Get(req.Stream)
	if has := len(stream.Partitions); err == nil && int(req.Partitions) != has {
		return &StalePartitionsError{Stream: req.Stream, Had: int(req.Partitions), Has: has}
	}
	return nil
}

// NewProducer gives out a producer id.
func (s *logService) NewProducer(ctx context.Context, _ *trestlev1.NewProducerRequest) (*trestlev1.NewProducerResponse, error) {
	id, err := s.producers.NewProducer(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	return &trestlev1.NewProducerResponse{ProducerId: id}, nil
}

func toAck(id int32, ack *partition.Ack) *trestlev1.Ack {
	answer := &trestlev1.Ack{
		Partition: id, BaseOffset: ack.BaseOffset, Count: uint32(ack.Count), Time: ack.Time, LeaderEpoch: ack.Epoch,
		Durable: ack.Durable, DuplicatesUnknown: ack.DuplicatesUnknown,
	}
	for _, d := range ack.Duplicates {
		answer.Duplicates = append(answer.Duplicates, &trestlev1.Duplicate{Index: uint32(d.Index), Offset: d.Offset})
	}
	return answer
}

// whyEnded tells a partition that was closed, because its stream was deleted or another broker leads it now, from one that
// closes with the broker.
func (s *logService) whyEnded(to *destination, err error) error {
	if to.at == nil || !errors.Is(err, partition.ErrClosed) && !errors.Is(err, commitlog.ErrClosed) || s.running.Err() != nil {
		return placed(to, err)
	}
	now, findErr := s.streams.PartitionOf(to.stream, to.partition)
	switch {
	case findErr != nil:
		return findErr
	case now != to.at: // the name was given again, or the partition is led anew
		return &host.NotLedError{Stream: to.stream, Partition: to.partition}
	default:
		return err
	}
}

// toBatch checks what a client sent to a stream that records the subjects.
func toBatch(req *codec.PublishRequest, subjects []string) (partition.Batch, error) {
	var none partition.Batch
	if err := checkFields(req); err != nil {
		return none, err
	}
	crc := batch.Checksum(req.Records)
	if req.RecordsCRC != nil && *req.RecordsCRC != crc {
		return none, &host.InvalidError{Field: "records_crc", Problem: fmt.Sprintf("is %08x and the records that arrived have %08x; send them again", *req.RecordsCRC, crc)}
	}
	summary, err := batch.CheckRecords(req.Records, func(r *batch.Record) error {
		if r.SchemaID != 0 {
			return &host.UnimplementedError{Feature: "schema_id"}
		}
		return checkSubject(r.Subject, subjects)
	})
	if errors.As(err, new(*host.UnimplementedError)) {
		return none, err
	}
	if err != nil {
		return none, &host.InvalidError{Field: "records", Problem: fmt.Sprintf("cannot be stored: %v", err)}
	}
	if err := checkSize(req.Records, &summary); err != nil {
		return none, err
	}
	b := partition.Batch{
		Records: req.Records, Framed: req.Framed, Count: summary.Count, Checksum: crc, Expected: req.ExpectedNextOffset,
		ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch, ProducerSeq: req.ProducerSequence,
		LargestRecord: summary.LargestRecord,
		WhenWritten:   req.Ack == trestlev1.AckPolicy_ACK_POLICY_NONE,
	}
	if summary.HasMessageIDs {
		b.Attributes |= batch.HasMessageIDs
	}
	return b, nil
}

// checkFields refuses what no request can be.
func checkFields(req *codec.PublishRequest) error {
	if req.Unknown != 0 {
		return unknownField("PublishRequest", req.Unknown)
	}
	if req.ProducerID == 0 && (req.ProducerSequence != 0 || req.ProducerEpoch != 0) {
		return &host.InvalidError{Field: "producer_id", Problem: "is missing for a batch with a producer epoch or sequence; ask for one with NewProducer"}
	}
	if req.ExpectedNextOffset != nil && *req.ExpectedNextOffset < 0 {
		return &host.InvalidError{Field: "expected_next_offset", Problem: fmt.Sprintf("is %d; offsets begin at 0", *req.ExpectedNextOffset)}
	}
	if _, ok := trestlev1.AckPolicy_name[int32(req.Ack)]; !ok {
		return &host.InvalidError{Field: "ack", Problem: fmt.Sprintf("is %d, which is no policy; use NONE, LEADER or ALL", req.Ack)}
	}
	return nil
}

// checkSubject refuses a subject on which the stream would not record a plain message. A record without one has that of
// its partition.
func checkSubject(subject []byte, patterns []string) error {
	if len(subject) == 0 {
		return nil
	}
	if err := names.Literal(string(subject)); err != nil {
		return err
	}
	for _, pattern := range patterns {
		if names.Matches(pattern, string(subject)) {
			return nil
		}
	}
	return fmt.Errorf("the stream does not record subject %q; it records %q", subject, patterns)
}

// recordOverhead is what a record of the largest size may have besides key, value and headers.
const recordOverhead = names.MaxSubjectLength + 64

func checkSize(records []byte, s *batch.Summary) error {
	if s.LargestRecord > host.MaxMessageBytes+recordOverhead {
		return &TooLargeError{What: "a message", SizeBytes: s.LargestRecord, LimitBytes: host.MaxMessageBytes}
	}
	if s.Count > 1 && len(records) > partition.MaxBatchBytes-batch.HeaderSize {
		return &TooLargeError{What: "a batch of several messages", SizeBytes: len(records), LimitBytes: partition.MaxBatchBytes - batch.HeaderSize}
	}
	return nil
}

package liftbridge

import (
	"context"
	"errors"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// target is where messages are published to.
type target struct {
	stream    metadata.Stream
	number    int32
	partition *partition.Partition
}

// target finds a partition and resumes it if it is paused.
func (s *Service) target(ctx context.Context, name string, number int32) (*target, error) {
	if name == "" {
		return nil, invalid("no stream provided")
	}
	p, _, err := s.config.Streams.Publishable(name, number)
	var mode *host.ModeError
	if errors.As(err, &mode) && !mode.ReadOnly {
		if err := s.resume(ctx, name, number); err != nil {
			return nil, err
		}
		p, _, err = s.config.Streams.Publishable(name, number)
	}
	if err != nil {
		return nil, err
	}
	stream, err := s.config.Streams.Get(name)
	return &target{stream: stream, number: number, partition: p}, err
}

// expectsOffsets says whether publishers to the stream may name the offset that their message must get.
func (t *target) expectsOffsets() bool { return t.stream.Config.GetRequireExpectedOffset() }

// request is a message that is to be stored, checked and encoded.
type request struct {
	*liftbridgepb.PublishRequest
	record   []byte
	summary  batch.Summary
	expected *int64
}

// request checks a message for its target.
func (t *target) request(req *liftbridgepb.PublishRequest) (*request, error) {
	if _, ok := liftbridgepb.AckPolicy_name[int32(req.GetAckPolicy())]; !ok {
		return nil, invalid("Unknown AckPolicy %d", req.GetAckPolicy())
	}
	r := &request{PublishRequest: req, record: encode(req)}
	if t.expectsOffsets() {
		if req.GetAckPolicy() == liftbridgepb.AckPolicy_NONE {
			return nil, invalid("stream with concurrency control must have AckPolicy set")
		}
		if expected := req.GetExpectedOffset(); expected != -1 {
			r.expected = &expected
		}
	}
	var err error
	if r.summary, err = batch.CheckRecords(r.record, nil); err != nil {
		return nil, invalid("message cannot be stored: %v", err)
	}
	return r, nil
}

// encode makes the record. Without a subject it has that of its partition. An empty value is an empty value.
func encode(req *liftbridgepb.PublishRequest) []byte {
	r := batch.Record{Value: req.GetValue()}
	if len(req.GetKey()) > 0 {
		r.Key = req.GetKey()
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	for _, name := range slices.Sorted(maps.Keys(req.GetHeaders())) {
		r.Headers = append(r.Headers, batch.HeaderField{Name: []byte(name), Value: req.GetHeaders()[name]})
	}
	return batch.AppendRecord(nil, &r)
}

// publish stores messages as one batch, in their order, and returns the acks.
func (s *Service) publish(ctx context.Context, t *target, all []*request) ([]*liftbridgepb.Ack, error) {
	b := partition.Batch{Count: len(all), WhenWritten: true, Expected: all[0].expected}
	for _, r := range all {
		b.Records = append(b.Records, r.record...)
		b.LargestRecord = max(b.LargestRecord, r.summary.LargestRecord)
		if r.summary.HasMessageIDs {
			b.Attributes |= batch.HasMessageIDs
		}
		b.WhenWritten = b.WhenWritten && r.GetAckPolicy() == liftbridgepb.AckPolicy_NONE
	}
	b.Checksum = batch.Checksum(b.Records)
	stored, err := t.partition.Publish(ctx, b)
	if err != nil {
		return nil, s.whyRefused(t, err)
	}
	acks := make([]*liftbridgepb.Ack, len(all))
	duplicates, next := stored.Duplicates, stored.BaseOffset
	for i, r := range all {
		at := next
		if len(duplicates) > 0 && duplicates[0].Index == i {
			at, duplicates = duplicates[0].Offset, duplicates[1:]
		} else {
			next++
		}
		acks[i] = s.ack(t, r.PublishRequest, at, stored.Time)
	}
	return acks, nil
}

// whyRefused tells a partition that was closed, because its stream is gone or led anew, from one that closes with the broker.
func (s *Service) whyRefused(t *target, err error) error {
	if !errors.Is(err, partition.ErrClosed) && !errors.Is(err, commitlog.ErrClosed) || s.running.Err() != nil {
		return err
	}
	if _, ok := s.config.Metadata.State().StreamByID(t.stream.ID); !ok {
		return &host.StreamNotFoundError{Stream: t.stream.Name()}
	}
	return err
}

func (s *Service) ack(t *target, req *liftbridgepb.PublishRequest, offset, time int64) *liftbridgepb.Ack {
	now := s.config.Now().UnixNano()
	if time == 0 { // it was stored before
		time = now
	}
	subject := subjectOf(t.stream, t.number)
	return &liftbridgepb.Ack{
		Stream: t.stream.Name(), PartitionSubject: subject, MsgSubject: subject, Offset: offset, AckInbox: req.GetAckInbox(),
		CorrelationId: req.GetCorrelationId(), AckPolicy: req.GetAckPolicy(), ReceptionTimestamp: time, CommitTimestamp: now,
	}
}

// Publish stores a message. It answers without an ack, and waits for no more than that the message is written, if none is
// asked for or the call has no deadline.
func (s *Service) Publish(ctx context.Context, req *liftbridgepb.PublishRequest) (*liftbridgepb.PublishResponse, error) {
	ack, err := s.publishOne(ctx, req)
	if err != nil {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.PublishResponse{Ack: ack, CorrelationId: req.GetCorrelationId()}, nil
}

func (s *Service) publishOne(ctx context.Context, req *liftbridgepb.PublishRequest) (*liftbridgepb.Ack, error) {
	t, err := s.target(ctx, req.GetStream(), req.GetPartition())
	if err != nil {
		return nil, err
	}
	r, err := t.request(req)
	if err != nil {
		return nil, err
	}
	if err := s.inFlight.enter(ctx, len(r.record)); err != nil {
		return nil, err
	}
	defer s.inFlight.leave(len(r.record))
	_, waits := ctx.Deadline()
	waits = waits && req.GetAckPolicy() != liftbridgepb.AckPolicy_NONE
	if !waits {
		ctx = context.WithoutCancel(ctx)
		written := *r
		written.PublishRequest = &liftbridgepb.PublishRequest{AckPolicy: liftbridgepb.AckPolicy_NONE}
		_, err := s.publish(ctx, t, []*request{&written})
		return nil, err
	}
	acks, err := s.publish(ctx, t, []*request{r})
	if err != nil {
		return nil, err
	}
	s.tellInbox(acks[0])
	return acks[0], nil
}

// tellInbox sends an ack to the inbox that its publisher named, too.
func (s *Service) tellInbox(a *liftbridgepb.Ack) {
	if a.GetAckInbox() == "" || !answerable(a.GetAckInbox()) || a.GetAckPolicy() == liftbridgepb.AckPolicy_NONE {
		return
	}
	frame := envelope.Ack{
		Stream: []byte(a.GetStream()), PartitionSubject: []byte(a.GetPartitionSubject()), Subject: []byte(a.GetMsgSubject()),
		Offset: a.GetOffset(), AckInbox: []byte(a.GetAckInbox()), CorrelationID: []byte(a.GetCorrelationId()),
		AckPolicy: envelope.AckPolicy(a.GetAckPolicy()), ReceptionTime: a.GetReceptionTimestamp(), CommitTime: a.GetCommitTimestamp(),
	}
	encoded, err := frame.Marshal()
	if err == nil {
		err = s.config.Subjects.Publish(a.GetAckInbox(), encoded)
	}
	if err != nil { // who waits for it and gets none does not know the outcome
		s.config.Logger.Debug("an ack was not sent", "inbox", a.GetAckInbox(), "error", err)
	}
}

// answerable says whether acks go to that subject (protocol.md 2.11).
func answerable(inbox string) bool { return inbox[0] != '$' && literal(inbox) }

// PublishToSubject publishes an envelope over NATS and returns the first ack, of whichever stream (protocol.md 4.8); none if
// the call has no deadline, or asks for none.
func (s *Service) PublishToSubject(
	ctx context.Context, req *liftbridgepb.PublishToSubjectRequest,
) (*liftbridgepb.PublishToSubjectResponse, error) {
	ack, err := s.publishToSubject(ctx, req)
	if err != nil {
		return nil, toRefusal(err)
	}
	return &liftbridgepb.PublishToSubjectResponse{Ack: ack}, nil
}

func (s *Service) publishToSubject(ctx context.Context, req *liftbridgepb.PublishToSubjectRequest) (*liftbridgepb.Ack, error) {
	subject := req.GetSubject()
	if !literal(subject) || subject[0] == '$' {
		return nil, invalid("Subject is invalid: %q; name one without wildcards that does not begin with $", subject)
	}
	frame := func(inbox string) ([]byte, error) {
		m := envelope.Message{
			Key: req.GetKey(), Value: req.GetValue(), AckInbox: []byte(inbox), CorrelationID: []byte(req.GetCorrelationId()),
			AckPolicy: envelope.AckPolicy(req.GetAckPolicy()), Expect: envelope.ExpectOffset(-1),
		}
		for _, name := range slices.Sorted(maps.Keys(req.GetHeaders())) {
			m.Headers = append(m.Headers, envelope.Header{Name: []byte(name), Value: req.GetHeaders()[name]})
		}
		encoded, err := m.Marshal()
		if err != nil {
			return nil, invalid("message cannot be published: %v", err)
		}
		return encoded, nil
	}
	if _, waits := ctx.Deadline(); !waits || req.GetAckPolicy() == liftbridgepb.AckPolicy_NONE {
		encoded, err := frame(req.GetAckInbox())
		if err == nil {
			err = s.config.Subjects.Publish(subject, encoded)
		}
		return nil, err
	}
	answer, err := s.config.Subjects.Request(ctx, subject, frame)
	if err != nil {
		return nil, err
	}
	parsed, err := envelope.ParseAck(answer)
	if err != nil {
		return nil, &refusal{codes.Unknown, asyncUnknown, "what came as an ack is none: " + err.Error()}
	}
	ack := toAck(&parsed)
	if inbox := req.GetAckInbox(); inbox != "" {
		ack.AckInbox = inbox
		s.tellInbox(ack)
	}
	return ack, nil
}

// toAck is an ack of an envelope as gRPC has it. Errors that Liftbridge does not know are Unknown.
func toAck(a *envelope.Ack) *liftbridgepb.Ack {
	ack := &liftbridgepb.Ack{
		Stream: valid(string(a.Stream)), PartitionSubject: valid(string(a.PartitionSubject)), MsgSubject: valid(string(a.Subject)),
		Offset: a.Offset, AckInbox: valid(string(a.AckInbox)), CorrelationId: valid(string(a.CorrelationID)),
		AckPolicy: liftbridgepb.AckPolicy(a.AckPolicy), ReceptionTimestamp: a.ReceptionTime, CommitTimestamp: a.CommitTime,
		AckError: liftbridgepb.Ack_Error(a.Error),
	}
	if a.Error >= envelope.FirstExtension {
		ack.AckError = liftbridgepb.Ack_UNKNOWN
	}
	return ack
}

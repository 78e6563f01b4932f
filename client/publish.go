package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Publish publishes one message. It returns when the message is as safe as the policy says, by default AckAll. An error
// means that it is not stored; ErrOutcomeUnknown, that it may or may not be.
func (s *Stream) Publish(ctx context.Context, value []byte, opts ...PublishOption) (Ack, error) {
	return s.PublishMessage(ctx, Message{Value: value}, opts...)
}

// PublishMessage is Publish for a message with all that it can have. Options come on top: a key, subject or ID takes
// the place of the message's own, headers are added to it.
func (s *Stream) PublishMessage(ctx context.Context, m Message, opts ...PublishOption) (Ack, error) {
	return s.PublishBatch(ctx, []Message{m}, opts...)
}

// PublishBatch publishes messages as one batch: in one partition, one behind the other, stored whole or not at all (but
// for messages whose ID was stored before, which are left out). A batch may have up to 1 MiB, or one message. Messages whose
// keys or IDs belong to several partitions are refused, unless To or PartitionBy says where they go: see PublishEach.
func (s *Stream) PublishBatch(ctx context.Context, messages []Message, opts ...PublishOption) (Ack, error) {
	p, err := s.publishing(messages, opts)
	if err != nil {
		return Ack{}, err
	}
	return s.publish(ctx, p, messages)
}

// publishing is what the options say, checked.
func (s *Stream) publishing(messages []Message, opts []PublishOption) (*publishing, error) {
	p := new(publishing)
	for _, opt := range opts {
		opt(p)
	}
	return p, p.check(s.name, messages)
}

// publish publishes one batch: again, if its partition was chosen by a key when the stream had fewer of them.
func (s *Stream) publish(ctx context.Context, p *publishing, messages []Message) (Ack, error) {
	if err := s.client.begin(); err != nil {
		return Ack{}, err
	}
	defer s.client.end()
	ack, err := s.publishOnce(ctx, p, messages)
	if !errors.Is(err, ErrStalePartitions) {
		return ack, err
	}
	s.known.Store(nil)
	if p.by == nil {
		return Ack{}, err
	}
	return s.publishOnce(ctx, p, messages)
}

func (s *Stream) publishOnce(ctx context.Context, p *publishing, messages []Message) (Ack, error) {
	if p.by != nil {
		if err := p.choose(ctx, s, &messages[0]); err != nil {
			return Ack{}, err
		}
	}
	records, err := p.encode(ctx, s, messages)
	if err != nil {
		return Ack{}, err
	}
	crc := batch.Checksum(records)
	req := &codec.PublishRequest{
		Stream: s.name, Partition: p.partition, Records: records, RecordsCRC: &crc,
		Ack: p.ack, ExpectedNextOffset: p.expectNext, Partitions: p.chosenOf,
	}
	if len(records) > maxStreamed {
		return s.send(ctx, req)
	}
	return s.await(ctx, &shipment{req: req, count: len(messages)})
}

// maxStreamed is how large a batch may be to go over the standing stream, where others wait behind it; a larger one has a
// call of its own.
const maxStreamed = 256 << 10

// await sends one batch over the standing stream, and waits for what becomes of it.
func (s *Stream) await(ctx context.Context, batch *shipment) (Ack, error) {
	if err := ctx.Err(); err != nil {
		return Ack{}, publishError(doing(batch), status.FromContextError(err).Err(), false)
	}
	type outcome struct {
		ack Ack
		err error
	}
	outcomes := make(chan outcome, 1)
	batch.done = func(ack Ack, err error) { outcomes <- outcome{ack, err} }
	s.client.single.ship(batch)
	select {
	case o := <-outcomes:
		return o.ack, o.err
	case <-ctx.Done():
	}
	sent := s.client.single.drop(batch)
	select {
	case o := <-outcomes:
		return o.ack, o.err
	default:
		return Ack{}, publishError(doing(batch), status.FromContextError(ctx.Err()).Err(), sent)
	}
}

func (p *publishing) check(stream string, messages []Message) error {
	switch {
	case p.err != nil:
		return p.err
	case !utf8.ValidString(stream):
		return newError(reasonInvalidArgument, "publish to stream %q: no stream has such a name", stream)
	case len(messages) == 0:
		return newError(reasonInvalidArgument, "publish to stream %q: a batch without messages; give it at least one", stream)
	case p.by != nil && p.partition != nil:
		return newError(reasonInvalidArgument, "publish to stream %q: To and PartitionBy both choose the partition; leave one out", stream)
	case len(messages) > 1 && p.id != nil:
		return newError(reasonInvalidArgument,
			"publish to stream %q: one ID for %d messages; give each its own header %s", stream, len(messages), batch.MessageIDHeader)
	}
	return nil
}

// choose has the partitioner choose a partition by the message as it will be stored.
func (p *publishing) choose(ctx context.Context, s *Stream, m *Message) error {
	known, err := s.shape(ctx)
	if err != nil {
		return err
	}
	stored := *m
	if p.key != nil {
		stored.Key = p.key
	}
	if p.id != nil {
		stored.Headers = []HeaderField{{Name: batch.MessageIDHeader, Value: p.id}}
	}
	n, err := s.partitionFor(p.by, &stored, known.partitions)
	p.partition, p.chosenOf = &n, 0
	if _, byName := p.by.(*byHash); byName && (stored.Key != nil || stored.id() != nil) {
		p.chosenOf = uint32(known.partitions)
	}
	return err
}

// encode makes the records of a batch, if the server takes it. Nobody may change them afterwards: gRPC sends them as they
// are.
func (p *publishing) encode(ctx context.Context, s *Stream, messages []Message) ([]byte, error) {
	const overhead = 16 // tags and lengths of a record without headers
	size := 0
	for i := range messages {
		m := &messages[i]
		size += overhead + len(m.Key) + len(m.Value) + len(m.Subject) + len(m.Reply)
	}
	var r batch.Record
	records := make([]byte, 0, size)
	for i := range messages {
		p.record(&r, &messages[i])
		if n := recordSize(&r); n > maxStreamed {
			if err := s.fits(ctx, n); err != nil {
				return nil, err
			}
		}
		records = batch.AppendRecord(records, &r)
	}
	if len(messages) > 1 && len(records) > parcelBytes {
		return nil, tooLarge(int64(len(records)), parcelBytes, "publish to stream %q: a batch of %d messages with %d bytes, and one takes %d; use several, or a Producer, which makes them",
			s.name, len(messages), len(records), parcelBytes)
	}
	return records, nil
}

// recordSize is Message.size of what is stored.
func recordSize(r *batch.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return int64(n)
}

// record sets r to what is stored of m.
func (p *publishing) record(r *batch.Record, m *Message) {
	*r = batch.Record{
		Key: m.Key, Value: m.Value, Headers: r.Headers[:0],
		Subject: append(r.Subject[:0], m.Subject...), Reply: append(r.Reply[:0], m.Reply...), Tombstone: m.Tombstone,
	}
	if p.key != nil {
		r.Key = p.key
	}
	if p.subject != "" {
		r.Subject = append(r.Subject[:0], p.subject...)
	}
	for i := range m.Headers {
		if p.id == nil || m.Headers[i].Name != batch.MessageIDHeader {
			r.Headers = append(r.Headers, batch.HeaderField{Name: []byte(m.Headers[i].Name), Value: m.Headers[i].Value})
		}
	}
	r.Headers = append(r.Headers, p.headers...)
	if p.id != nil {
		r.Headers = append(r.Headers, batch.HeaderField{Name: []byte(batch.MessageIDHeader), Value: p.id})
	}
}

// send sends one batch and tells a definite no from an outcome that nobody knows.
func (s *Stream) send(ctx context.Context, req *codec.PublishRequest, opts ...grpc.CallOption) (Ack, error) {
	doing := fmt.Sprintf("publish to stream %q", s.name)
	var resp trestlev1.PublishResponse
	var sentTo peer.Peer
	opts = append(opts, grpc.Peer(&sentTo))
	err := s.client.conn.Invoke(ctx, trestlev1.LogService_Publish_FullMethodName, req, &resp, opts...)
	if err != nil {
		return Ack{}, publishError(doing, err, sentTo.Addr != nil)
	}
	switch acks := resp.GetAcks(); {
	case len(acks) == 1:
		return ackFromProto(s.name, acks[0]), nil
	case len(acks) == 0 && req.Ack == trestlev1.AckPolicy_ACK_POLICY_NONE:
		return Ack{Stream: s.name, Partition: -1, Offset: -1}, nil
	default:
		return Ack{}, newError(reasonOutcomeUnknown,
			"%s: the server answered one batch with %d acks; read the stream to see what is stored", doing, len(acks))
	}
}

// publishError is callError where the batch cannot have been stored: it never left for a server, or a server said no.
// In any other case the outcome is not known, and the error is of no other kind, lest someone takes it for a no.
func publishError(doing string, err error, sent bool) error {
	failure := callError(doing, err)
	if !sent || errors.Is(failure, ErrOutcomeUnknown) || saysNo(err, failure) {
		return failure
	}
	cause := err
	for _, done := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(failure, done) {
			cause = done
		}
	}
	return outcomeUnknown(failure).because(cause)
}

func outcomeUnknown(failure error) *Error {
	return newError(reasonOutcomeUnknown,
		"%v; what was published may or may not be stored: read the stream to see, or publish with an ID, which is safe to repeat", failure)
}

// saysNo is true of what a server answers when it has not stored a batch and will not: a reason of its own, unless that
// is a fault or the end of the call, or a code with which gRPC refuses a call before a service sees it.
func saysNo(err, failure error) bool {
	st := status.Convert(err)
	if answerIn(st) != nil {
		return !errors.Is(failure, ErrInternal) && !errors.Is(failure, context.Canceled) && !errors.Is(failure, context.DeadlineExceeded)
	}
	switch st.Code() {
	case codes.Unimplemented, codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.ResourceExhausted:
		return true
	default:
		return false
	}
}

func partitionNumber(partition int) (int32, error) {
	if partition < 0 || partition > math.MaxInt32 {
		return 0, newError(reasonInvalidArgument, "partition %d: partitions are numbered from 0", partition)
	}
	return int32(partition), nil
}

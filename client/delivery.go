package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// attemptTime bounds one call: a server that has not answered by then is asked again.
const attemptTime = 30 * time.Second

// identity is the id of a producer, asked for when it is needed first.
type identity struct {
	mu sync.Mutex
	id uint64 // 0: not known yet
}

// get asks for the id, if nobody has done that. An error means that no id was used.
func (i *identity) get(ctx context.Context, s *Stream) (uint64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.id != 0 {
		return i.id, nil
	}
	resp, err := trestlev1.NewLogServiceClient(s.client.conn).NewProducer(ctx, &trestlev1.NewProducerRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return 0, callError(fmt.Sprintf("begin a producer for stream %q", s.name), err)
	}
	if resp.GetProducerId() == 0 {
		return 0, newError(reasonInternal, "begin a producer for stream %q: the server gave it no id", s.name)
	}
	i.id = resp.GetProducerId()
	return i.id, nil
}

// delivery is the sending of one batch, by as many attempts as it takes.
type delivery struct {
	*lane
	parcel  *parcel
	unknown bool      // an attempt may have stored it, under the number that it still has
	failed  time.Time // when it failed first; zero: never
	pauses  int
}

// deliver sends a batch until it is stored, or is certain not to be, or it can no longer be waited for.
func (l *lane) deliver(b *parcel) (Ack, error) {
	d := delivery{lane: l, parcel: b}
	for {
		ack, err := d.attempt()
		if err == nil {
			l.sequence++
			return ack, nil
		}
		if !d.again(err) {
			return Ack{}, d.given(err)
		}
	}
}

func (d *delivery) attempt() (Ack, error) {
	ctx, cancel := context.WithTimeout(d.producer.stopping, attemptTime)
	defer cancel()
	s := d.producer.stream
	id, err := d.producer.identity.get(ctx, s)
	if err != nil {
		return Ack{}, err
	}
	crc := batch.Checksum(d.parcel.records)
	return s.send(ctx, &codec.PublishRequest{
		Stream: s.name, Partition: &d.partition, Records: d.parcel.records, RecordsCRC: &crc, Ack: d.producer.policy,
		ProducerID: id, ProducerEpoch: d.epoch, ProducerSequence: d.sequence,
	}, grpc.WaitForReady(true))
}

// again says whether another attempt is to be made, after the pause that it needs.
func (d *delivery) again(err error) bool {
	var e *Error
	numbered := errors.As(err, &e) && e.Names["producer_id"] != ""
	switch {
	case errors.Is(err, ErrSequenceGap), errors.Is(err, ErrOutcomeUnknown) && numbered && !d.unknown:
		// The server does not have what came before, or does not know. Nothing is stored under this number.
		d.beginEpoch()
		d.unknown = false
	case errors.Is(err, ErrOutcomeUnknown) && numbered:
		return false // nobody will know any more
	case errors.Is(err, ErrOutcomeUnknown):
		d.unknown = true
	case !passes(err):
		return false
	}
	return d.pause()
}

// passes is true of errors that another attempt may not have.
func passes(err error) bool {
	for _, kind := range []error{ErrUnavailable, ErrTooManyInFlight, ErrNotEnoughReplicas, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// pause waits before the next attempt, the longer the more have failed. It is false when there is not to be one.
func (d *delivery) pause() bool {
	now := time.Now()
	if d.failed.IsZero() {
		d.failed = now
	}
	c := d.producer.stream.client
	if now.Sub(d.failed) >= d.producer.cfg.RetryFor || d.producer.stopping.Err() != nil || c.isClosed() {
		return false
	}
	delay := min(leastDelay<<min(d.pauses, 10), mostDelay)
	d.pauses++
	timer := time.NewTimer(delay/2 + rand.N(delay/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.producer.stopping.Done():
		return false
	case <-c.closing:
		return false
	}
}

// given is the error of a batch that is given up. Where it may be stored, it is of no other kind than
// ErrOutcomeUnknown, and a new epoch keeps what is still under way of the old one from being stored later.
func (d *delivery) given(err error) error {
	if !d.unknown && !errors.Is(err, ErrOutcomeUnknown) {
		return err
	}
	d.beginEpoch()
	return newError(reasonOutcomeUnknown, "publish to partition %d of stream %q: %d messages may or may not be stored: read the stream to see; the last attempt: %v",
		d.partition, d.producer.stream.name, d.parcel.count, err)
}

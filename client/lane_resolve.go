package client

import (
	"context"
	"errors"
)

// resolve decides what becomes of the batches of the flight, all of which are answered, the oldest with an error. The
// oldest tells: what stands behind it in the sequence cannot be stored if it is not. It returns those that are given up,
// each with its error; the others are to be sent again, but for those that become stale.
func (l *lane) resolve(r retrying) (given []*parcel) {
	l.failures++
	for _, b := range l.flight {
		if b.failed.IsZero() {
			b.failed = r.now
		}
		b.unknown = b.mayBeStored()
	}
	oldest := l.flight[0]
	switch err := oldest.err; {
	case errors.Is(err, ErrSequenceGap), errors.Is(err, ErrOutcomeUnknown) && aboutProducer(err) && !oldest.unknown:
		// The server does not have what came before, or does not know. Nothing is stored under this number, nor behind it.
		for _, b := range l.flight {
			b.unknown = false
		}
		l.beginEpoch()
	case errors.Is(err, ErrOutcomeUnknown) && aboutProducer(err):
		given = l.giveUp() // nobody will know any more
	}
	for len(l.flight) > 0 && (r.over(l.flight[0]) || isNo(l.flight[0].err)) {
		if l.toBePlacedAnew(l.flight[0], r) {
			l.stale = append(l.stale, l.retire(len(l.flight))...) // what stands behind it is not stored, and waits with it
			break
		}
		given = append(given, l.giveUp()...)
	}
	l.sendAgain()
	return given
}

// sendAgain has the flight sent again, up to the first batch that will not be stored: that one is given up when it is the
// oldest, which is when those behind it can be numbered anew.
func (l *lane) sendAgain() {
	l.failed, l.barred, l.again = false, false, 0
	for i, b := range l.flight {
		if isNo(b.err) {
			l.barred = true
			break
		}
		l.again, b.stage = i+1, waits
	}
}

// isNo is true of a refusal that is for good, and not for what stands before the batch in the sequence.
func isNo(err error) bool {
	return err != nil && !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrSequenceGap) && !passes(err)
}

// mayBeStored says whether an attempt at the batch, all of which are answered, may have stored it.
func (b *parcel) mayBeStored() bool {
	return b.unknown || b.stage == answered && (b.err == nil || errors.Is(b.err, ErrOutcomeUnknown) && !aboutProducer(b.err))
}

// aboutProducer is true of what a server says of the number of a batch.
func aboutProducer(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Names["producer_id"] != ""
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

// beginEpoch makes the numbers begin anew, those of the flight first.
func (l *lane) beginEpoch() {
	l.number = number{epoch: l.number.epoch + 1}
	l.renumber()
}

// renumber gives the flight the numbers from that of the next batch on.
func (l *lane) renumber() {
	for _, b := range l.flight {
		b.number = l.number
		l.number.sequence++
	}
}

// giveUp settles the oldest batch of the flight with its error. Where it may be stored, the error is of no other kind than
// ErrOutcomeUnknown, and those behind it that may be stored, too, are given up with it: a new epoch keeps what is still
// under way of the old one from being stored later. The others are numbered anew.
func (l *lane) giveUp() []*parcel {
	oldest := l.flight[0]
	if !oldest.unknown {
		return l.retire(1)
	}
	n, err := 1, oldest.err
	for n < len(l.flight) && l.flight[n].unknown {
		n++
	}
	given := l.leave(n)
	for _, b := range given {
		b.ack, b.err = Ack{}, l.outcomeUnknown(b, err)
	}
	for _, b := range l.flight { // stored they are only behind it
		b.unknown = false
	}
	l.beginEpoch()
	return given
}

// retire takes so many of the oldest batches out of the flight. No attempt has stored the first, so that none of those behind
// it is stored either, and their numbers are free; but where attempts at one may still be under way, a new epoch begins.
func (l *lane) retire(n int) []*parcel {
	unknown := false
	for _, b := range l.flight {
		unknown = unknown || b.unknown
		b.unknown = false
	}
	retired := l.leave(n)
	if unknown {
		l.beginEpoch()
	} else {
		l.number.sequence = retired[0].number.sequence
		l.renumber()
	}
	return retired
}

// toBePlacedAnew is true of a batch that was refused because there are other partitions, while there is time to try again.
func (l *lane) toBePlacedAnew(b *parcel, r retrying) bool {
	return errors.Is(b.err, ErrStalePartitions) && !b.unknown && !r.over(b)
}

func (l *lane) outcomeUnknown(b *parcel, err error) error {
	return newError(reasonOutcomeUnknown, "publish to partition %d of stream %q: %d messages may or may not be stored: read the stream to see; the last attempt: %v",
		l.partition, l.stream, b.count, err)
}

package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
)

// runLength is how many messages are handed over at once: as many as fit 32 KiB, up to which Go allocates cheaply. It is
// enough that handing over costs nothing beside decoding, and few enough that small messages, which take more memory
// once they are decoded, are not all decoded ahead of the one who reads.
const runLength = 190

// errEnded ends a reader whose messages nobody wants any more.
var errEnded = fmt.Errorf("the subscription has ended: %w", context.Canceled)

// take checks what a response holds and hands it over, up to the first batch that is not right, which is the error.
func (r *reader) take(response *codec.SubscribeResponse) error {
	r.place.heard(response.LogStart)
	batches, damage := verify(r.batches[:0], response.Batches)
	r.batches = batches
	defer clear(batches) // they would keep the response alive
	r.left = 0
	for i := range batches {
		r.left += int(batches[i].RecordCount)
	}
	for i := range batches {
		if err := r.takeBatch(&batches[i]); err != nil {
			if ended := r.flush(); ended != nil {
				return ended
			}
			return err
		}
	}
	if err := r.flush(); err != nil {
		return err
	}
	if damage != nil {
		return r.refused(r.place.at(), damage)
	}
	return nil
}

func (r *reader) takeBatch(b *verified) error {
	fresh, err := r.place.pass(&b.Header)
	switch {
	case err != nil:
		return r.refused(b.BaseOffset, err)
	case b.Control() && fresh:
		return r.takeControl(b)
	case b.Control():
		return nil
	}
	if err := unreadable(&b.Header); err != nil {
		return r.refused(b.BaseOffset, err)
	}
	return r.takeRecords(b)
}

// takeControl hands a gap over and passes over anything else that a log says about itself.
func (r *reader) takeControl(b *verified) error {
	gap, err := gapIn(b)
	if err != nil {
		return r.refused(b.BaseOffset, err)
	}
	if gap == nil || r.subscription.onGap == nil {
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	if !r.subscription.handOver(arrival{partition: r.partition, gap: gap}) {
		return errEnded
	}
	return nil
}

func (r *reader) takeRecords(b *verified) error {
	records, err := b.RecordsOf(b.bytes)
	if err != nil {
		return r.refused(b.BaseOffset, err)
	}
	length := runLength
	if r.place.backwards { // a batch is turned round as a whole
		length = records.Count
	}
	r.decoder.begin(&records, &b.Header)
	for range records.Count {
		if len(r.run) == cap(r.run) {
			if err := r.flush(); err != nil {
				return err
			}
			r.run = make([]Message, 0, max(1, min(length, r.left)))
		}
		r.run = r.run[:len(r.run)+1]
		if err := r.decoder.next(&r.run[len(r.run)-1]); err != nil {
			r.run = r.run[:len(r.run)-1]
			if r.place.backwards { // what is decoded comes after what cannot be
				r.run = nil
			}
			return r.refused(b.BaseOffset, err)
		}
		r.left--
	}
	if r.place.backwards {
		slices.Reverse(r.run)
		return r.flush()
	}
	return nil
}

// flush hands over the messages that are decoded.
func (r *reader) flush() error {
	if len(r.run) == 0 {
		return nil
	}
	run := r.run
	r.run = nil
	if !r.subscription.handOver(arrival{messages: run}) {
		return errEnded
	}
	return nil
}

// refused is the end of reading at a batch that is not as it should be, or not for this client.
func (r *reader) refused(at int64, why error) error {
	offset := strconv.FormatInt(at, 10)
	var e *Error
	switch {
	case errors.Is(why, errUnreadable), errors.Is(why, batch.ErrVersion):
		e = newError(reasonUnimplemented, "%s: the batch at offset %s cannot be read by this client: %v; use a newer one", r.doing(), offset, why)
	default:
		e = newError(reasonCorruptData, "%s: what came for offset %s is not what was stored: %v; read on from there, and if that fails again look for the fault at the server", r.doing(), offset, why)
	}
	e.Names = map[string]string{
		"stream": r.subscription.stream.name, "partition": strconv.Itoa(r.partition), "offset": offset,
	}
	return e.because(why)
}

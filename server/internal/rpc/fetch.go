package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// maxWait is how long a Fetch may wait.
const maxWait = time.Minute

// errPageOver ends a Fetch that has waited long enough.
var errPageOver = errors.New("the time for the page is over")

// Fetch returns one page of what Subscribe would send.
func (s *logService) Fetch(ctx context.Context, req *trestlev1.FetchRequest) (*codec.FetchResponse, error) {
	page, err := s.fetch(ctx, req)
	if err != nil {
		return nil, toStatus(err)
	}
	return page, nil
}

func (s *logService) fetch(ctx context.Context, req *trestlev1.FetchRequest) (*codec.FetchResponse, error) {
	wait := req.GetWait()
	if wait != nil && (!wait.IsValid() || wait.AsDuration() < 0 || wait.AsDuration() > maxWait) {
		return nil, &host.InvalidError{Field: "wait", Problem: fmt.Sprintf("is %s; use 0s to %v", wait, maxWait)}
	}
	r, err := s.read(ctx, req.GetRead(), func(o *partition.ReadOptions) {
		o.Plain = o.Plain || req.GetMaxRecords() > 0 // to be cut
	})
	if err != nil {
		return nil, err
	}
	defer r.end()
	p := &fetching{reading: r, req: req}
	if err := p.fill(wait.AsDuration()); err != nil {
		return nil, s.whyEnded(&destination{req.GetRead().GetStream(), req.GetRead().GetPartition(), r.partition}, err)
	}
	return p.response()
}

// fetching is a Fetch that is under way.
type fetching struct {
	*reading
	req   *trestlev1.FetchRequest
	chunk partition.Chunk
}

// fill reads until there is a record, nothing more to read, or the time is over. Without time, what is there is read.
func (p *fetching) fill(wait time.Duration) error {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	if wait == 0 {
		cancel(errPageOver)
	} else {
		timer := time.AfterFunc(wait, func() { cancel(errPageOver) })
		defer timer.Stop()
	}
	state := p.partition.State()
	p.chunk.HighWatermark, p.chunk.LogStart = state.HighWatermark, state.LogStart
	for {
		chunk, err := p.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && errors.Is(context.Cause(ctx), errPageOver) && (errors.Is(err, errPageOver) || errors.Is(err, context.Canceled)):
			return nil
		case err != nil:
			return err
		}
		p.chunk.Batches = append(p.chunk.Batches, chunk.Batches...)
		p.chunk.HighWatermark, p.chunk.LogStart = chunk.HighWatermark, chunk.LogStart
		if holdsRecords(chunk.Batches) {
			return nil
		}
	}
}

// holdsRecords says whether one of the batches has any.
func holdsRecords(batches []byte) bool {
	for len(batches) > 0 {
		h, err := batch.ParseHeader(batches)
		if err != nil || !h.Control() {
			return err == nil
		}
		batches = batches[h.Size:]
	}
	return false
}

// response makes a page of what was read.
func (p *fetching) response() (*codec.FetchResponse, error) {
	read, most := p.req.GetRead(), int(p.req.GetMaxRecords())
	res := &codec.FetchResponse{NextOffset: p.NextOffset()}
	if read.GetBackwards() {
		res.NextOffset--
	}
	res.Page.HighWatermark, res.Page.LogStart = p.chunk.HighWatermark, p.chunk.LogStart
	if read.GetView() == trestlev1.View_VIEW_MESSAGES {
		m := messages{batches: p.chunk.Batches, backwards: read.GetBackwards()}
		var err error
		if res.Page.Messages, err = m.page(responseBytes(read), most); err != nil {
			return nil, err
		}
		rest, err := m.peek()
		if err == nil && rest != nil {
			res.NextOffset = rest.GetOffset()
		}
		return res, err
	}
	batches, next, err := firstRecords(p.chunk.Batches, most, read.GetBackwards())
	if err != nil {
		return nil, err
	}
	if res.Page.Batches = batches; next >= 0 {
		res.NextOffset = next
	}
	return res, nil
}

// firstRecords are the batches up to the record of that number, 0 meaning all. Next is the offset of the record that comes
// then; -1: there is none.
func firstRecords(batches []byte, most int, backwards bool) (cut []byte, next int64, err error) {
	for at := 0; at < len(batches) && most > 0; {
		b := batches[at:]
		h, err := batch.ParseHeader(b)
		if err != nil {
			return nil, 0, err
		}
		if n := int(h.RecordCount); n <= most {
			at += h.Size
			if most -= n; most == 0 && at < len(batches) {
				next, err := firstOffset(batches[at:], backwards)
				return batches[:at:at], next, err
			}
			continue
		}
		next, cut, err := cutBatch(batches[:at:at], &h, b, most, backwards)
		return cut, next, err
	}
	return batches, -1, nil
}

// cutBatch appends so many records of a batch that has more, and returns the offset of the record that comes then.
func cutBatch(dst []byte, h *batch.Header, b []byte, most int, backwards bool) (next int64, cut []byte, err error) {
	records, err := h.RecordsOf(b)
	if err != nil {
		return 0, nil, err
	}
	index := most // of the record that comes then
	if backwards {
		index = int(h.RecordCount) - most - 1
	}
	var offsets [2]int64 // of that record and of the one after it
	for i := range index + 2 {
		_, delta, ok, err := records.NextRaw()
		if err != nil {
			return 0, nil, err
		}
		if ok && i >= index {
			offsets[i-index] = h.BaseOffset + int64(delta)
		}
	}
	if backwards {
		cut, err = batch.Cut(dst, h, b, offsets[1], h.NextOffset())
	} else {
		cut, err = batch.Cut(dst, h, b, h.BaseOffset, offsets[0])
	}
	return offsets[0], cut, err
}

// firstOffset is that of the first record to be delivered, or, where there is none, where the batches begin.
func firstOffset(batches []byte, backwards bool) (int64, error) {
	h, err := batch.ParseHeader(batches)
	if err == nil && backwards {
		return h.NextOffset() - 1, nil
	}
	return h.BaseOffset, err
}

package partition

import (
	"fmt"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/dedup"
)

// plan is what one append will do: what is written, and who hears what of it. Until it is written it is no more than that:
// the memory knows of it already, and forgets it if the write fails.
type plan struct {
	first   commitlog.Position // where the log ends
	next    commitlog.Position // where it will end
	time    int64              // append time of all of it, unix nanoseconds
	batches [][]byte
	gapSeqs []uint64   // of the work's gaps
	waiting []*pending // with what they will be told, in the order of the log
	refused []*pending // with the error in err
}

// judge decides on each batch and record of the work, in the order in which they are appended: gaps, publications, captured
// records. First comes what was stored before, then the expected offset (protocol.md 2.5). The caller holds memory.mu.
func (p *Partition) judge(w *work) (*plan, error) {
	end := p.log.End()
	pl := &plan{first: end, next: end, time: max(p.config.Now().UnixNano(), p.memory.time)}
	for i := range w.gaps {
		b := batch.AppendControl(nil, &batch.Control{Kind: batch.ControlGap, Gap: w.gaps[i].Gap})
		pl.gapSeqs = append(pl.gapSeqs, pl.next.Seq)
		p.memory.state.Append(batchAt(pl), nil)
		pl.put(b, 0)
	}
	for _, pub := range w.publications {
		p.judgePublication(pl, pub)
	}
	for _, c := range w.captured {
		if err := p.judgeCaptured(pl, c); err != nil {
			return pl, err
		}
	}
	return pl, nil
}

// put adds a batch to what is written.
func (pl *plan) put(b []byte, count uint32) {
	pl.batches = append(pl.batches, b)
	pl.next.Seq++
	pl.next.Offset += int64(count)
}

func (p *Partition) judgePublication(pl *plan, pub *publication) {
	d := p.memory.state.Decide(pub.request, pl.next.Offset, pl.time, nil)
	switch {
	case d.Action == dedup.Refuse:
		pub.err = refusal(pub, &d, pl.next.Offset)
	case d.Action == dedup.Store && pub.refusal != nil:
		pub.err = pub.refusal
	}
	if pub.err != nil {
		pl.refused = append(pl.refused, &pub.pending)
		return
	}
	pub.ack = Ack{
		BaseOffset: d.BaseOffset, Count: int(d.Count), Epoch: p.config.Epoch,
		Duplicates: duplicates(d.Duplicates), DuplicatesUnknown: d.DuplicatesUnknown,
	}
	pub.seq = pl.next.Seq - 1
	if d.Action == dedup.Store {
		stored, err := without(pub.bytes, d.Duplicates)
		if err != nil { // it was checked when it came; still, what one publisher sends must not end the others
			pub.err = err
			pl.refused = append(pl.refused, &pub.pending)
			return
		}
		pub.seq, pub.ack.Time = pl.next.Seq, pl.time
		r := &pub.request
		p.memory.state.Append(dedup.Batch{
			Seq: pl.next.Seq, Time: pl.time, BaseOffset: d.BaseOffset, Count: d.Count,
			Producer: r.Producer, ProducerEpoch: r.ProducerEpoch, ProducerSequence: r.ProducerSequence,
		}, d.Kept(r.IDs, nil))
		pl.put(stored, d.Count)
	}
	pl.waiting = append(pl.waiting, &pub.pending)
}

// refusal says why a publication is refused.
func refusal(pub *publication, d *dedup.Decision, next int64) error {
	if d.WrongOffset {
		return &WrongOffsetError{Expected: *pub.request.ExpectedOffset, Next: next}
	}
	e := &ProducerError{
		ProducerID: pub.request.Producer, Epoch: pub.request.ProducerEpoch, Sequence: pub.request.ProducerSequence,
		Err: ErrAnswerForgotten,
	}
	switch d.Verdict {
	case dedup.Gap:
		e.Expected, e.Err = d.ExpectedSequence, ErrSequenceGap
	case dedup.Fenced:
		e.Err = ErrFenced
	case dedup.Unknown:
		e.Err = ErrProducerUnknown
	case dedup.Past, dedup.Fresh, dedup.Repeated:
	}
	return e
}

func duplicates(of []dedup.Duplicate) []Duplicate {
	if len(of) == 0 {
		return nil
	}
	all := make([]Duplicate, len(of))
	for i, d := range of {
		all[i] = Duplicate(d)
	}
	return all
}

// judgeCaptured decides on the records of a captured batch one by one: they have nothing to do with each other.
func (p *Partition) judgeCaptured(pl *plan, c *capturedBatch) error {
	var out []dedup.Duplicate
	state, base := p.memory.state, pl.next.Offset
	head := batchAt(pl)
	id := make([]dedup.ID, 1)
	for i := range c.notes {
		n := &c.notes[i]
		id[0] = n.id
		at := base + int64(n.index-len(out))
		d := state.Decide(dedup.Request{IDs: id, Count: 1, ExpectedOffset: n.expected}, at, pl.time, nil)
		w := &pending{seq: pl.next.Seq, notify: n.notify, unheard: n.unheard, ack: Ack{BaseOffset: d.BaseOffset, Count: int(d.Count), Epoch: p.config.Epoch}}
		switch {
		case d.WrongOffset:
			out = append(out, dedup.Duplicate{Index: n.index})
			w.err = &WrongOffsetError{Expected: *n.expected, Next: at}
		case d.Action == dedup.Answer:
			out = append(out, dedup.Duplicate{Index: n.index})
			w.ack.Duplicates = duplicates(d.Duplicates)
		default:
			w.ack.Time = pl.time
			state.Append(head, d.Kept(id, nil))
		}
		switch {
		case n.notify == nil:
		case w.err != nil:
			pl.refused = append(pl.refused, w)
		default:
			pl.waiting = append(pl.waiting, w)
		}
	}
	kept := c.Count() - len(out)
	if kept == 0 { // then those who wait, wait for what came before
		for _, w := range pl.waiting {
			w.seq = min(w.seq, pl.next.Seq-1)
		}
		return nil
	}
	b, err := without(c.Finish(batch.Captured), out)
	if err != nil {
		return err
	}
	head.Count = uint32(kept)
	state.Append(head, nil)
	pl.put(b, uint32(kept))
	return nil
}

// without returns the batch b, which is not packed, without the records that those name, by rising index: b itself if there
// are none.
func without(b []byte, out []dedup.Duplicate) ([]byte, error) {
	if len(out) == 0 {
		return b, nil
	}
	h, err := batch.ParseHeader(b)
	if err == nil {
		b, err = batch.Without(nil, &h, b, func(index int) bool {
			goes := len(out) > 0 && out[0].Index == index
			if goes {
				out = out[1:]
			}
			return goes
		})
	}
	if err == nil && len(out) > 0 {
		err = fmt.Errorf("%w: there is no record %d", batch.ErrCorrupt, out[0].Index)
	}
	if err != nil {
		return nil, fmt.Errorf("leaving records out of a batch: %w", err)
	}
	return b, nil
}

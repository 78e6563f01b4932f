package simulation_test

import (
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// ledger is what the oracle knows of a partition.
type ledger struct {
	id        uuid.UUID
	written   map[place][]byte               // every batch that a leader appended, as it stamped it
	names     map[uint64]commitlog.BatchName // of committed batches, by seq
	records   map[int64]servedRecord         // committed, by offset
	committed commitlog.Position             // as far as any leader came
	visible   commitlog.Position             // as far as the newest leader showed whose own epoch was committed (S7)
	shownBy   uint64                         // its leader epoch
	time      int64                          // append time of the last committed batch (S15)
	leaders   map[uint64]string              // who wrote under which leader epoch (S9)
	start     int64                          // the log start, as far as any leader came
	gaps      []batch.Gap                    // committed
	cut       []cutGap                       // by replicas that had them in their logs
	acked     []*publish
	unclean   bool // an operator, or the configuration, accepted a loss
}

// place names a batch by who wrote it where: a leader epoch has one writer (S9), who writes a seq once.
type place struct{ epoch, seq uint64 }

type servedRecord struct {
	value, key string
	epoch      uint64
	recovered  bool // appended by a new leader that had heard it
}

// cutGap is a gap that a replica cut off its log, and so knows of.
type cutGap struct {
	by  *replica
	gap batch.Gap
}

// appended is called with batches that a leader has appended, the first at seq.
func (o *oracle) appended(r *replica, epoch, seq uint64, batches [][]byte) {
	l := o.ledgers[r.id]
	if l == nil {
		return
	}
	for i, b := range batches {
		l.written[place{epoch, seq + uint64(i)}] = slices.Clone(b)
	}
}

// enter takes what a leader has committed into the ledger, as it stands in its log. If its copy turns out to be rotten it is
// committed all the same: what min ISR disks held when it was counted, and readers may be shown from now on, is what was written.
func (o *oracle) enter(r *replica, l *ledger, to commitlog.Position) {
	rotten := r.eachBatch(l.committed, to, func(h *batch.Header, b []byte) error { return o.enterBatch(r, l, h, b) })
	if rotten != nil {
		o.enterWritten(r, l, to)
		r.spoilt(rotten)
	}
	l.committed = to
}

// enterWritten takes the rest of what a leader has committed into the ledger, without reading its log.
func (o *oracle) enterWritten(r *replica, l *ledger, to commitlog.Position) {
	for l.committed.Before(to) {
		at := place{r.epochOf(l.committed.Seq), l.committed.Seq}
		b, ok := l.written[at]
		if !ok {
			o.w.violate("S9", "%s commits seq %d of epoch %d, which no leader wrote", r.b.name, at.seq, at.epoch)
		}
		h, err := batch.Parse(b)
		o.w.must(err, "a batch as it was written")
		o.w.must(o.enterBatch(r, l, &h, b), "a batch as it was written")
	}
	o.w.counts["committed although rotten"]++
}

// enterBatch takes one batch into the ledger, or nothing of it.
func (o *oracle) enterBatch(r *replica, l *ledger, h *batch.Header, b []byte) error {
	records := map[int64]servedRecord{}
	if !h.Control() {
		err := eachRecord(h, b, func(offset int64, record *batch.Record) {
			records[offset] = servedRecord{
				value: string(record.Value), key: string(record.Key), epoch: h.LeaderEpoch, recovered: h.Attributes&batch.Recovered != 0,
			}
		})
		if err != nil {
			return err
		}
	}
	o.w.log("%s/%s has committed seq %d offsets %d to %d of epoch %d, compacted below %d, start %d", r.b.name, r.id.String()[:2], h.Seq,
		h.BaseOffset, h.NextOffset(), h.LeaderEpoch, r.log.Compacted(), r.log.Start())
	out := h.Seq != l.committed.Seq || h.BaseOffset != l.committed.Offset
	if out && h.Seq > r.log.Compacted() && !l.unclean {
		o.w.violate("S8", "seq %d offset %d is committed where %v is expected", h.Seq, h.BaseOffset, l.committed)
	}
	if h.Time < l.time && !l.unclean {
		o.w.violate("S15", "time goes back at seq %d", h.Seq)
	}
	l.time = h.Time
	l.names[h.Seq] = commitlog.BatchName{Seq: h.Seq, Epoch: h.LeaderEpoch, CRC: h.HeaderCRC}
	l.committed = commitlog.Position{Seq: h.Seq + 1, Offset: h.NextOffset()}
	if h.Control() {
		if c, err := batch.ParseControl(h.BodyOf(b)); err == nil && c.Kind == batch.ControlGap {
			l.gaps = append(l.gaps, c.Gap)
		}
	}
	for _, offset := range slices.Sorted(maps.Keys(records)) {
		record := records[offset]
		o.w.log("%s committed %q of key %q at offset %d, epoch %d, recovered %v", r.id.String()[:2], record.value, record.key, offset, record.epoch, record.recovered)
		l.records[offset] = record
	}
	return nil
}

package simulation_test

import (
	"slices"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/election"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/shadow"
)

// oracle sees everything and knows what must hold.
type oracle struct {
	w       *world
	ledgers map[uuid.UUID]*ledger
	order   []uuid.UUID
	dirty   bool // something changed that S3 depends on
}

func newOracle(w *world) *oracle { return &oracle{w: w, ledgers: map[uuid.UUID]*ledger{}} }

// add makes a partition known.
func (o *oracle) add(id uuid.UUID) {
	o.ledgers[id] = &ledger{
		id: id, written: map[place][]byte{}, names: map[uint64]commitlog.BatchName{}, records: map[int64]servedRecord{},
		leaders: map[uint64]string{}, committed: commitlog.Origin, visible: commitlog.Origin,
	}
	o.order = append(o.order, id)
}

func (o *oracle) ids() []uuid.UUID { return o.order }

// decided is called with each new state of the metadata.
func (o *oracle) decided(state *metadata.State) {
	o.dirty = true
	if err := state.Check(); err != nil {
		o.w.violate("C1", "%v", err)
	}
	for _, id := range o.order {
		p, ok := state.Partition(id)
		for _, b := range o.w.brokers {
			known, _ := state.Broker(b.name)
			if ok && b.lost[id] && known.Storage == b.storage && !counted(&p, b.name) {
				delete(b.lost, id)
			}
		}
		if l := o.ledgers[id]; ok && p.UncleanEpoch > 0 && !l.unclean {
			l.unclean = true
			if !o.w.plan.async {
				o.w.violate("C4", "an unclean election that nobody asked for")
			}
		}
	}
}

// leads is called when a replica begins to write under a leader epoch.
func (o *oracle) leads(r *replica, epoch uint64) {
	l := o.ledgers[r.id]
	if l == nil {
		return
	}
	if who, taken := l.leaders[epoch]; taken {
		o.w.violate("S9", "%s and %s both write under leader epoch %d", who, r.b.name, epoch)
	}
	l.leaders[epoch] = r.b.name
	if l.unclean {
		return
	}
	if end := r.log.End(); end.Before(l.committed) {
		o.w.violate("S2", "%s leads epoch %d and ends at %v; %v was committed", r.b.name, epoch, end, l.committed)
	}
	o.compareAt(r, l, l.committed, "S2")
}

// compareAt holds the batch before a position, and by its chain all before that, against what was committed there.
func (o *oracle) compareAt(r *replica, l *ledger, at commitlog.Position, rule string) {
	want, known := l.names[at.Seq-1]
	if at.Seq <= 1 || !known || at.Seq > r.log.End().Seq {
		return
	}
	name, ok, err := r.log.NameOf(at.Seq - 1)
	if err != nil {
		r.spoilt(err)
		return
	}
	if ok && name != want && at.Seq-1 >= r.log.Compacted() {
		o.w.violate(rule, "%s has %+v where %+v was committed", r.b.name, name, want)
	}
}

// committed is called when a replica's commit position may have moved.
func (o *oracle) committed(r *replica) {
	l := o.ledgers[r.id]
	if l == nil || r.bad != nil {
		return
	}
	at := r.log.Committed()
	if r.leader == nil {
		if l.committed.Before(at) && !l.unclean {
			o.w.violate("S12", "%s takes %v for committed; leaders came to %v", r.b.name, at, l.committed)
		}
		if at != r.checked {
			r.checked = at
			if o.w.chance(250) && !l.unclean { // by its chain a batch stands for all before it, so the next time finds what this one leaves
				o.compareAt(r, l, at, "S4")
			}
		}
		return
	}
	if l.committed.Before(at) {
		o.advance(r, l, at)
	}
	if r.leader != nil && r.leader.EpochCommitted() && !l.unclean && r.leaderEpoch() >= l.shownBy { // an older one only shows what is old
		if at.Before(l.visible) {
			o.w.violate("S7", "%s shows %v after %v was shown", r.b.name, at, l.visible)
		}
		l.visible, l.shownBy = at, r.leaderEpoch()
	}
}

// advance takes what a leader has newly committed into the ledger.
func (o *oracle) advance(r *replica, l *ledger, to commitlog.Position) {
	o.quorums(r, l)
	o.holders(r, l, to)
	o.enter(r, l, to)
	o.dirty = true
}

// quorums checks S5: while a leader commits, those who may be elected are among those whom it waits for.
func (o *oracle) quorums(r *replica, l *ledger) {
	p, ok := o.w.control.latest().Partition(l.id)
	if !ok || p.LeaderEpoch != r.leaderEpoch() {
		return
	}
	waited := r.leader.MaximalISR()
	for _, name := range slices.Concat(p.ISR, p.ELR) {
		if !slices.Contains(waited, name) {
			o.w.violate("S5", "%s commits with %v; the metadata may elect %s", r.b.name, waited, name)
		}
	}
}

// check holds what must hold after every event.
func (o *oracle) check() {
	if !o.dirty {
		return
	}
	o.dirty = false
	state := o.w.control.latest()
	for _, id := range o.order {
		if p, ok := state.Partition(id); ok && !o.w.plan.async {
			o.candidates(&p, o.ledgers[id])
		}
	}
}

// candidates checks S3: whoever may be elected alone holds durably what was committed.
func (o *oracle) candidates(p *metadata.Partition, l *ledger) {
	for _, name := range slices.Concat(p.ISR, p.ELR) {
		b := o.w.byName(name)
		if unsure(p, name) || b.damaged[l.id] || b.lost[l.id] {
			continue
		}
		if end := durableOf(b, l.id); end.Before(l.committed) {
			o.w.violate("S3", "%s may be elected and holds %v; %v was committed", name, end, l.committed)
		}
	}
}

// served is called with what a client read.
func (o *oracle) served(r *replica, run []byte) {
	l := o.ledgers[r.id]
	headers, err := headersOf(run)
	o.w.must(err, "reading from %s", r.b.name)
	for i := range headers {
		h := &headers[i]
		if !h.Control() && !l.unclean {
			o.w.must(eachRecord(h, run, func(offset int64, record *batch.Record) {
				want, ok := l.records[offset]
				if !ok {
					o.w.violate("S12", "%s serves offset %d, which was never committed", r.b.name, offset)
				}
				if want.value != string(record.Value) || want.epoch != h.LeaderEpoch {
					o.w.violate("S6", "%s serves %q of epoch %d at offset %d, where %q of %d was committed",
						r.b.name, record.Value, h.LeaderEpoch, offset, want.value, want.epoch)
				}
			}), "reading from %s", r.b.name)
		}
		run = run[h.Size:]
	}
	o.w.counts["read"] += len(headers)
}

// opened is called when a log was recovered: what was durable is there (2.8).
func (o *oracle) opened(r *replica) {
	if had, ok := r.b.held[r.id]; ok && r.log.End().Before(had) && !r.b.damaged[r.id] {
		o.w.violate("2.8", "%s ends at %v after a restart; %v was durable", r.b.name, r.log.End(), had)
	}
	delete(r.b.held, r.id)
}

// discards is called before a broker deletes a copy: only what a command named is deleted (S14).
func (o *oracle) discards(b *broker, id uuid.UUID) {
	for d := range b.state.Deleted(b.name) {
		if d.Partition == id {
			return
		}
	}
	o.w.violate("S14", "%s deletes its copy of %v, which no command has deleted", b.name, id)
}

// holders counts the copies that hold durably what is about to be taken for committed (S1).
func (o *oracle) holders(r *replica, l *ledger, to commitlog.Position) {
	if o.w.plan.async {
		return
	}
	n := 0
	for _, b := range o.w.brokers {
		if !durableOf(b, l.id).Before(to) {
			n++
		}
	}
	if n+o.w.spoiled < r.view.MinISR { // what a fault took after it was counted is within the budget
		o.w.violate("S1", "%s commits %v, which %d copies hold, min ISR %d", r.b.name, to, n, r.view.MinISR)
	}
}

// leases checks R5 when a lease was renewed: no two leaders hold it at one moment, planned moves included.
func (o *oracle) leases(r *replica) {
	if !r.leader.LeaseHeld(r.b.monotonic()) {
		return
	}
	for _, b := range o.w.brokers {
		if other := b.replicas[r.id]; b != r.b && b.up && !b.paused && other != nil && other.leader != nil &&
			other.leader.LeaseHeld(b.monotonic()) {
			o.w.violate("R5", "%s and %s both hold the lease, in leader epochs %d and %d", r.b.name, b.name, r.leaderEpoch(), other.leaderEpoch())
		}
	}
	o.w.counts["leases renewed"]++
}

// started is called when a leader moved the log start.
func (o *oracle) started(r *replica, start int64) {
	if l := o.ledgers[r.id]; l != nil {
		l.start = max(l.start, start)
	}
}

// gapCut is called when a replica cuts a gap off its log: as long as it lives it sees that the gap is written again (2.9).
func (o *oracle) gapCut(r *replica, gap batch.Gap) {
	if l := o.ledgers[r.id]; l != nil {
		l.cut = append(l.cut, cutGap{r, gap})
		o.w.counts["gaps cut"]++
	}
}

func (o *oracle) acked(p *publish) {
	o.w.counts["acked"]++
	p.ledger.acked = append(p.ledger.acked, p)
	if p.ledger.committed.Before(p.end) {
		o.w.violate("S1", "%q is acknowledged up to %v; %v is committed", p.value, p.end, p.ledger.committed)
	}
}

// settled is called when a ring says that a message's record is committed, so that its publisher may be told.
func (o *oracle) settled(r *replica, s shadow.Settled) {
	o.w.counts["settled"]++
	l := o.ledgers[r.id]
	record, ok := l.records[s.Offset]
	if !ok && s.Offset >= l.start && !l.unclean {
		o.w.violate("S1", "%s settles offset %d, which is not committed", r.b.name, s.Offset)
	}
	if ok && string(s.Ack) != record.value && !l.unclean {
		o.w.violate("S1", "%s settles %q at offset %d, where %q is", r.b.name, s.Ack, s.Offset, record.value)
	}
}

func counted(p *metadata.Partition, broker string) bool {
	return slices.Contains(p.ISR, broker) || slices.Contains(p.ELR, broker) || slices.Contains(p.LastKnown, broker)
}

func unsure(p *metadata.Partition, broker string) bool {
	return slices.ContainsFunc(p.Unsure, func(d election.Doubt) bool { return d.Broker == broker })
}

package simulation_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// finish checks what must hold once all faults have ended for long enough: liveness, equal replicas, nothing lost.
func (o *oracle) finish() {
	for tries := 1; ; tries++ { // a gap may have been written just now
		missing := o.missing()
		if missing == "" {
			break
		}
		if tries == 20 {
			o.w.violate("liveness", "%s", missing)
		}
		o.w.runFor(250 * time.Millisecond)
	}
	for _, id := range o.order {
		l := o.ledgers[id]
		leader := o.leaderOf(l)
		o.sameBytes(l, leader)
		o.w.happened("ends", uint64(crc32.ChecksumIEEE(o.bytesFrom(leader, leader.log.First()))))
		stored := o.storedRecords(l, leader)
		o.nothingLost(l, stored)
		o.uncleanTold(leader)
		if !l.unclean {
			o.noGapCut(l)
		}
		if !l.unclean && !o.w.jumped { // gaps say when by the clock of the broker
			o.nothingSilent(l, stored)
		}
	}
	o.w.control.checkReplay()
}

// missing says what keeps the cluster from being whole: every partition led, every replica in sync, everything committed.
func (o *oracle) missing() string {
	for _, id := range o.order {
		l := o.ledgers[id]
		p, _ := o.w.control.latest().Partition(id)
		leader := o.leaderOf(l)
		switch {
		case p.Leader == "":
			return fmt.Sprintf("nobody leads: ISR %v, ELR %v, lost %v, unsure %v of %v, min ISR %d", p.ISR, p.ELR, p.Lost, p.Unsure, p.Replicas, p.MinISR)
		case leader == nil:
			return fmt.Sprintf("%s does not know that it leads", p.Leader)
		case len(p.ISR) != len(p.Replicas):
			return fmt.Sprintf("ISR %v of replicas %v", p.ISR, p.Replicas)
		case len(p.Adding)+len(p.Removing) > 0:
			return fmt.Sprintf("a reassignment to %v goes on: adding %v, removing %v", p.Replicas, p.Adding, p.Removing)
		}
		for _, name := range p.Replicas {
			r := o.w.byName(name).replicas[id]
			if r == nil || r.log.End() != leader.log.End() || r.log.Committed() != leader.log.End() {
				return fmt.Sprintf("%s has not come to the end of %s", name, p.Leader)
			}
		}
	}
	return ""
}

// leaderOf returns the replica that leads and knows it, or nil.
func (o *oracle) leaderOf(l *ledger) *replica {
	p, _ := o.w.control.latest().Partition(l.id)
	if p.Leader == "" {
		return nil
	}
	leader := o.w.byName(p.Leader).replicas[l.id]
	if leader == nil || leader.leader == nil || leader.leaderEpoch() != p.LeaderEpoch {
		return nil
	}
	return leader
}

// sameBytes checks that the replicas hold the same bytes where none was compacted.
func (o *oracle) sameBytes(l *ledger, leader *replica) {
	p, _ := o.w.control.latest().Partition(l.id)
	for _, name := range p.Replicas {
		r := o.w.byName(name).replicas[l.id]
		if r == nil || r == leader {
			continue
		}
		from := commitlog.Position{Seq: max(r.log.Compacted(), leader.log.Compacted(), r.log.First().Seq, leader.log.First().Seq)}
		if !bytes.Equal(o.bytesFrom(r, from), o.bytesFrom(leader, from)) {
			o.w.violate("S4", "%s and %s hold different bytes", name, leader.b.name)
		}
	}
}

func (o *oracle) bytesFrom(r *replica, from commitlog.Position) (all []byte) {
	o.w.must(r.eachBatch(from, r.log.End(), func(_ *batch.Header, b []byte) error {
		all = append(all, b...)
		return nil
	}), "reading the log of %s", r.b.name)
	return all
}

// storedRecords is what the partition holds in the end, by offset.
func (o *oracle) storedRecords(l *ledger, leader *replica) map[int64]servedRecord {
	stored := map[int64]servedRecord{}
	o.w.must(leader.eachBatch(leader.log.First(), leader.log.End(), func(h *batch.Header, b []byte) error {
		if h.Control() {
			return nil
		}
		return eachRecord(h, b, func(offset int64, record *batch.Record) {
			stored[offset] = servedRecord{value: string(record.Value), key: string(record.Key), epoch: h.LeaderEpoch}
		})
	}), "reading the log of %s", leader.b.name)
	return stored
}

// nothingLost checks S1 and S10: what was acknowledged is there, at its offset; what was refused is nowhere.
func (o *oracle) nothingLost(l *ledger, stored map[int64]servedRecord) {
	newest := map[string]int64{}
	at := map[string][]int64{}
	for offset, record := range stored {
		newest[record.key] = max(newest[record.key], offset)
		at[record.value] = append(at[record.value], offset)
	}
	for _, p := range l.acked {
		record, ok := stored[p.offset]
		gone := p.offset < l.start || l.unclean || o.w.plan.compact && newest[p.key] > p.offset
		if !ok && !gone || ok && record.value != p.value && !l.unclean {
			o.w.violate("S1", "%q was acknowledged at offset %d, where %q is", p.value, p.offset, record.value)
		}
	}
	for _, p := range o.w.clients.all {
		if p.ledger == l && p.outcome == refused && len(at[p.value]) > 0 {
			o.w.violate("S10", "%q was refused and is at %v", p.value, at[p.value])
		}
		if p.ledger == l && len(at[p.value]) > 1 {
			o.w.violate("S11", "%q was published once and is at %v", p.value, at[p.value])
		}
	}
}

// nothingSilent checks S13: a plain message that some replica heard, and remembered long enough to tell, is stored or
// covered by a gap record.
func (o *oracle) nothingSilent(l *ledger, stored map[int64]servedRecord) {
	found := map[string]int{}
	for _, record := range l.records {
		found[record.value]++
	}
	for _, record := range stored {
		if found[record.value] == 0 {
			found[record.value]++
		}
	}
	o.nothingTwice(l)
	for _, m := range o.w.nats.messages { // of those that look the same, a gap may have any in mind
		heardInGap := func(h hearing) bool { return inGap(l.gaps, h.at) }
		if m.id == l.id && (inGap(l.gaps, m.at) || slices.ContainsFunc(m.hearings, heardInGap)) {
			found[m.value]++
		}
	}
	heard := map[string]int{}
	for _, m := range o.w.nats.messages {
		if m.id != l.id || !o.remembered(m) || m.identical && o.w.nats.lossy {
			continue // two that look the same stand for each other where NATS drops or doubles one, or a replica begins to hear: granted
		}
		heard[m.value]++
		if found[m.value] < heard[m.value] {
			o.w.violate("S13", "%q, published at %.6f, is stored or missed %d times of %d; heard by %v",
				m.value, float64(m.at-epoch0)/1e9, found[m.value], heard[m.value], m.hearings)
		}
	}
	o.w.counts["plain stored"] += len(found)
	o.w.counts["gaps"] += len(l.gaps)
}

// nothingTwice checks that capture by every replica stores no message twice, but for what a new leader took for another and
// marked as recovered. It counts those, and gaps where nothing was lost.
func (o *oracle) nothingTwice(l *ledger) {
	if o.w.nats.doubled {
		return
	}
	times, all := map[string]int{}, map[string]int{}
	for _, record := range l.records {
		if all[record.value]++; !record.recovered {
			times[record.value]++
		}
	}
	for _, m := range o.w.nats.messages {
		if m.id != l.id || m.identical {
			continue
		}
		if times[m.value] > 1 {
			o.w.violate("2.4", "%q was published once and is stored %d times; heard by %v", m.value, times[m.value], m.hearings)
		}
		if all[m.value] > 1 {
			o.w.counts["recovered although stored"]++
		}
	}
	if !o.w.nats.lossy && o.w.plan.ringBytes == largeRing && len(l.gaps) > 0 {
		o.w.counts["partitions with a gap too many"]++
	}
	o.w.counts["partitions checked for doubles"]++
}

// uncleanTold checks that readers of the log learn of the last unclean election, unless retention took that away (3.7).
func (o *oracle) uncleanTold(leader *replica) {
	p, _ := o.w.control.latest().Partition(leader.id)
	if p.UncleanEpoch == 0 || leader.log.First() != commitlog.Origin {
		return
	}
	var told uint64
	o.w.must(leader.eachBatch(commitlog.Origin, leader.log.End(), func(h *batch.Header, b []byte) error {
		if c, err := batch.ParseControl(h.BodyOf(b)); h.Control() && err == nil && c.Kind == batch.ControlUnclean {
			told = max(told, c.Unclean.LeaderEpoch)
		}
		return nil
	}), "reading the log of %s", leader.b.name)
	if told < p.UncleanEpoch {
		o.w.violate("3.7", "the unclean election of epoch %d was never told; the last that was is %d", p.UncleanEpoch, told)
	}
	o.w.counts["unclean elections told"]++
}

// noGapCut checks that what a replica knew to be missing, and cut, was written again if it lived on (2.9).
func (o *oracle) noGapCut(l *ledger) {
	for _, c := range l.cut {
		covers := func(g batch.Gap) bool {
			return g.Cause == c.gap.Cause && g.FromTime <= c.gap.FromTime && g.ToTime >= c.gap.ToTime &&
				(!g.Counted || g.AtLeast >= c.gap.AtLeast)
		}
		if c.by.b.replicas[l.id] == c.by && !slices.ContainsFunc(l.gaps, covers) {
			o.w.violate("2.9", "%s cut a gap off its log that is not told again: %+v", c.by.b.name, c.gap)
		}
	}
}

// remembered says whether a ring that heard the message is there to this day.
func (o *oracle) remembered(m *natsMessage) bool {
	return slices.ContainsFunc(m.hearings, func(h hearing) bool {
		b := o.w.brokers[h.broker]
		r := b.replicas[m.id]
		return r != nil && r.ringLife == h.ring
	})
}

// inGap says whether a gap covers the time, give or take what clocks are apart and messages take.
func inGap(gaps []batch.Gap, at int64) bool {
	const slack = int64(1500 * time.Millisecond)
	return slices.ContainsFunc(gaps, func(g batch.Gap) bool { return g.FromTime-slack <= at && at <= g.ToTime+slack })
}

func sortedIDs(replicas map[uuid.UUID]*replica) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(replicas))
	for id := range replicas {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

package simulation_test

import (
	"errors"
	"slices"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	"github.com/trestlehq/trestle/server/internal/replication"
	"github.com/trestlehq/trestle/server/internal/shadow"
)

// lead takes up the leadership: its first batch says that the epoch begins (R1), then comes what was heard and the leader
// before has not replicated (2.4).
func (r *replica) lead() {
	epoch := r.view.LeaderEpoch
	r.w.happened("lead", uint64(r.b.index), epoch, uint64(r.id[0]))
	if r.w.oracle.leads(r, epoch); r.bad != nil {
		return
	}
	before := r.log.End()
	var batches [][]byte
	if history := r.history(); replication.UncleanDue(&r.view, &history) {
		batches = append(batches, batch.AppendControl(nil, &batch.Control{
			Kind: batch.ControlUnclean, Unclean: batch.Unclean{LeaderEpoch: epoch, LostFromOffset: before.Offset},
		}))
	}
	batches = append(batches, batch.AppendControl(nil, &batch.Control{Kind: batch.ControlEpoch, Epoch: epoch}))
	if !r.write(epoch, batches...) {
		return
	}
	before.Seq += uint64(len(batches) - 1)
	r.leader = replication.NewLeader(replication.LeaderOptions{
		Broker: r.b.name, View: r.view, End: r.log.End(), Durable: r.log.Durable(), Committed: r.log.Committed(), EpochBatch: before,
		LagNanos: int64(r.w.plan.lag), LeaseNanos: int64(time.Second), Credit: r.w.plan.credit,
	}, r.b.monotonic())
	r.committedTo, r.readers = map[string]toldSoFar{}, map[string]*sentSoFar{}
	recovery := r.ring.Promote(r.b.clock())
	if mutant("simulation-ring-not-recovered") {
		recovery.Records = nil
	}
	for _, record := range recovery.Records {
		r.appendCaptured(record, batch.Captured|batch.Recovered)
	}
	r.gaps.Retry()
	for _, gap := range recovery.Gaps {
		r.gaps.Add(gap, r.b.name)
	}
	r.writeGaps()
}

// write appends batches under a leader epoch; false: the replica has no role any more.
func (r *replica) write(epoch uint64, batches ...[]byte) bool {
	appended, err := r.log.Append(epoch, r.b.clock(), batches...)
	r.b.check(err, "appending to a log")
	r.w.oracle.appended(r, epoch, appended.First.Seq, batches)
	r.learnEpoch(epoch, appended.First)
	if r.leader != nil {
		r.leader.Appended(appended.End)
	}
	r.appended()
	return true
}

// appendCaptured appends one record that NATS delivered.
func (r *replica) appendCaptured(encoded []byte, attributes batch.Attributes) {
	record := r.w.decoded(encoded)
	var b batch.Builder
	b.Reset(nil)
	b.Append(&record)
	at := r.log.End()
	if !r.write(r.leaderEpoch(), b.Finish(attributes)) {
		return
	}
	r.ring.Appended(shadow.Captured{
		Fingerprint: shadow.FingerprintOf(&secret, &record), Seq: at.Seq, Offset: at.Offset, AppendTime: r.b.clock(),
	}, r.b.clock())
}

// decoded is the record that a ring holds.
func (w *world) decoded(encoded []byte) (record batch.Record) {
	records, err := batch.ParseRecords(encoded)
	w.must(err, "a record of a ring")
	_, _, err = records.Next(&record)
	w.must(err, "a record of a ring")
	return record
}

// writeGaps puts what is known to be missing into the log (2.9).
func (r *replica) writeGaps() {
	for _, due := range r.gaps.Due(r.b.clock()) {
		r.w.happened("gap", uint64(due.Gap.Cause), due.Gap.AtLeast, uint64(due.Gap.FromTime-epoch0), uint64(due.Gap.ToTime-epoch0))
		seq := r.log.End().Seq
		if r.write(r.leaderEpoch(), batch.AppendControl(nil, &batch.Control{Kind: batch.ControlGap, Gap: due.Gap})) {
			r.gaps.Written(due.ID, seq)
			r.wrote[seq] = true
		}
	}
}

// asks answers a follower that names what its log ends with.
func (r *replica) asks(o replication.Open) {
	if r.leader == nil {
		return
	}
	held := func(seq uint64) (replication.Name, bool) {
		name, ok, err := r.log.NameOf(seq)
		if err != nil {
			r.spoilt(err)
			return replication.Name{}, false
		}
		return replication.Name(name), ok
	}
	a := r.leader.Opened(o, r.history(), held, r.log.Compacted(), r.b.monotonic())
	if r.leader == nil {
		return
	}
	follower := r.w.byName(o.Broker)
	r.w.send(r.b, follower, func() {
		if to := follower.replicas[r.id]; to != nil {
			to.answered(a)
		}
	})
	r.pump()
}

// pump does what has become due: what is newly committed is shown and acknowledged, ISR changes are proposed, followers
// get what they lack.
func (r *replica) pump() {
	if r.leader == nil || r.pumping || !r.b.up {
		return
	}
	r.pumping = true
	defer func() { r.pumping = false }()
	r.log.Commit(r.leader.Committed())
	r.w.oracle.committed(r)
	if r.leader == nil {
		return
	}
	r.settle()
	r.acknowledge()
	r.proposeISR()
	for _, m := range r.view.Members {
		if m.Broker != r.b.name && r.leader != nil {
			r.feed(m.Broker)
		}
	}
}

// tickLeader tells followers now and then that the leader is there, and how far its log came.
func (r *replica) tickLeader() {
	if since, away := r.w.nats.away[r.b.index]; away { // said while it lasts: a crash would take what is known of it
		r.gaps.Add(batch.Gap{Cause: batch.GapNATSDisconnected, FromTime: since, ToTime: r.b.clock()}, r.b.name)
	}
	r.writeGaps()
	for _, m := range r.view.Members {
		if session, ok := r.leader.SessionOf(m.Broker); ok && m.Broker != r.b.name {
			r.transmit(m.Broker, session, 0, nil)
		}
	}
}

// settle tells the ring what is committed.
func (r *replica) settle() {
	for _, s := range r.ring.Committed(r.log.Committed().Seq) {
		r.w.oracle.settled(r, s)
	}
	for _, id := range r.gaps.Committed(r.log.Committed().Seq) {
		r.gapCommitted(id)
	}
}

// feed sends a follower batches as they lie in the log, synced or not (3.1), and what is committed.
func (r *replica) feed(to string) {
	for range 4 {
		session, seq, credit, ok := r.leader.Next(to)
		if !ok {
			break
		}
		reader := r.readerFor(to, session, seq)
		run, err := reader.Read(r.w.buffer[:max(min(credit, int64(len(r.w.buffer))), 1)], r.log.End())
		for large := (*commitlog.TooLargeError)(nil); errors.As(err, &large); { // one batch always goes
			run, err = reader.Read(r.w.buffer[:large.SizeBytes], r.log.End())
		}
		if commitlog.IsDamage(err) {
			r.spoilt(err)
			return
		}
		if err != nil || len(run.Bytes) == 0 { // retention has taken it meanwhile: the follower will ask again
			r.w.log("%s/%s cannot feed %s at %d: %v", r.b.name, r.id.String()[:2], to, seq, err)
			r.leader.Disconnected(to, session)
			return
		}
		r.leader.Sent(to, session, run.End.Seq, int64(len(run.Bytes)))
		r.readers[to].next = run.End.Seq
		r.transmit(to, session, seq, slices.Clone(run.Bytes))
	}
	if session, ok := r.leader.SessionOf(to); ok {
		if r.committedTo[to] != (toldSoFar{session, r.leader.Committed(), r.log.Start()}) {
			r.transmit(to, session, 0, nil)
		}
	}
}

// sentSoFar is where a leader reads on for a follower.
type sentSoFar struct {
	session, next uint64
	reader        *commitlog.Reader
}

func (r *replica) readerFor(to string, session, seq uint64) *commitlog.Reader {
	s := r.readers[to]
	if s == nil || s.session != session || s.next != seq {
		s = &sentSoFar{session: session, next: seq, reader: r.log.ReadFromPosition(commitlog.Position{Seq: seq})}
		r.readers[to] = s
	}
	return s.reader
}

// transmit sends a frame: batches that were read from a seq on, or none.
func (r *replica) transmit(to string, session, from uint64, run []byte) {
	f := frame{session: session, leaderEpoch: r.leaderEpoch(), from: from, bytes: run, sent: r.w.now, end: r.log.End(), commit: replication.Commit{
		LeaderEpoch: r.leaderEpoch(), Session: session, Position: r.leader.Committed(), LogStart: r.log.Start(), Compacted: r.log.Compacted(),
	}}
	r.committedTo[to] = toldSoFar{session, f.commit.Position, f.commit.LogStart}
	follower := r.w.byName(to)
	r.w.send(r.b, follower, func() {
		if to := follower.replicas[r.id]; to != nil {
			to.receives(f)
		}
	})
}

// proposeISR proposes the ISR that the leader wants, one change at a time.
func (r *replica) proposeISR() {
	if r.proposed {
		return
	}
	p, ok := r.leader.Proposal(r.b.monotonic())
	if !ok {
		return
	}
	r.proposed = true
	change := &clusterv1.ISRChange{Partition: r.id[:], LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch}
	for _, m := range p.ISR {
		change.Isr = append(change.Isr, &clusterv1.BrokerAt{Name: m.Broker, Epoch: m.BrokerEpoch})
	}
	command := &clusterv1.AlterISR{
		Leader: &clusterv1.BrokerAt{Name: r.b.name, Epoch: r.b.brokerEpoch()}, Changes: []*clusterv1.ISRChange{change},
	}
	leader := r.leader
	r.w.control.propose(r.b, &clusterv1.Command{Command: &clusterv1.Command_AlterIsr{AlterIsr: command}},
		func(result metadata.Result, known bool) {
			if r.leader != leader {
				return
			}
			r.proposed = false
			r.leader.Decided(p, decisionOf(result, known), r.b.monotonic())
			r.pump()
		})
}

// decisionOf is what a leader learns of its proposal.
func decisionOf(result metadata.Result, known bool) replication.Decision {
	if !known || result.Refusal != nil || len(result.Answer.Items) != 1 {
		return replication.Unknown
	}
	switch result.Answer.Items[0].Verdict {
	case clusterv1.Verdict_VERDICT_ACCEPTED:
		return replication.Accepted
	case clusterv1.Verdict_VERDICT_REFUSED:
		return replication.Refused
	default:
		return replication.Stale
	}
}

// retain lets the leader delete what the stream does not keep.
func (r *replica) retain() {
	if _, err := r.log.Retain(commitlog.Retention{Messages: r.w.plan.retain}, r.b.clock()); err != nil {
		r.spoilt(err)
		return
	}
	r.w.oracle.started(r, r.log.Start())
}

// compact removes records that newer ones supersede, each replica on its own (1.15).
func (r *replica) compact() {
	done, err := r.log.Compact(r.w.ctx, commitlog.Compaction{MemoryBytes: 1 << 20, TombstoneDelay: time.Hour}, r.b.clock())
	if err != nil {
		r.spoilt(err)
		return
	}
	if done.Segments > 0 {
		r.w.happened("compacted", uint64(r.b.index), uint64(done.Records))
		r.w.log("%s/%s compacted below %d, committed is %v of %v", r.b.name, r.id.String()[:2], r.log.Compacted(), r.log.Committed(), r.log.End())
	}
}

package simulation_test

import (
	"slices"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/replication"
	"github.com/trestlehq/trestle/server/internal/shadow"
)

// follow takes up the role of a follower.
func (r *replica) follow() {
	if r.bad != nil {
		return
	}
	r.follower = replication.NewFollower(replication.FollowerOptions{
		Broker: r.b.name, BrokerEpoch: r.b.brokerEpoch(), View: r.view,
		Last: r.last(), End: r.log.End(), Durable: r.log.Durable(), Committed: r.log.Committed(),
		LogStart: r.log.Start(), Compacted: r.log.Compacted(),
	})
	r.asked = 0
}

// ask sends the leader what this log ends with.
func (r *replica) ask() {
	open, ok := r.follower.Request()
	if !ok || r.view.Leader == "" || r.view.Leader == r.b.name {
		return
	}
	r.asked = r.b.monotonic()
	leader := r.w.byName(r.view.Leader)
	r.w.send(r.b, leader, func() {
		if to := leader.replicas[r.id]; to != nil {
			to.asks(open)
		}
	})
}

// answered does what the leader found about this log.
func (r *replica) answered(a replication.Answer) {
	if r.follower == nil {
		return
	}
	r.lastWord = r.b.monotonic()
	v := r.follower.Answered(a, r.history())
	r.w.log("%s/%s is answered %+v: %+v", r.b.name, r.id.String()[:2], a, v)
	switch v.Kind {
	case replication.Truncate:
		r.truncate(v.Seq, v.Unclean)
	case replication.Restart:
		r.w.happened("restart", uint64(r.b.index))
		if r.putBack(max(r.log.Committed().Seq, r.log.First().Seq)); r.bad == nil { // else it is mended first
			r.restart(v.Begin)
			r.follower.Truncated(r.log.End(), r.last())
		}
	case replication.Quarantine:
		r.w.violate("R8", "%s is quarantined: %s", r.b.name, v.Reason)
	case replication.Reopen:
	default:
		return
	}
	if r.b.up && r.follower != nil {
		r.ask()
	}
}

// truncate cuts the log at seq. What it heard of NATS goes back to the ring first.
func (r *replica) truncate(seq uint64, unclean bool) {
	r.w.happened("truncate", uint64(r.b.index), seq, uint64(r.id[0]))
	r.putBack(seq)
	if r.bad != nil {
		return
	}
	truncate := r.log.Truncate
	if unclean {
		truncate = r.log.TruncateUnclean
	}
	end, err := truncate(seq)
	if err != nil {
		r.spoilt(err)
		return
	}
	r.forgetEpochs(end)
	r.follower.Truncated(end, r.last())
}

// putBack tells the ring which captured records are about to be cut.
func (r *replica) putBack(seq uint64) {
	var cut []shadow.CutRecord
	err := r.eachCaptured(commitlog.Position{Seq: seq}, r.log.End(), func(h *batch.Header, offset int64, record *batch.Record) {
		cut = append(cut, shadow.CutRecord{
			Fingerprint: shadow.FingerprintOf(&secret, record), Record: batch.AppendRecord(nil, record), Seq: h.Seq, Time: h.Time,
		})
	})
	if err != nil {
		r.spoilt(err)
		return
	}
	if !mutant("simulation-cut-not-put-back") {
		r.ring.Truncated(seq, cut, r.b.clock())
	}
	r.putGapsBack(seq)
}

// putGapsBack keeps the gaps that are about to be cut, also those that another leader wrote, or this one before a restart:
// whoever has one in its log knows of it.
func (r *replica) putGapsBack(seq uint64) {
	if !mutant("simulation-cut-gap-forgotten") {
		r.gaps.Truncated(seq)
	}
	err := r.eachBatch(commitlog.Position{Seq: seq}, r.log.End(), func(h *batch.Header, b []byte) error {
		if c, err := batch.ParseControl(h.BodyOf(b)); h.Control() && err == nil && c.Kind == batch.ControlGap {
			r.w.oracle.gapCut(r, c.Gap)
			if !r.wrote[h.Seq] && !mutant("simulation-cut-gap-forgotten") {
				r.gaps.Add(c.Gap, r.b.name)
			}
		}
		return nil
	})
	if err != nil {
		r.spoilt(err)
	}
	clear(r.wrote)
}

// frame is what a leader sends: batches as they lie in its log, or nothing, and what is committed.
type frame struct {
	session, leaderEpoch uint64
	from                 uint64 // the seq that the bytes were read from
	bytes                []byte
	sent                 int64              // true time
	end                  commitlog.Position // of the leader's log then
	commit               replication.Commit
}

// receives takes what a leader sent.
func (r *replica) receives(f frame) {
	if r.follower == nil || r.bad != nil {
		return
	}
	r.lastWord = r.b.monotonic()
	if len(f.bytes) > 0 && !r.takeBatches(f) {
		return
	}
	r.follower.CommitTold(f.commit)
	if r.follower.Quarantined() {
		r.w.violate("R8", "%s is quarantined by a commit position", r.b.name)
	}
	r.log.Commit(r.follower.Committed())
	r.w.oracle.committed(r)
	if r.follower == nil {
		return
	}
	if _, err := r.log.SetStart(min(r.follower.LogStart(), r.log.Committed().Offset)); err != nil {
		r.spoilt(err)
		return
	}
	if f.sent > r.ticked && !r.log.End().Before(f.end) {
		r.progressed = true
	}
	r.settle()
	r.progress()
}

// takeBatches appends what follows from the log, and says whether the frame was of use.
func (r *replica) takeBatches(f frame) bool {
	headers, err := headersOf(f.bytes)
	r.w.must(err, "a frame of %s", r.view.Leader)
	b := replication.Batches{LeaderEpoch: f.leaderEpoch, Session: f.session, From: f.from, Headers: replicaHeaders(headers), Compacted: f.commit.Compacted}
	v := r.follower.Received(&b)
	if v.Kind != replication.Append {
		r.w.log("%s/%s received %d to %d of session %d: %+v", r.b.name, r.id.String()[:2], headers[0].Seq, headers[len(headers)-1].Seq, f.session, v)
	}
	switch v.Kind {
	case replication.Append:
	case replication.Reopen:
		r.ask()
		return false
	case replication.Quarantine:
		r.w.violate("R7", "%s is quarantined: %s", r.b.name, v.Reason)
		return false
	default:
		return false
	}
	_, err = r.log.Copy(f.bytes, f.commit.Compacted)
	r.b.check(err, "copying what the arithmetic let through to a log")
	for _, h := range headers {
		r.learnEpoch(h.LeaderEpoch, commitlog.Position{Seq: h.Seq, Offset: h.BaseOffset})
	}
	r.matchCaptured(f.bytes, headers)
	r.follower.Appended(r.log.End(), r.last())
	r.appended()
	return true
}

// matchCaptured tells the ring which captured records are in the log now.
func (r *replica) matchCaptured(run []byte, headers []batch.Header) {
	for _, h := range headers {
		if h.Attributes&batch.Captured != 0 {
			r.w.must(eachRecord(&h, run, func(offset int64, record *batch.Record) {
				r.ring.Appended(shadow.Captured{
					Fingerprint: shadow.FingerprintOf(&secret, record), Seq: h.Seq, Offset: offset, AppendTime: h.Time,
				}, r.b.clock())
			}), "reading a batch")
		}
		run = run[h.Size:]
	}
}

// progress tells the leader how far this log has come.
func (r *replica) progress() {
	p, ok := r.follower.Progress()
	if !ok {
		return
	}
	leader := r.w.byName(r.view.Leader)
	if leader == nil {
		return
	}
	process := r.b.process
	r.w.send(r.b, leader, func() {
		to := leader.replicas[r.id]
		if to == nil || to.leader == nil {
			return
		}
		if !to.leader.Progressed(p, leader.monotonic()) {
			if _, ok := to.leader.SessionOf(p.Broker); !ok {
				r.w.send(leader, r.b, func() { r.closed(process) })
			}
			return
		}
		to.pump()
	})
}

// closed is called when the leader has no session for this follower, which is to open another.
func (r *replica) closed(process int) {
	if r.b.process == process && r.follower != nil {
		r.w.log("%s/%s learns that its session is closed", r.b.name, r.id.String()[:2])
		r.follower.Disconnected()
		r.asked = 0
	}
}

// tickFollower asks the leader again when it is silent.
func (r *replica) tickFollower() {
	now := r.b.monotonic()
	if _, asking := r.follower.Request(); asking {
		if now-r.asked > int64(300*time.Millisecond) {
			r.ask()
		}
		return
	}
	if now-r.lastWord > int64(time.Second) {
		r.lastWord = now
		r.follower.Disconnected()
		r.ask()
		return
	}
	r.progress()
}

// tickRing asks the ring what a leader had the time to append and did not, and tells the leader (2.4).
func (r *replica) tickRing() {
	progressed := r.progressed && r.leader == nil
	r.ticked, r.progressed = r.w.now, false
	for _, report := range r.ring.Tick(r.b.clock(), progressed) {
		r.w.happened("report", uint64(r.b.index))
		r.gaps.Add(report.Gap(), r.b.name)
	}
	if r.leader == nil && r.follower != nil && r.view.Leader != "" {
		if r.w.now-r.retried > int64(time.Second) { // what was sent and not confirmed is sent again
			r.retried = r.w.now
			r.gaps.Retry()
		}
		for _, due := range r.gaps.Due(r.b.clock()) {
			r.tellGap(due)
		}
	}
}

// tellGap reports a gap to the leader, which answers once it is committed.
func (r *replica) tellGap(due shadow.DueGap) {
	leader, process := r.w.byName(r.view.Leader), r.b.process
	r.w.send(r.b, leader, func() {
		to := leader.replicas[r.id]
		if to == nil || to.leader == nil {
			return
		}
		id := to.gaps.Add(due.Gap, r.b.name)
		to.reported[id] = append(to.reported[id], func() {
			r.w.send(leader, r.b, func() {
				if r.b.process == process {
					r.gaps.Done(due.ID)
				}
			})
		})
	})
}

// gapCommitted tells those who reported a gap that they may forget it.
func (r *replica) gapCommitted(id uint64) {
	for _, tell := range r.reported[id] {
		tell()
	}
	delete(r.reported, id)
}

// headersOf are the headers of whole batches that lie one behind the other.
func headersOf(run []byte) ([]batch.Header, error) {
	var all []batch.Header
	for len(run) > 0 {
		h, err := batch.Parse(run)
		if err != nil {
			return nil, err
		}
		all, run = append(all, h), run[h.Size:]
	}
	return all, nil
}

func replicaHeaders(headers []batch.Header) []replication.BatchHeader {
	all := make([]replication.BatchHeader, len(headers))
	for i, h := range headers {
		all[i] = replication.BatchHeader{
			Seq: h.Seq, Epoch: h.LeaderEpoch, Offset: h.BaseOffset, NextOffset: h.NextOffset(), Time: h.Time,
			PreviousCRC: h.PreviousCRC, CRC: h.HeaderCRC,
		}
	}
	return all
}

// eachRecord visits the records of the batch at the start of b.
func eachRecord(h *batch.Header, b []byte, visit func(offset int64, record *batch.Record)) error {
	records, err := h.RecordsOf(b)
	if err != nil {
		return err
	}
	for {
		var record batch.Record
		delta, ok, err := records.Next(&record)
		if err != nil || !ok {
			return err
		}
		visit(h.BaseOffset+int64(delta), &record)
	}
}

// eachCaptured visits the captured records of this log between two positions.
func (r *replica) eachCaptured(from, to commitlog.Position, visit func(h *batch.Header, offset int64, record *batch.Record)) error {
	return r.eachBatch(from, to, func(h *batch.Header, b []byte) error {
		if h.Attributes&batch.Captured == 0 {
			return nil
		}
		return eachRecord(h, b, func(offset int64, record *batch.Record) { visit(h, offset, record) })
	})
}

// eachBatch visits the batches of this log between two positions.
func (r *replica) eachBatch(from, to commitlog.Position, visit func(h *batch.Header, b []byte) error) error {
	reader, buf := r.log.ReadFromPosition(from), r.w.buffer
	for {
		run, err := reader.Read(buf, to)
		if err != nil || len(run.Bytes) == 0 {
			return err
		}
		headers, err := headersOf(run.Bytes)
		if err != nil {
			return err
		}
		b := slices.Clone(run.Bytes)
		for i := range headers {
			if err := visit(&headers[i], b[:headers[i].Size]); err != nil {
				return err
			}
			b = b[headers[i].Size:]
		}
	}
}

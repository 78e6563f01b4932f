package replication

import (
	"fmt"

	"github.com/trestlehq/trestle/commitlog"
)

// stream is what a follower knows in one session.
type stream struct {
	session uint64
	told    commitlog.Position // the leader's commit position, as far as heard
	next    commitlog.Position // where the batches end that were accepted, appended or not
	last    BatchHeader        // the last of them; Seq, Epoch and CRC are those of the log to begin with
	suspect uint64             // next when a batch was found not to follow, once
	sent    Progress           // the last one; zero: none
}

// begin begins a session at the end of the follower's log. Nothing that was heard in another one holds.
func (s *stream) begin(session uint64, f *Follower) {
	last := f.name()
	told := commitlog.Position{}
	if mutant("replication-told-kept-across-sessions") {
		told = s.told
	}
	*s = stream{
		told: told, session: session, next: f.end, suspect: s.suspect,
		last: BatchHeader{Seq: last.Seq, Epoch: last.Epoch, CRC: last.CRC},
	}
}

// Received checks batches that came: Append if they follow from what was accepted before (R7), Drop if they are of another
// session or known, Reopen if some are missing. What does not follow although none is missing leads to Reopen, so that the
// leader compares the logs, and the second time to Quarantine.
func (f *Follower) Received(b *Batches) Verdict {
	if v, ok := f.addressed(b.LeaderEpoch, b.Session); !ok {
		return v
	}
	s := &f.stream
	if n := len(b.Headers); n == 0 || b.Headers[n-1].Seq < s.next.Seq && !mutant("replication-control-batch-again") {
		return Verdict{Kind: Drop}
	}
	next, last := s.next, s.last
	for i := range b.Headers {
		h := &b.Headers[i]
		if mutant("replication-control-batch-again") && h.Offset == h.NextOffset && h.Offset == next.Offset {
			next, last = commitlog.Position{Seq: h.Seq, Offset: h.Offset}, BatchHeader{}
		}
		if h.Seq != next.Seq && (h.Seq < next.Seq || h.Seq > b.Compacted) && !mutant("replication-gap-accepted") {
			return f.reopen()
		}
		lost := i == 0 && h.Seq != next.Seq && b.From != next.Seq
		if lost && !mutant("replication-lost-frame-for-hole") && !mutant("replication-gap-accepted") {
			return f.reopen()
		}
		if err := f.follows(h, next, &last, max(b.Compacted, f.compacted)); err != nil {
			return f.unfit(err)
		}
		next, last = commitlog.Position{Seq: h.Seq + 1, Offset: h.NextOffset}, *h
	}
	s.next, s.last, s.suspect = next, last, 0
	f.compacted = max(f.compacted, min(b.Compacted, next.Seq))
	return Verdict{Kind: Append}
}

// addressed says whether a message is of the present session, and what to do with it if not.
func (f *Follower) addressed(leaderEpoch, session uint64) (Verdict, bool) {
	s := &f.stream
	switch {
	case f.state != streaming || leaderEpoch != f.view.LeaderEpoch:
		return Verdict{Kind: Drop}, false
	case session > s.session:
		return f.reopen(), false // the leader is at another session: an Open came twice
	case session < s.session && !mutant("replication-former-session-received"):
		return Verdict{Kind: Drop}, false
	}
	return Verdict{}, true
}

func (f *Follower) reopen() Verdict {
	f.Disconnected()
	return Verdict{Kind: Reopen}
}

// unfit is reopen where opening anew must help: at the same place it does so once.
func (f *Follower) unfit(err error) Verdict {
	if f.stream.suspect == f.stream.next.Seq {
		return f.quarantine(err.Error())
	}
	f.stream.suspect = f.stream.next.Seq
	return f.reopen()
}

// follows says what is wrong with a batch that comes behind last, at next or behind a hole there.
func (f *Follower) follows(h *BatchHeader, next commitlog.Position, last *BatchHeader, compacted uint64) error {
	hole := h.Seq != next.Seq
	switch {
	case h.Epoch < last.Epoch || h.Epoch > f.view.LeaderEpoch:
		return fmt.Errorf("batch %d has leader epoch %d, behind one of %d in leader epoch %d",
			h.Seq, h.Epoch, last.Epoch, f.view.LeaderEpoch)
	case h.Time < last.Time:
		return fmt.Errorf("batch %d was appended at %d, the one before at %d", h.Seq, h.Time, last.Time)
	case h.NextOffset < h.Offset || h.Offset < next.Offset || h.Offset > next.Offset && !hole:
		return fmt.Errorf("batch %d has offsets %d to %d where %v is expected", h.Seq, h.Offset, h.NextOffset, next)
	// A compaction rewrites batches below compacted: their CRC is not the one that the next batch names.
	case !hole && last.CRC != 0 && last.Seq >= compacted && h.PreviousCRC != last.CRC && !mutant("replication-chain-not-compared"):
		return fmt.Errorf("batch %d does not name the one before it: %08x, not %08x", h.Seq, h.PreviousCRC, last.CRC)
	}
	return nil
}

// CommitTold takes note of the leader's commit position. A word of another session is dropped.
func (f *Follower) CommitTold(c Commit) Verdict {
	if v, ok := f.addressed(c.LeaderEpoch, c.Session); !ok {
		return v
	}
	f.told(&c)
	return Verdict{Kind: Wait}
}

func (f *Follower) told(c *Commit) {
	if f.stream.told.Before(c.Position) {
		f.stream.told = c.Position
	}
	if f.logStart < c.LogStart || mutant("replication-log-start-goes-back") {
		f.logStart = c.LogStart
	}
	f.commit()
}

// commit moves the commit position to what was told, as far as it is here (R7): never beyond what is appended.
func (f *Follower) commit() {
	if f.state != streaming {
		return
	}
	told := f.stream.told
	if f.end.Before(told) && !mutant("replication-commit-before-append") {
		told = f.end
	}
	if f.committed.Before(told) {
		f.committed = told
	}
}

// Progress is what to tell the leader. It is false if nothing changed since it was last returned.
func (f *Follower) Progress() (Progress, bool) {
	if f.state != streaming {
		return Progress{}, false
	}
	s := &f.stream
	p := Progress{
		Broker: f.self, BrokerEpoch: f.brokerEpoch, LeaderEpoch: f.view.LeaderEpoch, Session: s.session,
		PartitionEpoch: s.sent.PartitionEpoch, Received: f.end, Durable: f.durable,
	}
	// A leader asks for it before it takes a replica into the ISR; members need not say it.
	if !f.view.inSync(f.self) {
		p.PartitionEpoch = f.view.PartitionEpoch
	}
	changed := p.PartitionEpoch != s.sent.PartitionEpoch || p.Received != s.sent.Received ||
		p.Durable != s.sent.Durable
	s.sent = p
	return p, changed
}

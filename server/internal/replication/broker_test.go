package replication_test

import (
	"fmt"
	"math"
	"strings"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/replication"
)

const lagTime, leaseTime = 5_000_000_000, 1_000_000_000

// broker is a replica: a toy log and the role that a view gives it. It does what the arithmetic says.
type broker struct {
	name     string
	epoch    uint64
	log      *toyLog
	view     replication.View
	leader   *replication.Leader
	follower *replication.Follower
	logStart int64 // as leader
	credit   int64
}

// viewed takes up the role that a view gives.
func (b *broker) viewed(v replication.View, now int64) {
	if v.PartitionEpoch < b.view.PartitionEpoch { // a role hears of it, and ought not to listen
		if b.leader != nil {
			b.leader.Viewed(v, now)
		}
		if b.follower != nil {
			b.follower.Viewed(v, b.epoch)
		}
		return
	}
	defer b.keepCommit()
	switch {
	case b.leader != nil:
		b.leader.Viewed(v, now)
		if !b.leader.Deposed() {
			b.view = v
			return
		}
		b.leader = nil
	case b.follower != nil && v.Leader != b.name:
		b.follower.Viewed(v, b.epoch)
		b.view = v
		return
	}
	b.view = v
	if v.Leader == b.name {
		b.lead(now)
		return
	}
	b.follow()
}

func (b *broker) lead(now int64) {
	b.follower = nil
	before := b.log.end
	b.log.append(b.view.LeaderEpoch, true, "")
	b.leader = replication.NewLeader(replication.LeaderOptions{
		Broker: b.name, View: b.view, End: b.log.end, Durable: b.log.durable, Committed: b.log.committed, EpochBatch: before,
		LagNanos: lagTime, LeaseNanos: leaseTime, Credit: b.credit,
	}, now)
}

func (b *broker) follow() {
	b.leader = nil
	b.follower = replication.NewFollower(replication.FollowerOptions{
		Broker: b.name, BrokerEpoch: b.epoch, View: b.view, Last: b.log.last, End: b.log.end, Durable: b.log.durable,
		Committed: b.log.committed, Compacted: b.log.compacted,
	})
}

func (b *broker) append(n int, control bool) {
	for range n {
		b.log.append(b.view.LeaderEpoch, control, "")
	}
	b.leader.Appended(b.log.end)
	b.keepCommit()
}

func (b *broker) sync(seq uint64) {
	b.log.sync(seq)
	if b.leader != nil {
		b.leader.Synced(b.log.durable)
	}
	if b.follower != nil {
		b.follower.Synced(b.log.durable)
	}
	b.keepCommit()
}

// asked answers a follower; false: this broker does not lead.
func (b *broker) asked(o replication.Open, now int64) (replication.Answer, bool) {
	if b.leader == nil {
		return replication.Answer{}, false
	}
	defer b.keepCommit()
	return b.leader.Opened(o, b.log.history(), b.log.held, b.log.compacted, now), true
}

// answered does what the answer asks for, and says what that was.
func (b *broker) answered(a replication.Answer) string {
	if b.follower == nil {
		return "no follower"
	}
	v := b.follower.Answered(a, b.log.history())
	switch v.Kind {
	case replication.Truncate:
		b.log.truncate(v.Seq)
		b.follower.Truncated(b.log.end, b.log.last)
		return fmt.Sprintf("truncate %d%s", v.Seq, uncleanly(v))
	case replication.Restart:
		b.log.reset(v.Begin)
		b.follower.Truncated(b.log.end, b.log.last)
		return fmt.Sprintf("restart %d%s", v.Begin.Seq, uncleanly(v))
	default:
		return verdictName(v)
	}
}

func uncleanly(v replication.Verdict) string {
	if v.Unclean {
		return " unclean"
	}
	return ""
}

func verdictName(v replication.Verdict) string {
	return strings.TrimSpace([...]string{
		"", "wait", "drop", "stream", "append", "reopen", "truncate", "restart", "quarantine",
	}[v.Kind])
}

// frame is what a leader sends.
type frame struct {
	batches replication.Batches
	commit  replication.Commit
}

// frame makes the next frame for a follower, of at most n batches of 100 bytes.
func (b *broker) frame(to string, n int) (frame, bool) {
	session, seq, credit, ok := b.leader.Next(to)
	if !ok {
		return frame{}, false
	}
	headers := b.log.from(seq, max(1, min(n, int(min(credit, math.MaxInt32)/100))))
	if len(headers) == 0 || seq < b.log.first.Seq {
		b.leader.Disconnected(to, session)
		return frame{}, false
	}
	b.leader.Sent(to, session, headers[len(headers)-1].Seq+1, int64(100*len(headers)))
	return frame{
		batches: replication.Batches{
			LeaderEpoch: b.leader.LeaderEpoch(), Session: session, From: seq, Headers: headers, Compacted: b.log.compacted,
		},
		commit: b.commit(session),
	}, true
}

func (b *broker) commit(session uint64) replication.Commit {
	return replication.Commit{
		LeaderEpoch: b.leader.LeaderEpoch(), Session: session, Position: b.leader.Committed(), LogStart: b.logStart,
		Compacted: b.log.compacted,
	}
}

// receives takes a frame and says what became of it.
func (b *broker) receives(f frame) string {
	if b.follower == nil {
		return "no follower"
	}
	v := b.follower.Received(&f.batches)
	if v.Kind == replication.Append {
		at := b.log.end.Seq
		for _, h := range f.batches.Headers {
			b.log.take(h)
		}
		if at < f.batches.Compacted { // what came from there may have holes, and have been rewritten
			b.log.compacted = max(b.log.compacted, min(f.batches.Compacted, b.log.end.Seq))
		}
		b.follower.Appended(b.log.end, b.log.last)
		b.keepCommit()
	}
	return verdictName(v)
}

// told takes a commit position.
func (b *broker) told(c replication.Commit) string {
	if b.follower == nil {
		return "no follower"
	}
	v := b.follower.CommitTold(c)
	b.keepCommit()
	return verdictName(v)
}

// keepCommit gives the log the commit position of the role.
func (b *broker) keepCommit() {
	if p := b.committed(); b.log.committed.Before(p) {
		b.log.committed = p
	}
}

func (b *broker) committed() commitlog.Position {
	switch {
	case b.leader != nil:
		return b.leader.Committed()
	case b.follower != nil:
		return b.follower.Committed()
	}
	return b.log.committed
}

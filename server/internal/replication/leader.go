package replication

import "github.com/trestlehq/trestle/commitlog"

// LeaderOptions say what a broker begins to lead with.
type LeaderOptions struct {
	Broker string
	View   View // that made the broker the leader
	// End, Durable and Committed are those of the broker's own log.
	End, Durable, Committed commitlog.Position
	// EpochBatch is the position before the control batch of this leadership, which has been appended.
	EpochBatch commitlog.Position
	LagNanos   int64 // after which a follower that is behind leaves the ISR; 0: DefaultLagNanos
	LeaseNanos int64 // from the sending of an answered heartbeat; 0: DefaultLeaseNanos
	Credit     int64 // the most bytes that may be under way to one follower; 0: DefaultCredit
}

// Defaults of LeaderOptions.
const (
	DefaultLagNanos   = 5_000_000_000
	DefaultLeaseNanos = 1_000_000_000
	DefaultCredit     = 4 << 20
)

// Leader is one leadership of one log: it begins with nothing known of any follower (R1) and ends with the leader epoch. It
// is not safe for concurrent use.
type Leader struct {
	self     string
	epoch    uint64
	epochEnd uint64 // seq behind the epoch batch
	view     View
	deposed  bool

	end       commitlog.Position
	durable   commitlog.Position
	committed commitlog.Position

	remotes   []*remote // in no order that matters
	sessions  uint64    // last one given out
	credit    int64
	lag       lagClock
	proposals proposals
	lease     lease
}

// NewLeader begins a leadership. Every member of the ISR is granted a full lag time from now.
func NewLeader(o LeaderOptions, now int64) *Leader {
	l := &Leader{
		self: o.Broker, epoch: o.View.LeaderEpoch, epochEnd: o.EpochBatch.Seq + 1, view: o.View.copied(),
		end: o.End, durable: o.Durable, committed: o.Committed,
		// Sessions of a Leader that was made anew for the same epoch differ from those of the one before.
		sessions:  uint64(max(now, 0)),
		credit:    orDefault(o.Credit, DefaultCredit),
		lag:       lagClock{nanos: orDefault(o.LagNanos, DefaultLagNanos)},
		lease:     lease{nanos: orDefault(o.LeaseNanos, DefaultLeaseNanos), began: now},
		proposals: proposals{},
	}
	l.deposed = l.view.Leader != l.self
	for i := range l.view.Members {
		l.remote(l.view.Members[i].Broker).joined = now
	}
	l.lag.sample(l.end, now)
	l.advance()
	return l
}

func orDefault(n, otherwise int64) int64 {
	if n == 0 {
		return otherwise
	}
	return n
}

// LeaderEpoch names the leadership.
func (l *Leader) LeaderEpoch() uint64 { return l.epoch }

// Deposed says that the metadata knows of another leadership. Nothing is committed, proposed or sent any more.
func (l *Leader) Deposed() bool { return l.deposed }

// Appended takes note of the end of the leader's own log.
func (l *Leader) Appended(end commitlog.Position) {
	if l.end.Before(end) {
		l.end = end
		l.advance()
	}
}

// Synced takes note of the durable end of the leader's own log.
func (l *Leader) Synced(durable commitlog.Position) {
	if l.durable.Before(durable) {
		l.durable = durable
		l.advance()
	}
}

// Viewed takes note of newer metadata. An older View is ignored. One with another leader or leader epoch ends the
// leadership.
func (l *Leader) Viewed(v View, now int64) {
	if v.olderThan(&l.view) {
		return
	}
	before := l.view
	l.view = v.copied()
	switch {
	case v.Leader == l.self && mutant("replication-state-kept-across-epochs"):
		l.epoch = v.LeaderEpoch // L5
	case v.Leader != l.self || v.LeaderEpoch != l.epoch:
		l.deposed = true
	}
	if l.deposed {
		l.proposals.undecided = nil
		return
	}
	if before.PartitionEpoch < v.PartitionEpoch {
		l.proposals.passed(v.PartitionEpoch)
	}
	for i := range v.Members {
		m := &v.Members[i]
		if m.InSync && !before.inSync(m.Broker) {
			l.remote(m.Broker).joined = now
		}
	}
	for _, r := range l.remotes {
		if m := l.view.member(r.broker); m == nil || !r.lives(m) {
			r.forget() // that life of the broker is over
		}
	}
	l.lag.sample(l.end, now)
	l.advance()
}

// Committed is the commit position. It never goes back.
func (l *Leader) Committed() commitlog.Position { return l.committed }

// EpochCommitted says that the batch that began this leadership is committed, and all that was before it. Nothing that
// needs a high watermark that never goes back is published before (R1).
func (l *Leader) EpochCommitted() bool { return l.committed.Seq >= l.epochEnd }

// Enough says whether what is appended now can be committed without the ISR growing first (R6).
func (l *Leader) Enough() bool {
	enough := l.view.enough()
	if u := l.proposals.undecided; u != nil && mutant("replication-publish-on-a-proposal") {
		enough = len(u.ISR) >= l.view.MinISR
	}
	return !l.deposed && l.view.inSync(l.self) && enough
}

// MaximalISR lists the brokers that have to be safe before something is committed, in replica order: the ISR, and the members
// of a proposal that is not known to have failed.
func (l *Leader) MaximalISR() []string {
	var names []string
	for i := range l.view.Members {
		m := &l.view.Members[i]
		stays := m.InSync
		if p := l.proposals.undecided; p != nil && mutant("replication-shrink-before-decided") {
			stays = stays && p.has(m.Broker)
		}
		if stays || l.proposals.mayHave(m.Broker) {
			names = append(names, m.Broker)
		}
	}
	return names
}

// Heartbeat takes note that a heartbeat to the controller, sent then, was answered. It is called when the Views up to what the
// controller had committed when it answered have been shown: else answers would renew the lease of a leadership that a
// planned move has ended, for as long as this broker's metadata are behind.
func (l *Leader) Heartbeat(sent int64) { l.lease.renew(sent) }

// LeaseHeld says whether this leadership may do what one only may do at a time (protocol.md 3.3): answer linearizable
// queries, hand out to groups, take part in queue groups. No two leaderships of a log hold the lease at one moment, as far as
// clocks run alike: one that was elected by a planned move, while the lease of the one before may run, holds it after a lease.
func (l *Leader) LeaseHeld(now int64) bool {
	return !l.deposed && l.lease.runs(now) && l.lease.alone(now)
}

// AckLeader is how far acks of policy LEADER may go: to the leader's own safe position, and once no heartbeat was answered for
// a lease to the commit position (R5). They promise nothing about leadership: a lease that runs is enough.
func (l *Leader) AckLeader(now int64) commitlog.Position {
	safe := l.ownSafe()
	leads := !l.deposed && l.lease.runs(now)
	if safe.Before(l.committed) || !leads && !mutant("replication-ack-without-lease") {
		return l.committed
	}
	return safe
}

// ownSafe is the leader's own safe position.
func (l *Leader) ownSafe() commitlog.Position { return safePosition(&l.view, l.end, l.durable) }

// safePosition is how far a replica keeps what it has (1.7). What it says is durable counts as far as it has it.
func safePosition(v *View, end, durable commitlog.Position) commitlog.Position {
	if v.Synced && !mutant("replication-end-not-durable") && durable.Before(end) {
		return durable
	}
	return end
}

// advance moves the commit position to the least safe position over the maximal ISR (R3).
func (l *Leader) advance() {
	member := l.view.inSync(l.self) || mutant("replication-leader-outside-isr")
	if l.deposed || !member || !l.view.enough() && !mutant("replication-commit-below-min-isr") {
		return
	}
	least := l.end
	for _, broker := range l.MaximalISR() {
		if mutant("replication-leader-not-counted") && broker == l.self {
			continue
		}
		if safe := l.safeOf(broker); earlier(safe, least) {
			least = safe
		}
	}
	if l.committed.Before(least) || mutant("replication-commit-goes-back") {
		l.committed = least
	}
}

// earlier compares positions by seq: a control batch takes no offset.
func earlier(p, q commitlog.Position) bool {
	if mutant("replication-offsets-compared") {
		return p.Offset < q.Offset
	}
	return p.Before(q)
}

// safeOf is the safe position of a member, as far as it has told in this leadership and in its present life; else the start
// of any log (R2).
func (l *Leader) safeOf(broker string) commitlog.Position {
	if broker == l.self {
		return l.ownSafe()
	}
	r, m := l.remote(broker), l.view.member(broker)
	if m == nil || !r.known || !r.lives(m) {
		return commitlog.Position{}
	}
	return safePosition(&l.view, r.received, r.durable)
}

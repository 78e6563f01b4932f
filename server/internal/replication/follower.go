package replication

import "github.com/trestlehq/trestle/commitlog"

// FollowerOptions say what a broker begins to follow with.
type FollowerOptions struct {
	Broker      string
	BrokerEpoch uint64
	View        View
	// Last, End, Durable and Committed are those of the broker's own log.
	Last                    Name
	End, Durable, Committed commitlog.Position
	LogStart                int64  // of the broker's own log
	Compacted               uint64 // seq below which batches of the broker's own log may be missing or rewritten
	Credit                  int64  // bytes that may be under way to this replica; 0: DefaultCredit
}

// state is what a follower is at.
type state uint8

const (
	opening     state = iota // has to ask the leader, or waits for one
	streaming                // has a session
	cutting                  // has to truncate or restart its log first
	quarantined              // for good
)

// Follower is one replica that does not lead. It is not safe for concurrent use. What it is told of the log has happened
// in the order in which it is told: a durable end found before a truncation is not told after it.
type Follower struct {
	self        string
	brokerEpoch uint64
	view        View
	state       state
	fencedBelow uint64 // the leader epoch of the view must reach it: lower ones are over
	asked       bool   // a request has no answer yet

	last      Name
	newest    uint64 // highest epoch of a last batch: unclean elections above it allow to drop what is committed
	end       commitlog.Position
	durable   commitlog.Position
	committed commitlog.Position
	logStart  int64
	compacted uint64
	restarts  bool // cutting: the log begins anew
	credit    int64

	stream stream
}

// NewFollower begins to follow.
func NewFollower(o FollowerOptions) *Follower {
	return &Follower{
		self: o.Broker, brokerEpoch: o.BrokerEpoch, view: o.View.copied(),
		last: o.Last, newest: o.Last.Epoch, end: o.End, durable: o.Durable, committed: o.Committed,
		logStart: o.LogStart, compacted: o.Compacted, credit: orDefault(o.Credit, DefaultCredit),
	}
}

// Viewed takes note of newer metadata and of the broker's registration. An older View is ignored. With another leader, leader
// epoch or registration the log is checked again (R9).
func (f *Follower) Viewed(v View, brokerEpoch uint64) {
	if v.olderThan(&f.view) || brokerEpoch < f.brokerEpoch {
		return
	}
	leads := v.LeaderEpoch == f.view.LeaderEpoch || v.Leader == f.view.Leader && mutant("replication-same-leader-unchecked")
	same := v.Leader == f.view.Leader && leads && brokerEpoch == f.brokerEpoch
	f.view, f.brokerEpoch = v.copied(), brokerEpoch
	if !same {
		f.Disconnected()
	}
}

// Disconnected ends the session. What was accepted and is not appended by now must not be appended any more.
func (f *Follower) Disconnected() {
	f.asked = false
	if f.state == streaming {
		f.state = opening
	}
}

// Request is what to send to the leader while the follower has no session; it may be sent again and again.
func (f *Follower) Request() (Open, bool) {
	if f.state != opening || f.brokerEpoch == 0 || f.view.Leader == "" || f.view.Leader == f.self {
		return Open{}, false
	}
	// A log with batches of a later epoch than the view's knows better than this view does.
	if f.view.member(f.self) == nil || f.view.LeaderEpoch < max(f.fencedBelow, f.last.Epoch) {
		return Open{}, false
	}
	f.asked = true
	return Open{
		Broker: f.self, BrokerEpoch: f.brokerEpoch,
		LeaderEpoch: f.view.LeaderEpoch, PartitionEpoch: f.view.PartitionEpoch,
		Last: f.name(), Durable: f.durable, End: f.end, Credit: f.credit,
	}, true
}

// name is that of the last batch, without a CRC that need not be the one that others have (1.15).
func (f *Follower) name() Name {
	n := f.last
	if n.Seq < f.compacted {
		n.CRC = 0
	}
	return n
}

// Answered takes note of the leader's answer. h is the history of the follower's own log.
func (f *Follower) Answered(a Answer, h History) Verdict {
	switch {
	case f.state != opening || !f.asked:
		return Verdict{Kind: Wait}
	case (a.Last != f.name() || a.End != f.end.Seq) && !mutant("replication-stale-answer-believed"):
		return Verdict{Kind: Wait} // it is about a log that this one was once
	case a.Kind == AnswerFenced:
		f.asked, f.fencedBelow = false, max(f.fencedBelow, a.LeaderEpoch)
		return Verdict{Kind: Wait}
	case a.LeaderEpoch != f.view.LeaderEpoch && !mutant("replication-answer-epoch-unchecked"):
		return Verdict{Kind: Wait} // of a leader that is none any more, or not one that this replica knows of yet
	}
	switch a.Kind {
	case AnswerAccepted:
		if f.beginsElsewhere(&a) {
			return f.cut(Verdict{Kind: Restart, Begin: a.Begin}, a.Begin.Seq)
		}
		f.state = streaming
		f.stream.begin(a.Session, f)
		f.asked = false
		return Verdict{Kind: Stream}
	case AnswerDiverged:
		return f.diverged(&a, &h)
	case AnswerGone:
		return f.cut(Verdict{Kind: Restart, Begin: a.Begin}, a.Begin.Seq)
	case AnswerCorrupt:
		return f.quarantine("the leader has another batch of the same leader epoch at the place of the last one here")
	default:
		return Verdict{Kind: Wait}
	}
}

// beginsElsewhere says whether an empty log has to begin where the leader's does. There is nothing in it that the leader could
// compare; but before an unclean election other offsets may have stood below its first seq. What comes first did not fit.
func (f *Follower) beginsElsewhere(a *Answer) bool {
	return f.last == Name{} && f.stream.suspect == f.end.Seq && f.view.UncleanEpoch > f.newest && f.end != a.Begin &&
		!mutant("replication-empty-log-keeps-its-beginning")
}

// diverged says where to truncate: at the earlier end of the epoch that the leader named, here and there (R8, KIP-279).
func (f *Follower) diverged(a *Answer, h *History) Verdict {
	_, own := h.EpochEnd(a.Diverged.Epoch)
	t := min(a.Diverged.Seq, own)
	if mutant("replication-truncate-to-commit") {
		t = f.committed.Seq // L2
	}
	if t < h.First.Seq {
		return f.cut(Verdict{Kind: Restart, Begin: a.Begin}, t)
	}
	return f.cut(Verdict{Kind: Truncate, Seq: t}, t)
}

// cut has the log shortened to seq t, unless that would take away what is committed.
func (f *Follower) cut(v Verdict, t uint64) Verdict {
	v.Unclean = t < f.committed.Seq
	switch allowed := f.view.UncleanEpoch > f.newest; {
	case v.Unclean && !allowed && !mutant("replication-truncate-below-commit"):
		return f.quarantine("the leader's log lacks what is committed here, and no unclean election explains it")
	case v.Unclean && allowed && mutant("replication-unclean-refused"):
		return f.quarantine("")
	}
	f.state, f.asked, f.restarts = cutting, false, v.Kind == Restart
	return v
}

func (f *Follower) quarantine(reason string) Verdict {
	f.state, f.asked = quarantined, false
	return Verdict{Kind: Quarantine, Reason: reason}
}

// Quarantined says that the follower has stopped for good.
func (f *Follower) Quarantined() bool { return f.state == quarantined }

// Truncated takes note that the log was shortened, durably, and what it ends with now; the zero Name if nothing is left.
func (f *Follower) Truncated(end commitlog.Position, last Name) {
	f.Disconnected()
	f.end, f.durable, f.last = end, end, last
	f.compacted = min(f.compacted, end.Seq)
	if end.Before(f.committed) && !mutant("replication-rewritten-batch-named") {
		f.compacted = end.Seq // what is committed may have been compacted here since this began to follow
	}
	if end.Before(f.committed) || f.restarts {
		// What the leader no longer has because it expired was committed.
		f.committed = end
	}
	f.restarts = false
	if f.state == cutting {
		f.state = opening
	}
}

// Appended takes note that batches were appended and are not durable yet.
func (f *Follower) Appended(end commitlog.Position, last Name) {
	f.end, f.last, f.newest = end, last, max(f.newest, last.Epoch)
	f.commit()
}

// Synced takes note of the durable end of the log.
func (f *Follower) Synced(durable commitlog.Position) {
	if f.durable.Before(durable) {
		f.durable = durable
	}
}

// Committed is the commit position of this replica. It goes back only where a verdict was marked unclean.
func (f *Follower) Committed() commitlog.Position { return f.committed }

// LogStart is where the log begins for readers, by the leader's word: never by the follower's own clock (1.14). It does
// not pass what is committed here.
func (f *Follower) LogStart() int64 {
	if mutant("replication-log-start-beyond-commit") {
		return f.logStart
	}
	return min(f.logStart, f.committed.Offset)
}

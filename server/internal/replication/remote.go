package replication

import "github.com/trestlehq/trestle/commitlog"

// remote is what a leader knows of one replica, in one leadership. For the leader itself it stays empty.
type remote struct {
	broker string
	joined int64 // when it was first seen in the ISR, or the leadership began

	// What follows is of one life of the broker.
	brokerEpoch    uint64
	partitionEpoch uint64 // that the replica knew of when it last said something
	known          bool   // it has had a session in this leadership: received and durable hold
	received       commitlog.Position
	durable        commitlog.Position

	session uint64 // 0: none
	next    uint64 // seq of the batch to send next
	window  int64  // bytes that may be under way
	underWay
}

// underWay is what was sent in a session and not received as far as is known.
type underWay struct {
	bytes int64
	parts []part // in the order of the log
}

type part struct {
	end   uint64 // seq behind its last batch
	bytes int64
}

func (u *underWay) add(p part) {
	u.bytes += p.bytes
	u.parts = append(u.parts, p)
}

func (u *underWay) arrived(received uint64) {
	n := 0
	for n < len(u.parts) && u.parts[n].end <= received {
		u.bytes -= u.parts[n].bytes
		n++
	}
	u.parts = append(u.parts[:0], u.parts[n:]...)
}

// lives says whether what is known is of the present life of the broker.
func (r *remote) lives(m *Member) bool { return sameLife(r.brokerEpoch, m.BrokerEpoch) }

func sameLife(p, q uint64) bool { return p == q || mutant("replication-former-life-counted") }

// forget drops what is known of a life of the broker that is over.
func (r *remote) forget() { *r = remote{broker: r.broker, joined: r.joined} }

// opened begins a session with a log that is a beginning of the leader's.
func (r *remote) opened(o *Open, session uint64, window int64) {
	r.brokerEpoch, r.partitionEpoch, r.known = o.BrokerEpoch, o.PartitionEpoch, true
	r.received, r.durable = o.End, o.Durable
	r.session, r.next, r.window, r.underWay = session, o.End.Seq, window, underWay{}
}

// closed ends the session. What the replica has said of its log stays true.
func (r *remote) closed() { r.session = 0 }

func (r *remote) progressed(p *Progress) {
	r.partitionEpoch = max(r.partitionEpoch, p.PartitionEpoch)
	r.arrived(p.Received.Seq)
	if r.received.Before(p.Received) {
		r.received = p.Received
	}
	if r.durable.Before(p.Durable) {
		r.durable = p.Durable
	}
}

// room is how many bytes may be sent now. With nothing under way one batch always may.
func (r *remote) room() (int64, bool) {
	return max(r.window-r.bytes, 0), r.bytes < r.window || len(r.parts) == 0
}

// remote finds what is known of a broker's replica.
func (l *Leader) remote(broker string) *remote {
	for _, r := range l.remotes {
		if r.broker == broker {
			return r
		}
	}
	r := &remote{broker: broker}
	l.remotes = append(l.remotes, r)
	return r
}

// Opened answers an Open. h and held are of the leader's own log: held names its batch with that seq, if it has it, and
// compacted is the seq below which batches may be missing or rewritten. An accepted Open ends the session that the broker
// had before; whoever owns its stream closes it.
func (l *Leader) Opened(
	o Open, h History, held func(seq uint64) (Name, bool), compacted uint64, now int64,
) Answer {
	a := Answer{LeaderEpoch: l.view.LeaderEpoch, Last: o.Last, End: o.End.Seq, Begin: h.First}
	m := l.view.member(o.Broker)
	switch {
	case o.LeaderEpoch < l.view.LeaderEpoch && !mutant("replication-open-epoch-unchecked"):
		a.Kind = AnswerFenced
		return a
	case l.deposed || o.LeaderEpoch > l.view.LeaderEpoch:
		a.Kind = AnswerUnknown
		return a
	case m == nil || o.Broker == l.self || !sameLife(m.BrokerEpoch, o.BrokerEpoch):
		a.Kind = AnswerUnknown
		return a
	}
	log := lineage{history: h, held: held, compacted: compacted}
	a.Kind, a.Diverged = log.judge(&o)
	r := l.remote(o.Broker)
	switch {
	case a.Kind == AnswerAccepted, a.Kind == AnswerDiverged && mutant("replication-diverged-counts"):
		l.sessions++
		r.opened(&o, l.sessions, min(orDefault(o.Credit, DefaultCredit), l.credit))
		a.Session = r.session
	case a.Kind == AnswerCorrupt:
		r.forget() // nothing it said holds
	}
	l.lag.sample(l.end, now)
	l.advance()
	return a
}

// Progressed takes note of how far a follower is. It is false, and nothing counts, if the word is not of the follower's
// present session (R2): then its stream is to be closed, so that it opens another.
func (l *Leader) Progressed(p Progress, now int64) bool {
	r, m := l.remoteOf(p.Broker), l.view.member(p.Broker)
	switch {
	case l.deposed, r == nil, m == nil:
		return false
	case p.LeaderEpoch != l.epoch && !mutant("replication-former-epoch-counted"):
		return false
	case (r.session == 0 || p.Session != r.session) && !mutant("replication-former-session-counted"):
		return false
	case !sameLife(p.BrokerEpoch, m.BrokerEpoch) || !r.lives(m):
		return false
	}
	r.progressed(&p)
	l.lag.sample(l.end, now)
	l.advance()
	return true
}

// remoteOf finds a broker of which something is known.
func (l *Leader) remoteOf(broker string) *remote {
	if l.view.member(broker) == nil || broker == l.self {
		return nil
	}
	return l.remote(broker)
}

// Disconnected ends a session, if it is the follower's present one.
func (l *Leader) Disconnected(broker string, session uint64) {
	if r := l.remoteOf(broker); r != nil && r.session == session {
		r.closed()
	}
}

// SessionOf is the present session of a follower; false: it has none, and a stream that it has is to be closed.
func (l *Leader) SessionOf(broker string) (session uint64, ok bool) {
	if r := l.remoteOf(broker); r != nil && !l.deposed {
		return r.session, r.session != 0
	}
	return 0, false
}

// Next says what to send to a follower: batches from seq on, up to credit bytes but one at least. It is false while there
// is nothing to send, no session, or no credit. A follower whose seq lies below the beginning of the leader's log has to
// open anew: close its stream.
func (l *Leader) Next(broker string) (session, seq uint64, credit int64, ok bool) {
	r := l.remoteOf(broker)
	if r == nil || l.deposed || r.session == 0 {
		return 0, 0, 0, false
	}
	credit, ok = r.room()
	return r.session, r.next, credit, ok && r.next < l.end.Seq
}

// Sent takes note that batches up to end, exclusive, of that many bytes were sent.
func (l *Leader) Sent(broker string, session, end uint64, bytes int64) {
	if r := l.remoteOf(broker); r != nil && r.session == session && session != 0 {
		r.next = max(r.next, end)
		r.add(part{end: end, bytes: bytes})
	}
}

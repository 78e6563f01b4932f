package replication

// proposals keeps what a leader has asked the metadata for. One is under way at a time (R4).
type proposals struct {
	undecided *Proposal // not known to have failed
	decided   bool      // undecided need not be sent again: a View will tell
	refusedAt uint64    // partition epoch in which the last one was refused: the next needs a higher one
	refusals  uint      // in a row
	after     int64     // no new one before
}

// passed takes note of a higher partition epoch: nothing that was proposed before can be accepted any more, and if it was
// accepted the View says so.
func (p *proposals) passed(partitionEpoch uint64) {
	if p.undecided != nil && p.undecided.PartitionEpoch < partitionEpoch {
		p.undecided, p.decided = nil, false
	}
}

// mayHave says whether a proposal that may yet be accepted has that member.
func (p *proposals) mayHave(broker string) bool {
	return p.undecided != nil && p.undecided.has(broker) && !mutant("replication-skip-maximal-isr")
}

// refused drops the proposal: no copy of it can be accepted any more. The more often, the later the next one comes.
func (p *proposals) refused(lagNanos, now int64) {
	p.refusedAt = p.undecided.PartitionEpoch
	p.undecided, p.decided = nil, false
	p.after = now + min(lagNanos, lagNanos/64<<min(p.refusals, 6))
	p.refusals++
}

// Proposal is what is to be proposed to the metadata now: what is under way, until its outcome is known, else another ISR
// if one is wanted. It is proposed as often as asked for, byte for byte the same.
func (l *Leader) Proposal(now int64) (Proposal, bool) {
	l.lag.sample(l.end, now)
	p := &l.proposals
	switch {
	case l.deposed || !l.view.inSync(l.self) || !l.view.member(l.self).Live:
		return Proposal{}, false
	case p.undecided != nil && mutant("replication-retry-differs"):
		if wanted, ok := l.wanted(now); ok {
			return wanted, true
		}
		return *p.undecided, !p.decided
	case p.undecided != nil:
		return *p.undecided, !p.decided
	case l.view.PartitionEpoch <= p.refusedAt || now < p.after:
		return Proposal{}, false
	}
	wanted, ok := l.wanted(now)
	if !ok {
		return Proposal{}, false
	}
	p.undecided = &wanted
	return wanted, true
}

// wanted is the ISR without those that lag and with those that have caught up; false if that is the ISR.
func (l *Leader) wanted(now int64) (Proposal, bool) {
	p := Proposal{LeaderEpoch: l.epoch, PartitionEpoch: l.view.PartitionEpoch}
	changed := false
	for i := range l.view.Members {
		m := &l.view.Members[i]
		if m.Broker != l.self {
			belongs := !m.InSync && l.caughtUp(m, now) || m.InSync && !l.lagging(m, now)
			changed = changed || belongs != m.InSync
			if !belongs || !m.Live {
				continue // one that is not live would have all of it refused
			}
		}
		p.ISR = append(p.ISR, InSync{Broker: m.Broker, BrokerEpoch: m.BrokerEpoch})
	}
	return p, changed
}

// lagging says whether a member of the ISR has been behind for a lag time in what is safe with it.
func (l *Leader) lagging(m *Member, now int64) bool {
	safe := l.safeOf(m.Broker)
	if mutant("replication-lag-of-received") {
		safe = l.remote(m.Broker).received
	}
	granted := now-l.remote(m.Broker).joined < l.lag.nanos && !mutant("replication-no-lag-time-granted")
	return !granted && safe.Before(l.lag.due(now))
}

// caughtUp says whether a replica may join the ISR (R4): it has all that is committed and the batch that began this
// leadership, it is no further behind than members may be, and it said so in its present session and life, knowing the
// partition epoch in which it is proposed.
func (l *Leader) caughtUp(m *Member, now int64) bool {
	r, safe := l.remote(m.Broker), l.safeOf(m.Broker)
	switch {
	case !m.Live, r.session == 0, !r.lives(m):
		return false
	case r.partitionEpoch < l.view.PartitionEpoch && !mutant("replication-expand-former-partition-epoch"):
		return false
	case safe.Before(l.committed) && !mutant("replication-expand-without-commit"):
		return false
	case safe.Seq < l.epochEnd && !mutant("replication-expand-without-epoch-batch"):
		return false
	}
	return !safe.Before(l.lag.due(now))
}

// Decided takes note of what became of a proposal. Only the one under way counts.
func (l *Leader) Decided(p Proposal, d Decision, now int64) {
	u := l.proposals.undecided
	if u == nil || !u.equal(&p) {
		return
	}
	switch d {
	case Accepted, Stale:
		// Stale may be the answer to a copy of one that was accepted. Either way the View to come tells.
		l.proposals.decided = true
		if d == Accepted {
			l.proposals.refusals = 0
		}
	case Refused:
		l.proposals.refused(l.lag.nanos, now)
	case Unknown:
		if mutant("replication-unknown-is-refused") {
			l.proposals.refused(l.lag.nanos, now)
		}
	}
	l.lag.sample(l.end, now)
	l.advance()
}

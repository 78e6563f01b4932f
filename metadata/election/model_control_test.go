package election_test

import (
	"math/bits"

	"github.com/trestlehq/trestle/metadata/election"
)

func newMembership(b bounds) election.Membership {
	return election.New(brokers[:b.brokers], b.minISR, b.durable)
}

func (m *model) stepMetadata(s *state, r *replica, a action) bool {
	switch a.kind {
	case doPropose:
		return m.propose(s, r, a)
	case doDecide:
		return m.decide(s, r, a.who)
	case doLearn:
		return m.learn(s, r, a.who)
	case doTransfer:
		if s.left.transfers == 0 || s.leader == 0 || s.leader == a.who+1 || !r.live || m.list[s.members].isr>>a.who&1 == 0 ||
			s.epoch == m.maxEpoch {
			return false
		}
		s.left.transfers--
		s.leader = a.who + 1
		s.epoch++
		m.changed(s)
	default:
		if s.left.settings == 0 || int(a.arg) == m.list[s.members].MinISR {
			return false
		}
		s.left.settings--
		m.become(s, m.apply(s.members, opMinISR, a.arg, chain{}).members)
		return m.elect(s)
	}
	return true
}

// propose: R4. One proposal at a time; who joins has what is committed and what the leader began with.
func (m *model) propose(s *state, r *replica, a action) bool {
	if !r.leads || r.proposed != 0 || s.left.changes == 0 || a.arg == r.view || a.arg>>a.who&1 == 0 {
		return false
	}
	// A deposed leader's proposal is never accepted and only holds its commits back.
	if s.leader != a.who+1 || s.epoch != r.epoch || !m.swaps && bits.OnesCount8(a.arg^r.view) > 1 {
		return false
	}
	for i := range m.brokers {
		if joins := a.arg&^r.view>>i&1 != 0; joins {
			enough := max(s.acked.n, r.start()) // what was acknowledged beyond its start, the leader committed itself
			if m.joinBelowStart && s.acked.n <= r.start() {
				enough = 0
			}
			if r.known>>i&1 == 0 || r.progress[i] < enough {
				return false
			}
		}
	}
	s.left.changes--
	r.proposed = a.arg
	return true
}

// decide: C2, as the controller applies it. An accepted proposal stays open until the leader learns the metadata. "You are
// stale" is no answer: the proposal may have been accepted before.
func (m *model) decide(s *state, r *replica, who uint8) bool {
	if r.proposed == 0 {
		return false
	}
	if s.epoch != r.epoch || s.leader != who+1 || !r.current {
		if m.staleIsRefused {
			r.proposed, r.outdated = 0, false
			m.advance(s, who)
			return true
		}
		return false
	}
	refused := r.outdated && !m.anyIncarnationJoins
	for i := range m.brokers {
		if r.proposed>>i&1 != 0 && !s.r[i].live {
			refused = true
		}
	}
	if refused {
		r.proposed, r.outdated = 0, false
		m.advance(s, who)
		return true
	}
	m.become(s, m.apply(s.members, opInSync, r.proposed, chain{}).members)
	m.changed(s)
	return true
}

// learn brings the leader's view up to date. With a newer partition epoch its proposal is settled one way or the other.
func (m *model) learn(s *state, r *replica, who uint8) bool {
	all := uint8(1<<m.brokers - 1)
	if !r.leads || s.leader != who+1 || s.epoch != r.epoch || r.current && r.known == all {
		return false
	}
	fresh := all &^ r.known
	r.known = all
	for i := range m.brokers {
		if fresh>>i&1 != 0 {
			r.progress[i] = 0
			if !m.lag && s.r[i].up && s.r[i].epoch == r.epoch {
				r.progress[i] = m.safe(&s.r[i])
			}
		}
	}
	if !r.current {
		r.proposed, r.outdated = 0, false
		m.look(s, r)
	}
	m.advance(s, who)
	return true
}

func (m *model) stepBroker(s *state, r *replica, a action) bool {
	switch a.kind {
	case doCrash:
		return m.crash(s, r)
	case doStop:
		if !r.up || s.left.stops == 0 {
			return false
		}
		s.left.stops--
		r.resign()
		r.up, r.clean, r.epoch = false, true, 0
		if m.durable {
			r.durable = r.log.n
		}
	case doStart:
		return m.start(s, r, a)
	case doFence:
		if !r.live || s.left.fences == 0 {
			return false
		}
		s.left.fences--
		r.live = false
		m.become(s, m.apply(s.members, opLeft, a.who, chain{}).members)
		if s.leader == a.who+1 {
			s.leader = 0
			m.changed(s)
		}
		return m.elect(s)
	default:
		if !r.up || r.live {
			return false
		}
		r.live = true
		return m.elect(s)
	}
	return true
}

func (m *model) crash(s *state, r *replica) bool {
	if !r.up || s.left.crashes == 0 {
		return false
	}
	s.left.crashes--
	r.resign()
	r.up, r.epoch = false, 0
	return true
}

// diskLost as the number of batches found.
const diskLost = maxBatches + 1

// find is what a broker finds on its disk: any part of what was not fsynced may be lost. The loss of more is rot above the
// mark, which is cut there, and uses up the budget of S1; without fsync the loss of anything does.
func (m *model) find(s *state, r *replica, who, n uint8) bool {
	lost := n == diskLost || n < r.log.n && (!m.durable || n < r.durable)
	if r.clean && n < r.log.n || n > r.log.n && n != diskLost || n == diskLost && m.loss {
		return false
	}
	if lost && !m.loss {
		if s.left.faults == 0 || !m.spoil(s, who) {
			return false
		}
		s.left.faults--
	}
	if n == diskLost {
		n = 0
	}
	r.log = r.log.cut(n)
	if r.durable = min(r.durable, r.log.n); m.durable && !m.restartUnsynced {
		r.durable = r.log.n
	}
	return true
}

// spoil counts a copy as spoilt, unless that goes beyond the budget of S1.
func (m *model) spoil(s *state, who uint8) bool {
	x := &m.list[s.members]
	if (x.isr|x.elr|x.lost|x.lastKnown)>>who&1 != 0 {
		s.bad |= 1 << who
	}
	return bits.OnesCount8(s.bad) < min(x.MinISR, x.Quorum)
}

// start: C5. A new registration ends every role of the old one.
func (m *model) start(s *state, r *replica, a action) bool {
	if r.up || !m.find(s, r, a.who, a.arg) {
		return false
	}
	who := a.who
	op := opRestarted
	if a.arg == diskLost {
		op = opLostCopy
	} else if r.clean {
		op = opRejoined
	}
	m.become(s, m.apply(s.members, op, who, r.log).members)
	r.up, r.live, r.clean = true, true, false
	for i := range m.brokers {
		l := &s.r[i]
		if l.leads {
			l.known &^= 1 << who
			l.outdated = l.outdated || l.proposed>>who&1 != 0
		}
	}
	if s.leader == who+1 {
		s.leader = 0
		m.changed(s)
	}
	return m.elect(s)
}

// elect is what the controller does at the end of every command: a partition without leader gets one, if any can be had.
func (m *model) elect(s *state) bool {
	if s.leader != 0 {
		return true
	}
	var live uint8
	for i := range m.brokers {
		if s.r[i].live {
			live |= 1 << i
		}
	}
	o := m.apply(s.members, opElect, live, chain{})
	if o.leader == 0 {
		members := &m.list[s.members]
		if holders := members.isr | members.elr | members.lastKnown; holders&^live == 0 {
			m.broken = "liveness: every replica that is left has registered, and none leads"
		}
		return true
	}
	if s.epoch == m.maxEpoch {
		return false
	}
	s.epoch++
	s.leader = o.leader
	m.become(s, o.members)
	m.changed(s)
	if leader := &s.r[o.leader-1]; o.unclean && m.loss {
		s.acked = s.acked.cut(s.acked.common(leader.log))
		m.withdraw(s)
	}
	return true
}

// withdraw: after an unclean election that cut what was acknowledged, leaders of before are no longer held to it.
func (m *model) withdraw(s *state) {
	for i := range m.brokers {
		if r := &s.r[i]; r.leads && !s.acked.startsWith(r.log) {
			r.resign()
		}
	}
}

// become gives the partition a membership, which is a change if it is another one. A spoilt copy is repaired when it is in
// the ISR again, and no longer needed when the ISR is whole without it.
func (m *model) become(s *state, members uint32) {
	x := &m.list[members]
	s.bad &= x.elr | x.lost | x.lastKnown
	if s.members != members {
		s.members = members
		m.changed(s)
	}
}

// changed: the partition epoch has grown.
func (m *model) changed(s *state) {
	for i := range m.brokers {
		s.r[i].current = false
	}
}

// check holds a state against the invariants of reliability.md 2.2.
func (m *model) check(s *state) {
	members := &m.list[s.members]
	for i := range m.brokers {
		r := &s.r[i]
		if r.leads && r.epoch == s.epoch && !r.log.startsWith(s.acked) {
			m.broken = "S2: " + brokers[i] + " leads without all that was acknowledged"
		}
		if m.promises {
			continue
		}
		if sure := (members.isr|members.elr)&^members.unsure>>i&1 != 0; sure && (r.up || r.clean) {
			if !r.log.startsWith(s.acked) || m.durable && !m.commitUnsynced && r.durable < s.acked.n {
				m.broken = "S3: " + brokers[i] + " is a sure member without all that was acknowledged"
			}
		}
		for j := range i {
			if o := s.r[j].log; matchesBeyond(r.log, o) {
				m.broken = "S4: the logs of " + brokers[j] + " and " + brokers[i] + " agree on a batch and not on those before"
			}
		}
		if r.leads && r.epoch == s.epoch && (bits.OnesCount8(r.view) >= int(r.viewMin) || m.commitIgnoresMinISR) {
			maximal := r.view | r.proposed
			if m.commitIgnoresProposal {
				maximal = r.view
			}
			if (members.isr|members.elr)&^maximal != 0 {
				m.broken = "S5: " + brokers[i] + " may commit without a member of ISR or ELR"
			}
		}
	}
	if !m.promises && m.isConfused(members) {
		m.broken = "the sets of the membership are not disjoint, or stale"
	}
}

// matchesBeyond: the same epoch at some seq above the first difference.
func matchesBeyond(a, b chain) bool {
	for seq := a.common(b) + 1; seq <= min(a.n, b.n); seq++ {
		if a.at(seq) == b.at(seq) {
			return true
		}
	}
	return false
}

func (m *model) isConfused(x *membership) bool {
	sets := []uint8{x.isr, x.elr, x.lastKnown, x.lost}
	var seen uint8
	for _, set := range sets {
		if seen&set != 0 {
			return true
		}
		seen |= set
	}
	return x.unsure&^(x.elr|x.lastKnown) != 0 || bits.OnesCount8(x.isr) >= x.MinISR && x.elr|x.lastKnown|x.lost|x.unsure != 0
}

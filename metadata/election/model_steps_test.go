package election_test

import (
	"fmt"
	"math/bits"
)

// faults are faults of the code around the rule, which the model must notice as well.
type faults struct {
	commitIgnoresProposal bool // commit position over the learned ISR only
	commitIgnoresMinISR   bool
	commitUnsynced        bool // safe position is the end of the log
	joinBelowStart        bool // a follower may join the ISR below the start of the leader's epoch
	staleIsRefused        bool // the answer "you are stale" taken for "no"
	oldIncarnationCounts  bool // progress of a registration that the leader has not learned
	anyIncarnationJoins   bool // an ISR change is accepted whatever registration of its members it names
	restartUnsynced       bool // a replica registers what it has found without having fsynced it
}

type bounds struct {
	brokers  int
	minISR   int
	durable  bool
	maxEpoch uint8
	budget   budget
	begin    func(m *model, s *state) // changes the initial state; nil: all in sync
	// loss: more copies may be lost than S1 grants. Then what was acknowledged goes by an unclean election only.
	loss bool
	// lag: what a follower has reported arrives at some later time. Otherwise at once: see DESIGN.md.
	lag bool
	// promises: only what the outside sees is checked (S1, S2, S6, S9, liveness), not what it rests on (S3, S4, S5).
	promises bool
	// swaps: one proposal may add and remove members. Otherwise it adds one or removes one.
	swaps bool
}

type model struct {
	bounds
	faults
	*controller
	broken string // why the last step broke an invariant
}

func newModel(b bounds, r rule, f faults) *model {
	return &model{bounds: b, faults: f, controller: newController(r)}
}

type action struct {
	kind kind
	who  uint8
	arg  uint8
}

type kind uint8

const (
	doAppend kind = iota
	doReplicate
	doSync
	doReport
	doFollow
	doLead
	doPropose
	doDecide
	doLearn
	doCrash
	doStop
	doStart
	doFence
	doUnfence
	doTransfer
	doMinISR
	kinds
)

func (a action) String() string {
	b := brokers[a.who]
	switch a.kind {
	case doAppend:
		return b + " appends a record"
	case doReplicate:
		return b + " fetches one batch"
	case doSync:
		return b + " fsyncs"
	case doReport:
		return b + " reports its safe position"
	case doFollow:
		return b + " follows the leader"
	case doLead:
		return b + " begins to lead"
	case doPropose:
		return fmt.Sprintf("%s proposes ISR %s", b, names(a.arg))
	case doDecide:
		return "the controller decides on the proposal of " + b
	case doLearn:
		return b + " learns the metadata"
	case doCrash:
		return b + " crashes"
	case doStop:
		return b + " stops cleanly"
	case doStart:
		if a.arg == diskLost {
			return b + " starts with a new disk and registers"
		}
		return fmt.Sprintf("%s starts, finds %d batches and registers", b, a.arg)
	case doFence:
		return b + " is fenced"
	case doUnfence:
		return b + " is heard again and no longer fenced"
	case doTransfer:
		return "an operator makes " + b + " the leader"
	case doMinISR:
		return fmt.Sprintf("min ISR is set to %d", a.arg)
	default:
		return "?"
	}
}

// initial: the first broker leads epoch 1, everybody has its epoch batch, fsynced and committed.
func (m *model) initial() state {
	var s state
	all := uint8(1<<m.brokers - 1)
	s.members = m.intern(newMembership(m.bounds))
	s.leader, s.epoch, s.left = 1, 1, m.budget
	s.acked = chain{}.with(1)
	for i := range m.brokers {
		s.r[i] = replica{log: s.acked, up: true, live: true, epoch: 1}
		if m.durable {
			s.r[i].durable = 1
		}
	}
	r := &s.r[0]
	r.leads, r.view, r.viewMin, r.current, r.known = true, all, uint8(m.minISR), true, all
	for i := range m.brokers {
		r.progress[i] = 1
	}
	if m.begin != nil {
		m.begin(m, &s)
	}
	return s
}

// step does a in s; false if it cannot happen there. m.broken says which invariant it broke, if any.
func (m *model) step(s *state, a action) bool {
	m.broken = ""
	r := &s.r[a.who]
	var did bool
	switch a.kind {
	case doAppend, doReplicate, doSync, doReport, doFollow, doLead:
		did = m.stepLog(s, r, a)
	case doPropose, doDecide, doLearn, doTransfer, doMinISR:
		did = m.stepMetadata(s, r, a)
	default:
		did = m.stepBroker(s, r, a)
	}
	if did {
		m.normalize(s)
	}
	if did && m.broken == "" {
		m.check(s)
	}
	return did
}

func (m *model) stepLog(s *state, r *replica, a action) bool {
	switch a.kind {
	case doAppend:
		if !r.leads || s.left.records == 0 || r.log.n == maxBatches {
			return false
		}
		s.left.records--
		r.log = r.log.with(r.epoch)
		m.advance(s, a.who)
	case doReplicate:
		l := s.leaderOf(r.epoch)
		if !r.up || r.leads || l == nil || r.log.n >= l.log.n {
			return false
		}
		if !l.log.startsWith(r.log) {
			m.broken = "R8: a follower's log is no prefix of its leader's"
		}
		r.log = r.log.with(l.log.at(r.log.n + 1))
		m.arrive(s, a.who)
	case doSync:
		if !m.durable || !r.up || r.durable == r.log.n || !r.leads && s.leaderOf(r.epoch) == nil {
			return false // nobody to report to: it may as well sync later
		}
		r.durable = r.log.n
		if r.leads {
			m.advance(s, a.who)
		} else {
			m.arrive(s, a.who)
		}
	case doReport:
		return m.lag && m.report(s, r, a.who)
	case doFollow:
		return m.follow(s, r, a.who)
	default:
		return m.lead(s, r, a.who)
	}
	return true
}

// report: R2. The leader counts progress only from the registration that it has learned.
func (m *model) report(s *state, r *replica, who uint8) bool {
	l := s.leaderOf(r.epoch)
	if !r.up || r.leads || l == nil {
		return false
	}
	if l.known>>who&1 == 0 && !m.oldIncarnationCounts {
		return false
	}
	if l.progress[who] >= m.safe(r) {
		return false
	}
	l.progress[who] = m.safe(r)
	for i := range m.brokers {
		if &s.r[i] == l {
			m.advance(s, uint8(i))
		}
	}
	return true
}

// arrive: what a follower reports is there at once, unless reports lag.
func (m *model) arrive(s *state, who uint8) {
	if !m.lag {
		m.report(s, &s.r[who], who)
	}
}

// follow: R8, R9. The follower names its last batch, cuts what the leader does not have of that epoch, and asks again.
func (m *model) follow(s *state, r *replica, who uint8) bool {
	l := s.leaderOf(s.epoch)
	if !r.up || r.epoch >= s.epoch || l == nil || l == r {
		return false
	}
	had := r.log.startsWith(s.acked)
	for r.log.n > 0 {
		_, own := r.log.endOf(r.log.last())
		epoch, end := l.log.endOf(r.log.last())
		if epoch == r.log.last() && end >= own {
			break
		}
		_, mine := r.log.endOf(epoch)
		r.log = r.log.cut(min(end, mine))
	}
	r.durable = min(r.durable, r.log.n)
	if had && !r.log.startsWith(s.acked) {
		m.broken = "R8: a follower cut what was acknowledged"
	}
	r.resign()
	r.epoch = s.epoch
	m.arrive(s, who)
	return true
}

// lead: R1.
func (m *model) lead(s *state, r *replica, who uint8) bool {
	if !r.up || s.leader != who+1 || r.epoch >= s.epoch || r.log.n == maxBatches {
		return false
	}
	if s.leaderOf(s.epoch) != nil {
		m.broken = "S9: two brokers lead one epoch"
	}
	if !r.log.startsWith(s.acked) {
		m.broken = fmt.Sprintf("S1, S2: %s begins to lead with %v, acknowledged is %v", brokers[who], r.log, s.acked)
	}
	r.resign()
	r.leads, r.epoch = true, s.epoch
	r.log = r.log.with(s.epoch)
	r.known = 1<<m.brokers - 1
	m.look(s, r)
	m.advance(s, who)
	return true
}

// normalize forgets what can no longer have an effect, so that states that differ only in that are one.
func (m *model) normalize(s *state) {
	for i := range m.brokers {
		r := &s.r[i]
		if !r.leads || r.epoch == s.epoch && int(s.leader) == i+1 {
			continue
		}
		// Deposed: it can commit with what it knows, or never again.
		r.current, r.outdated = false, false
		if bits.OnesCount8(r.view) < int(r.viewMin) && !m.commitIgnoresMinISR {
			r.view, r.viewMin, r.known, r.proposed, r.progress = 0, maxBrokers+1, 0, 0, [maxBrokers]uint8{}
		}
		if m.staleIsRefused {
			continue
		}
		for j := range m.brokers {
			if (r.view|r.proposed)>>j&1 == 0 {
				r.progress[j] = 0
				r.known &^= 1 << j
			}
		}
	}
}

// look learns the metadata of the partition as it is.
func (m *model) look(s *state, r *replica) {
	members := &m.list[s.members]
	r.view, r.viewMin, r.current = members.isr, uint8(members.MinISR), true
}

// safe: protocol.md 1.7.
func (m *model) safe(r *replica) uint8 {
	if m.durable && !m.commitUnsynced {
		return r.durable
	}
	return r.log.n
}

// advance moves the commit position of a leader (R3, protocol.md 1.7): the smallest safe position over the maximal ISR,
// while the ISR has min ISR members, never back.
func (m *model) advance(s *state, who uint8) {
	r := &s.r[who]
	if bits.OnesCount8(r.view) < int(r.viewMin) && !m.commitIgnoresMinISR {
		return
	}
	maximal := r.view | r.proposed
	if m.commitIgnoresProposal {
		maximal = r.view
	}
	position := m.safe(r)
	for i := range m.brokers {
		if maximal>>i&1 != 0 && i != int(who) {
			position = min(position, r.progress[i])
		}
	}
	if prefix := r.log.cut(position); s.acked.startsWith(prefix) {
		return
	} else if prefix.startsWith(s.acked) {
		s.acked = prefix
	} else {
		m.broken = fmt.Sprintf("S1, S6: %s commits %v, acknowledged is %v", brokers[who], prefix, s.acked)
	}
}

func (s *state) leaderOf(epoch uint8) *replica {
	for i := range s.r {
		if s.r[i].leads && s.r[i].epoch == epoch {
			return &s.r[i]
		}
	}
	return nil
}

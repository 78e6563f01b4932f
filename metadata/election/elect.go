package election

import (
	"fmt"
	"slices"
	"strings"
)

// Decision is what an election came to.
type Decision struct {
	Leader string // "" for none

	// Unclean: committed batches may be missing from the leader's log. It writes an UNCLEAN control batch first.
	Unclean bool

	// Waiting says for whom an election without result waits, as one sentence for people; "" with a leader.
	Waiting string
}

// Elect picks the next leader; registered tells whether a broker is registered and not fenced. It returns the membership
// under the new leader, or the unchanged one with a decision that says for whom to wait. The caller calls it again whenever
// a broker has registered or a copy was declared lost.
//
// Members that are sure hold everything committed: the first registered one of the ISR, else of the ELR, is elected at
// once. With none, fewer than quorum copies may be lost or damaged, so that among any quorum members of ISR, ELR and Lost
// one is whole, and the greatest tail of those holds everything that it holds (protocol.md 1.3). Not durable: 3.7.
func (m Membership) Elect(registered func(broker string) bool) (Decision, Membership) {
	return m.elect(registered, false)
}

// ElectOverdue is Elect for a partition that had no leader for 10 s: one that is not durable no longer waits for last known
// members that have not registered (protocol.md 3.7). A durable one waits on.
func (m Membership) ElectOverdue(registered func(broker string) bool) (Decision, Membership) {
	return m.elect(registered, true)
}

// ElectUnclean makes broker the leader because an operator said so, accepting that what only others hold is lost. Nothing
// but broker's log counts from then on.
func (m Membership) ElectUnclean(broker string) (Decision, Membership) {
	m = m.clone()
	m.ELR, m.LastKnown, m.Lost, m.Unsure = nil, nil, nil, nil
	m.ISR = []string{broker}
	return Decision{Leader: broker, Unclean: true}, m.settled()
}

func (m Membership) elect(registered func(broker string) bool, overdue bool) (Decision, Membership) {
	before := m.clone()
	if at := slices.IndexFunc(m.ISR, registered); at >= 0 {
		return Decision{Leader: m.ISR[at]}, before
	}
	m = before.clone()
	for _, broker := range m.ISR {
		m.ELR = m.with(m.ELR, broker)
	}
	m.ISR = nil

	sure, unsure := m.sureAndUnsure()
	if at := slices.IndexFunc(sure, registered); at >= 0 {
		return Decision{Leader: sure[at]}, m.leadBy(sure[at])
	}
	present := slices.DeleteFunc(slices.Clone(unsure), func(d Doubt) bool { return !registered(d.Broker) })
	if missing := m.needed() - len(present) - len(m.Lost); len(m.ELR) > 0 {
		if missing > 0 || len(present) == 0 {
			return Decision{Waiting: m.waitingFor(sure, unsure, missing, registered)}, before
		}
		leader := greatest(present)
		return Decision{Leader: leader}, m.leadBy(leader)
	}
	return m.electLastKnown(registered, overdue, before)
}

// electLastKnown is the election of a partition that has neither ISR nor ELR.
func (m Membership) electLastKnown(registered func(string) bool, overdue bool, before Membership) (Decision, Membership) {
	var present []Doubt
	var absent []string
	for _, d := range m.Unsure {
		if registered(d.Broker) {
			present = append(present, d)
		} else {
			absent = append(absent, d.Broker)
		}
	}
	if len(m.LastKnown) == 0 {
		return Decision{Waiting: "no replica is left that holds what was committed" + m.lostOnes() +
			"; an operator has to name one and accept the loss"}, before
	}
	if len(present) == 0 || len(absent) > 0 && !overdue {
		return Decision{Waiting: "every replica has restarted uncleanly without having fsynced what was committed; waiting for " +
			strings.Join(absent, ", ") + " to register, at most 10 s if another one has"}, before
	}
	leader := greatest(present)
	return Decision{Leader: leader, Unclean: true}, m.leadBy(leader)
}

// leadBy is the membership under a leader that was not in the ISR. Its log is the truth from now on, so it is sure. The
// others stay: until the ISR has MinISR members nothing is committed that they lack.
func (m Membership) leadBy(leader string) Membership {
	m = m.forget(leader)
	m.ISR = []string{leader}
	return m.settled()
}

// needed is how many members must have registered unsure or be lost before the greatest tail can be trusted. There may be
// fewer members than the quorum: then all of them.
func (m Membership) needed() int {
	return min(m.quorum(), len(m.ISR)+len(m.ELR)+len(m.Lost))
}

// sureAndUnsure splits the ELR, keeping its order.
func (m Membership) sureAndUnsure() (sure []string, unsure []Doubt) {
	for _, broker := range m.ELR {
		at := slices.IndexFunc(m.Unsure, func(d Doubt) bool { return d.Broker == broker })
		if at < 0 {
			sure = append(sure, broker)
		} else {
			unsure = append(unsure, m.Unsure[at])
		}
	}
	return sure, unsure
}

// greatest is the first in order of those with the greatest tail.
func greatest(doubts []Doubt) string {
	best := doubts[0]
	for _, d := range doubts[1:] {
		if best.Tail.Before(d.Tail) {
			best = d
		}
	}
	return best.Broker
}

func (m Membership) waitingFor(sure []string, unsure []Doubt, missing int, registered func(string) bool) string {
	var absent []string
	for _, d := range unsure {
		if !registered(d.Broker) {
			absent = append(absent, d.Broker)
		}
	}
	var ways []string
	if len(sure) > 0 {
		ways = append(ways, "for "+strings.Join(sure, " or ")+" to register")
	}
	if others := m.inOrder(sure, absent); missing > 0 && len(absent) > 0 || len(sure) == 0 {
		ways = append(ways, fmt.Sprintf("for %d more of %s to register after an unclean stop or to be declared lost",
			max(missing, 1), strings.Join(others, ", ")))
	}
	return "no registered replica is sure to hold what was committed" + m.lostOnes() + "; waiting " + strings.Join(ways, ", or ")
}

func (m Membership) inOrder(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.SortFunc(all, m.compare)
	return all
}

func (m Membership) lostOnes() string {
	if len(m.Lost) == 0 {
		return ""
	}
	return " (lost: " + strings.Join(m.Lost, ", ") + ")"
}

package election

import (
	"cmp"
	"slices"
)

// Tail is what an unsure replica found its log to end with.
type Tail struct {
	Epoch uint64 // leader epoch of the last batch; 0 for an empty log
	Seq   uint64 // seq of the last batch; 0 for an empty log
}

// Before tells whether t ends earlier than other: by leader epoch first, by seq within one epoch.
func (t Tail) Before(other Tail) bool {
	if t.Epoch != other.Epoch {
		return t.Epoch < other.Epoch
	}
	return t.Seq < other.Seq
}

// Doubt is one replica whose end is in doubt.
type Doubt struct {
	Broker string
	Tail   Tail // what it reported at its last unclean restart
}

// Membership says who holds what was committed in one partition, as far as the controller knows. It is a value: methods
// return a new one that shares no memory with the old. All lists are in replica order and without duplicates; ISR, ELR,
// LastKnown and Lost have no member in common.
//
// With |ISR| >= MinISR nothing but the ISR counts: ELR, LastKnown, Lost and Unsure are empty.
type Membership struct {
	Replicas []string // the order of preference
	MinISR   int      // at least 1

	// Quorum is MinISR as it stood when the ISR last had that many members: the number of replicas that hold what was
	// committed. It differs from MinISR only after MinISR was changed while the ISR was short. 0 means MinISR.
	Quorum int

	// Durable: what was committed had been fsynced by every member (sync: ack). Otherwise a replica that did not stop
	// cleanly may have lost committed batches.
	Durable bool

	ISR       []string // hold everything committed, and nothing is committed without them
	ELR       []string // left the ISR while it was short, and still hold everything committed unless they are unsure
	LastKnown []string // not durable only: left ISR or ELR by an unclean restart (protocol.md 3.7)
	Lost      []string // left ISR, ELR or LastKnown because their copy is gone, since the ISR last had MinISR members
	Unsure    []Doubt  // members of ELR or LastKnown that did not stop cleanly since they last were in the ISR
}

// New is the membership of a new partition: every replica is in sync.
func New(replicas []string, minISR int, durable bool) Membership {
	return Membership{Replicas: replicas, MinISR: minISR, Quorum: minISR, Durable: durable, ISR: replicas}.clone()
}

// Left is the membership after broker was fenced, drained, or has registered anew after a clean stop (C3). A member of the
// ISR leaves it, since it may be behind from now on or may have truncated. A broker that was unsure stays so: a clean stop
// does not bring back what an unclean one had lost.
func (m Membership) Left(broker string) Membership {
	m = m.clone()
	if !slices.Contains(m.ISR, broker) {
		return m
	}
	m.ISR = without(m.ISR, broker)
	m.ELR = m.with(m.ELR, broker)
	return m.settled()
}

// Restarted is the membership after broker has registered anew without having stopped cleanly; tail is what it found its
// log to end with. Durable: it stays a member, unsure. Otherwise it stays as last known only, for it may have lost what was
// committed.
func (m Membership) Restarted(broker string, tail Tail) Membership {
	m = m.clone()
	member := slices.Contains(m.ISR, broker) || slices.Contains(m.ELR, broker)
	if !member && !slices.Contains(m.LastKnown, broker) {
		return m
	}
	m = m.forget(broker)
	if m.Durable && member {
		m.ELR = m.with(m.ELR, broker)
	} else {
		m.LastKnown = m.with(m.LastKnown, broker)
	}
	m.Unsure = append(m.Unsure, Doubt{Broker: broker, Tail: tail})
	slices.SortFunc(m.Unsure, func(a, b Doubt) int { return m.compare(a.Broker, b.Broker) })
	return m.settled()
}

// LostCopy is the membership after broker's copy is gone: its disk was lost, an operator removed it, or its log is damaged
// below its mark while others hold it (see Damaged). The loss is remembered until the ISR has MinISR members again, since
// an election among unsure replicas has to know how many others it need not wait for.
func (m Membership) LostCopy(broker string) Membership {
	m = m.clone()
	member := slices.Contains(m.ISR, broker) || slices.Contains(m.ELR, broker) || slices.Contains(m.LastKnown, broker)
	lost := m.Lost
	m = m.forget(broker)
	m.Lost = lost
	if member {
		m.Lost = m.with(m.Lost, broker)
	}
	return m.settled()
}

// Damaged is the membership after broker has found its log damaged below its mark, where nothing is cut. While others hold
// the log that is a lost copy. The only member left stays one, and is reported as kept: it still has all but the bad range,
// which readers are told of (protocol.md 1.17), and nobody has more.
func (m Membership) Damaged(broker string) (after Membership, kept bool) {
	if len(m.ISR)+len(m.ELR) == 1 && (slices.Contains(m.ISR, broker) || slices.Contains(m.ELR, broker)) {
		return m.clone(), true
	}
	return m.LostCopy(broker), false
}

// InSync is the membership after an accepted change of the ISR (C2 is the caller's to check). Who left keeps what was
// committed, and who joined is sure: it follows a leader that has everything.
func (m Membership) InSync(isr []string) Membership {
	m = m.clone()
	before := m.ISR
	for _, broker := range isr {
		m = m.forget(broker)
	}
	m.ISR = nil
	for _, broker := range isr {
		m.ISR = m.with(m.ISR, broker)
	}
	for _, broker := range before {
		if !slices.Contains(m.ISR, broker) {
			m.ELR = m.with(m.ELR, broker)
		}
	}
	return m.settled()
}

// WithMinISR is the membership after the setting was changed to n (at least 1). With |ISR| >= n the ISR alone counts from
// now on. While the ISR is shorter, who holds what was committed does not change, nor how many of them an election among
// unsure replicas waits for: batches were committed under the old setting, and its budget of lost copies still holds.
func (m Membership) WithMinISR(n int) Membership {
	m = m.clone()
	m.Quorum = m.quorum()
	m.MinISR = n
	return m.settled()
}

// Equal tells whether both memberships say the same.
func (m Membership) Equal(other Membership) bool {
	return m.MinISR == other.MinISR && m.quorum() == other.quorum() && m.Durable == other.Durable &&
		slices.Equal(m.Replicas, other.Replicas) && slices.Equal(m.ISR, other.ISR) && slices.Equal(m.ELR, other.ELR) &&
		slices.Equal(m.LastKnown, other.LastKnown) && slices.Equal(m.Lost, other.Lost) && slices.Equal(m.Unsure, other.Unsure)
}

// settled drops what no longer counts once the ISR has MinISR members: from now on batches are committed that none but the
// ISR is certain to have.
func (m Membership) settled() Membership {
	if len(m.ISR) < m.MinISR {
		return m
	}
	m.ELR, m.LastKnown, m.Lost, m.Unsure = nil, nil, nil, nil
	m.Quorum = m.MinISR
	return m
}

// forget takes broker out of every set. It works on a clone.
func (m Membership) forget(broker string) Membership {
	m.ISR = without(m.ISR, broker)
	m.ELR = without(m.ELR, broker)
	m.LastKnown = without(m.LastKnown, broker)
	m.Lost = without(m.Lost, broker)
	m.Unsure = slices.DeleteFunc(slices.Clone(m.Unsure), func(d Doubt) bool { return d.Broker == broker })
	return m
}

func (m Membership) quorum() int {
	if m.Quorum == 0 {
		return m.MinISR
	}
	return m.Quorum
}

// compare orders brokers as in Replicas; those that are no replicas any more come last, by name.
func (m Membership) compare(a, b string) int {
	place := func(broker string) int {
		if i := slices.Index(m.Replicas, broker); i >= 0 {
			return i
		}
		return len(m.Replicas)
	}
	return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
}

func (m Membership) with(set []string, broker string) []string {
	if slices.Contains(set, broker) {
		return set
	}
	set = append(slices.Clone(set), broker)
	slices.SortFunc(set, m.compare)
	return set
}

func without(set []string, broker string) []string {
	return slices.DeleteFunc(slices.Clone(set), func(b string) bool { return b == broker })
}

func (m Membership) clone() Membership {
	m.Replicas = slices.Clone(m.Replicas)
	m.ISR = slices.Clone(m.ISR)
	m.ELR = slices.Clone(m.ELR)
	m.LastKnown = slices.Clone(m.LastKnown)
	m.Lost = slices.Clone(m.Lost)
	m.Unsure = slices.Clone(m.Unsure)
	return m
}

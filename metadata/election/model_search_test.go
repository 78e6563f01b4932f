package election_test

import (
	"fmt"
	"strings"
	"time"
)

// result is what a search came to.
type result struct {
	states  int
	depth   int
	elapsed time.Duration
	whole   bool // every state within the bounds was seen
	broken  string
	history string // the shortest one that breaks an invariant
}

func (r result) String() string {
	end := "all states within the bounds"
	if !r.whole {
		end = "stopped early"
	}
	return fmt.Sprintf("%d states, depth %d, %s, %s", r.states, r.depth, r.elapsed.Round(10*time.Millisecond), end)
}

// search goes through every state breadth first, and ends at the first broken invariant or after limit states (0: none).
func (m *model) search(limit int) result {
	began := time.Now()
	first := m.initial()
	visited := newSet()
	visited.add(first.hash(m.brokers), first.left.packed())
	var parents []uint32
	var actions []action
	level, base := []state{first}, 0
	parents, actions = append(parents, 0), append(actions, action{})
	all := m.actions()
	for depth := 0; len(level) > 0; depth++ {
		var next []state
		for i := range level {
			for _, a := range all {
				if !m.may(&level[i], a) {
					continue
				}
				s := level[i]
				if !m.step(&s, a) {
					continue
				}
				if m.broken != "" {
					steps := []action{a}
					for at := base + i; at != 0; at = int(parents[at]) {
						steps = append(steps, actions[at])
					}
					return result{
						states: len(parents), depth: depth + 1, elapsed: time.Since(began), broken: m.broken, history: m.tell(steps),
					}
				}
				if visited.add(s.hash(m.brokers), s.left.packed()) {
					next = append(next, s)
					parents, actions = append(parents, uint32(base+i)), append(actions, a)
				}
			}
			if limit > 0 && len(parents) >= limit {
				return result{states: len(parents), depth: depth, elapsed: time.Since(began)}
			}
		}
		base += len(level)
		if len(next) == 0 {
			return result{states: len(parents), depth: depth, elapsed: time.Since(began), whole: true}
		}
		level = next
	}
	return result{}
}

// may rules out most of what step would refuse, without a copy of the state.
func (m *model) may(s *state, a action) bool {
	r := &s.r[a.who]
	switch a.kind {
	case doAppend:
		return r.leads && s.left.records > 0
	case doReplicate, doSync, doReport:
		return r.up && r.epoch != 0
	case doFollow, doLead:
		return r.up && r.epoch < s.epoch
	case doPropose:
		return r.leads && s.left.changes > 0 && r.proposed == 0
	case doDecide:
		return r.proposed != 0
	case doLearn:
		return r.leads && s.leader == a.who+1
	case doCrash:
		return r.up && s.left.crashes > 0
	case doStop:
		return r.up && s.left.stops > 0
	case doStart:
		return !r.up && (a.arg <= r.log.n || a.arg == diskLost)
	case doFence:
		return r.live && s.left.fences > 0
	case doUnfence:
		return r.up && !r.live
	case doTransfer:
		return s.left.transfers > 0
	default:
		return s.left.settings > 0
	}
}

// actions lists all that could ever happen; step knows what can.
func (m *model) actions() []action {
	var all []action
	for k := range kinds {
		for who := range uint8(m.brokers) {
			switch k {
			case doPropose:
				for set := range uint8(1 << m.brokers) {
					all = append(all, action{k, who, set})
				}
			case doStart:
				for n := range uint8(diskLost + 1) {
					all = append(all, action{k, who, n})
				}
			case doMinISR:
				if who == 0 {
					for n := range uint8(m.brokers) {
						all = append(all, action{k, who, n + 1})
					}
				}
			default:
				all = append(all, action{k, who, 0})
			}
		}
	}
	return all
}

// tell plays steps, the last one first, and writes what they lead to.
func (m *model) tell(steps []action) string {
	var b strings.Builder
	s := m.initial()
	fmt.Fprintf(&b, "at first: %s\n", m.describe(&s))
	for i := range steps {
		a := steps[len(steps)-1-i]
		m.step(&s, a)
		fmt.Fprintf(&b, "%d. %v: %s\n", i+1, a, m.describe(&s))
	}
	fmt.Fprintf(&b, "breaks %s\n", m.broken)
	return b.String()
}

func (m *model) describe(s *state) string {
	x := &m.list[s.members]
	leader := "no leader"
	if s.leader != 0 {
		leader = "leader " + brokers[s.leader-1]
	}
	text := fmt.Sprintf("%s, epoch %d, ISR %s ELR %s", leader, s.epoch, names(x.isr), names(x.elr))
	if x.lastKnown|x.lost|x.unsure != 0 {
		text += fmt.Sprintf(" last known %s lost %s unsure %v", names(x.lastKnown), names(x.lost), x.Unsure)
	}
	text += fmt.Sprintf(", acked %v |", s.acked)
	for i := range m.brokers {
		r := &s.r[i]
		text += fmt.Sprintf(" %s%v", brokers[i], r.log)
		if m.durable {
			text += fmt.Sprintf("/%d", r.durable)
		}
		switch {
		case !r.up:
			text += " down"
		case r.leads:
			text += fmt.Sprintf(" leads %d", r.epoch)
		case r.epoch != 0:
			text += fmt.Sprintf(" in %d", r.epoch)
		}
		if !r.live {
			text += " fenced"
		}
	}
	return text
}

// set holds the states seen, by hash, with the budgets that were left in them, open addressing. A state is not new if it was
// seen with at least the same budget, for all that can follow could follow then. Two states with one hash would be taken for
// the same: with 10⁷ states and 64 bits the chance that this happens at all is about 3 in 10⁶.
type set struct {
	slots []seen
	used  int
}

type seen struct {
	hash   uint64 // 0: free
	budget uint32
}

func newSet() *set { return &set{slots: make([]seen, 1<<16)} }

// add tells whether there is anything new.
func (t *set) add(hash uint64, budget uint32) bool {
	if hash == 0 {
		hash = 1
	}
	if !t.put(seen{hash, budget}) {
		return false
	}
	if t.used++; t.used*3 > len(t.slots)*2 {
		old := t.slots
		t.slots = make([]seen, 2*len(old))
		for _, o := range old {
			if o.hash != 0 {
				t.put(o)
			}
		}
	}
	return true
}

func (t *set) put(s seen) bool {
	for i := s.hash & uint64(len(t.slots)-1); ; i = (i + 1) & uint64(len(t.slots)-1) {
		switch {
		case t.slots[i].hash == 0:
			t.slots[i] = s
			return true
		case t.slots[i].hash == s.hash && covers(t.slots[i].budget, s.budget):
			return false
		}
	}
}

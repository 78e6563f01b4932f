package election_test

import (
	"fmt"
	"slices"

	"github.com/trestlehq/trestle/metadata/election"
)

// rule is the arithmetic that the model runs: this package's own, or one of its mutants.
type rule struct {
	left       func(m election.Membership, broker string) election.Membership
	rejoined   func(m election.Membership, broker string) election.Membership // registered after a clean stop
	restarted  func(m election.Membership, broker string, tail election.Tail) election.Membership
	lostCopy   func(m election.Membership, broker string) election.Membership
	inSync     func(m election.Membership, isr []string) election.Membership
	withMinISR func(m election.Membership, n int) election.Membership
	elect      func(m election.Membership, live func(string) bool) (election.Decision, election.Membership)
}

func theRule() rule {
	return rule{
		left:       election.Membership.Left,
		rejoined:   election.Membership.Left,
		restarted:  election.Membership.Restarted,
		lostCopy:   election.Membership.LostCopy,
		inSync:     election.Membership.InSync,
		withMinISR: election.Membership.WithMinISR,
		elect:      election.Membership.Elect,
	}
}

// membership is one value of the real type, with its sets as masks.
type membership struct {
	election.Membership
	isr, elr, lastKnown, lost, unsure uint8
}

// controller gives every Membership that comes up a number and remembers what the rule made of it, so that the real code
// runs once per case instead of once per state.
type controller struct {
	rule   rule
	list   []membership
	number map[string]uint32
	memo   map[uint64]outcome
}

type outcome struct {
	members uint32
	leader  uint8
	unclean bool
}

type operation uint8

const (
	opLeft operation = iota
	opRejoined
	opRestarted
	opLostCopy
	opInSync
	opMinISR
	opElect
)

func newController(r rule) *controller {
	return &controller{rule: r, number: map[string]uint32{}, memo: map[uint64]outcome{}}
}

func (c *controller) intern(m election.Membership) uint32 {
	key := fmt.Sprint(m)
	if n, ok := c.number[key]; ok {
		return n
	}
	unsure := make([]string, 0, len(m.Unsure))
	for _, d := range m.Unsure {
		unsure = append(unsure, d.Broker)
	}
	n := uint32(len(c.list))
	c.list = append(c.list, membership{
		Membership: m,
		isr:        mask(m.ISR), elr: mask(m.ELR), lastKnown: mask(m.LastKnown), lost: mask(m.Lost), unsure: mask(unsure),
	})
	c.number[key] = n
	return n
}

// apply runs one operation of the rule. arg is a broker's index, a mask or a number; tail is used by opRestarted only.
func (c *controller) apply(members uint32, op operation, arg uint8, tail chain) outcome {
	key := uint64(members)<<32 | uint64(op)<<24 | uint64(arg)<<16
	if op == opRestarted {
		key |= uint64(tail.last())<<8 | uint64(tail.n)
	}
	if o, ok := c.memo[key]; ok {
		return o
	}
	m := c.list[members].Membership
	var o outcome
	switch op {
	case opLeft:
		m = c.rule.left(m, brokers[arg])
	case opRejoined:
		m = c.rule.rejoined(m, brokers[arg])
	case opRestarted:
		m = c.rule.restarted(m, brokers[arg], election.Tail{Epoch: uint64(tail.last()), Seq: uint64(tail.n)})
	case opLostCopy:
		m = c.rule.lostCopy(m, brokers[arg])
	case opInSync:
		m = c.rule.inSync(m, list(arg))
	case opMinISR:
		m = c.rule.withMinISR(m, int(arg))
	case opElect:
		var d election.Decision
		d, m = c.rule.elect(m, func(b string) bool { return arg>>slices.Index(brokers, b)&1 != 0 })
		o.leader = uint8(slices.Index(brokers, d.Leader) + 1)
		o.unclean = d.Unclean
	}
	o.members = c.intern(m)
	c.memo[key] = o
	return o
}

func mask(list []string) uint8 {
	var set uint8
	for _, b := range list {
		set |= 1 << slices.Index(brokers, b)
	}
	return set
}

func list(set uint8) []string {
	var l []string
	for i := range maxBrokers {
		if set>>i&1 != 0 {
			l = append(l, brokers[i])
		}
	}
	return l
}

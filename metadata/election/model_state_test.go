package election_test

import (
	"fmt"
	"math/bits"
	"strings"
)

// The model of one partition: brokers with logs and disks, a leader per epoch with a view of the metadata that may lag, and
// the controller. A batch is named by the leader epoch that wrote it and its seq: one broker writes an epoch, once.

const maxBrokers = 4

// chain is the leader epochs of the batches of a log, from seq 1 on: at most eight, four bits each.
type chain struct {
	epochs uint32
	n      uint8
}

const maxBatches = 8

func (c chain) at(seq uint8) uint8 { return uint8(c.epochs >> (4 * (seq - 1)) & 15) }

func (c chain) last() uint8 {
	if c.n == 0 {
		return 0
	}
	return c.at(c.n)
}

func (c chain) with(epoch uint8) chain {
	return chain{c.epochs | uint32(epoch)<<(4*c.n), c.n + 1}
}

// cut keeps the first n batches.
func (c chain) cut(n uint8) chain {
	if n >= c.n {
		return c
	}
	return chain{uint32(uint64(c.epochs) & (1<<(4*n) - 1)), n}
}

func (c chain) startsWith(p chain) bool { return p.n <= c.n && c.cut(p.n) == p }

// common is the length of the longest common prefix.
func (c chain) common(o chain) uint8 {
	differ := uint8(bits.TrailingZeros32(c.epochs^o.epochs) / 4)
	return min(differ, c.n, o.n)
}

// endOf is the end (exclusive) of the batches of epochs up to e, and the greatest such epoch.
func (c chain) endOf(e uint8) (epoch, end uint8) {
	for seq := c.n; seq > 0; seq-- {
		if c.at(seq) <= e {
			return c.at(seq), seq
		}
	}
	return 0, 0
}

func (c chain) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for seq := uint8(1); seq <= c.n; seq++ {
		if seq > 1 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d", c.at(seq))
	}
	b.WriteByte(']')
	return b.String()
}

// replica is one broker, its log, and what it knows if it leads.
type replica struct {
	log     chain
	durable uint8 // batches fsynced
	up      bool
	live    bool // registered and not fenced, at the controller
	clean   bool // down after a clean stop
	leads   bool
	epoch   uint8 // leader epoch that it leads or follows in; 0 before it has heard of one

	// As a leader. Sets of brokers are bit masks.
	view     uint8             // the ISR, as learned
	viewMin  uint8             // min ISR, as learned
	current  bool              // nothing about the partition has changed at the controller since
	known    uint8             // brokers whose present registration it has learned
	proposed uint8             // the ISR it has proposed and not heard of; 0 for none
	outdated bool              // a proposed member has registered anew
	progress [maxBrokers]uint8 // safe positions that were reported in this epoch
}

// resign forgets what only a leader knows.
func (r *replica) resign() {
	r.leads, r.view, r.viewMin, r.current, r.known = false, 0, 0, false, 0
	r.proposed, r.outdated, r.progress = 0, false, [maxBrokers]uint8{}
}

// start is how many batches the leader's log held when its epoch began.
func (r *replica) start() uint8 {
	_, end := r.log.endOf(r.epoch - 1)
	return end
}

// budget is what may still happen in a history, each at most seven times.
type budget struct {
	records, crashes, stops, faults, fences, changes, transfers, settings uint8
}

func (l budget) packed() uint32 {
	return uint32(l.records) | uint32(l.crashes)<<4 | uint32(l.stops)<<8 | uint32(l.faults)<<12 | uint32(l.fences)<<16 |
		uint32(l.changes)<<20 | uint32(l.transfers)<<24 | uint32(l.settings)<<28
}

// covers tells whether a packed budget has at least as much left of everything.
func covers(a, b uint32) bool {
	const tops = 0x88888888
	return ((a|tops)-b)&tops == tops
}

type state struct {
	r       [maxBrokers]replica
	members uint32 // which Membership, of the controller's list
	leader  uint8  // 1 + its index; 0 for none
	epoch   uint8
	acked   chain // everything that was ever acknowledged (the true commit position)
	bad     uint8 // former members of the ISR whose copy is spoilt and not repaired: fewer than min ISR (S1's budget)
	left    budget
}

// hash covers all but the budget.
func (s *state) hash(n int) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	mix := func(w uint64) {
		hi, lo := bits.Mul64(h^w, 0xa0761d6478bd642f)
		h = hi ^ lo ^ bits.RotateLeft64(w, 32)*0xe7037ed1a0b428db
	}
	for i := range n {
		a, b := s.r[i].words()
		mix(a)
		mix(b)
	}
	mix(uint64(s.bad))
	mix(uint64(s.acked.epochs) | uint64(s.acked.n)<<32 | uint64(s.members)<<36 | uint64(s.leader)<<58 | uint64(s.epoch)<<61)
	mix(h >> 29)
	return h
}

// words packs a replica without loss.
func (r *replica) words() (uint64, uint64) {
	w := uint64(r.durable) | uint64(r.epoch)<<4 | uint64(r.view)<<8 | uint64(r.viewMin)<<12 | uint64(r.known)<<16 |
		uint64(r.proposed)<<20
	for i, p := range r.progress {
		w |= uint64(p) << (24 + 4*i)
	}
	for i, flag := range []bool{r.up, r.live, r.clean, r.leads, r.current, r.outdated} {
		if flag {
			w |= 1 << (40 + i)
		}
	}
	return uint64(r.log.epochs) | uint64(r.log.n)<<32, w
}

func names(set uint8) string {
	var list []string
	for i := range maxBrokers {
		if set>>i&1 != 0 {
			list = append(list, brokers[i])
		}
	}
	return "{" + strings.Join(list, " ") + "}"
}

var brokers = []string{"b1", "b2", "b3", "b4"}

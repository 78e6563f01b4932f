package shadow

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	ms     = int64(1e6)
	window = 1000 * ms
	active = 6 * window // faults and publishers
	quiet  = 10 * window
)

// plan is what a seed lets happen.
type plan struct {
	replicas, publishers      int
	interval                  int64 // between the messages of a publisher, at most
	skew                      int64 // of NATS, at most
	clocks                    int64 // by how much a broker's clock is off, at most
	alike                     int   // percent of messages that look like others
	acks, ids                 int   // percent of messages
	elect                     int64 // mean time between elections; 0: none
	loss, drops, twice, slow  bool  // NATS: unnoticed, noticed, delivered twice, later than the window
	restarts, cuts            bool
	overflow, settings, stall bool
}

// clean says that nothing is injected that the rule does not promise to hide.
func (p *plan) clean() bool {
	return !p.loss && !p.drops && !p.twice && !p.slow && !p.restarts && !p.cuts && !p.overflow && !p.settings
}

func (p *plan) String() string {
	var on []string
	for name, is := range map[string]bool{
		"loss": p.loss, "drops": p.drops, "twice": p.twice, "slow": p.slow, "restarts": p.restarts, "cuts": p.cuts,
		"overflow": p.overflow, "settings": p.settings, "stall": p.stall,
	} {
		if is {
			on = append(on, name)
		}
	}
	return fmt.Sprintf("%d replicas, alike %d%%, %s", p.replicas, p.alike, strings.Join(on, " "))
}

func newPlan(rng *rand.Rand) plan {
	chance := func(percent int) bool { return rng.IntN(100) < percent }
	p := plan{
		replicas: 2 + rng.IntN(3), publishers: 1 + rng.IntN(3),
		interval: (10 + rng.Int64N(300)) * ms, skew: (1 + rng.Int64N(600)) * ms,
		alike: []int{0, 30, 90}[rng.IntN(3)], acks: []int{0, 50, 100}[rng.IntN(3)],
	}
	if chance(30) {
		p.clocks = rng.Int64N(100) * ms
	}
	if chance(30) {
		p.ids = 50
	}
	if chance(90) {
		p.elect = (300 + rng.Int64N(3000)) * ms
	}
	p.stall = chance(20)
	if chance(25) {
		return p
	}
	p.loss, p.drops, p.twice, p.slow = chance(30), chance(20), chance(15), chance(10)
	p.restarts, p.cuts, p.overflow, p.settings = chance(35), chance(35), chance(25), chance(15)
	return p
}

// world is one history from one seed: brokers that hold replicas of one partition, NATS, a controller, publishers.
type world struct {
	plan
	rng    *rand.Rand
	now    int64
	events events
	order  uint64
	trace  *strings.Builder // nil: none

	replicas []*replica
	messages []*message
	meta     []operation // what the controller decided, in order
	inSync   []bool
	leader   int
	faults   []string
	over     bool // only what is under way goes on

	uids  uint64
	stats stats
}

type stats struct {
	published, stored, recovered, gaps, elections, truncated, settled int
}

type event struct {
	at    int64
	order uint64
	do    func()
}

// events is a heap.
type events []event

func (e events) before(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}

func (e *events) push(x event) {
	*e = append(*e, x)
	h := *e
	for i := len(h) - 1; i > 0 && h.before(i, (i-1)/2); i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
}

func (e *events) pop() event {
	h := *e
	first := h[0]
	last := len(h) - 1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	for i := 0; 2*i+1 < last; {
		child := 2*i + 1
		if child+1 < last && h.before(child+1, child) {
			child++
		}
		if !h.before(child, i) {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	*e = h
	return first
}

// operation is what the controller decided: who leads from now on, or what is refused from now on.
type operation struct {
	epoch    uint64 // 0: a setting
	leader   int
	inSync   []bool
	refusing bool
}

func (w *world) after(d int64, do func()) {
	w.order++
	w.events.push(event{w.now + d, w.order, do})
}

func (w *world) between(from, to int64) int64 { return from + w.rng.Int64N(max(to-from, 1)) }

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
	w.tell("FAULT "+format, args...)
}

func (w *world) tell(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%7.1f "+format+"\n", append([]any{float64(w.now) / float64(ms)}, args...)...)
	}
}

func newWorld(seed uint64, trace *strings.Builder) *world {
	rng := rand.New(rand.NewPCG(seed, 0x7265737472))
	w := &world{rng: rng, plan: newPlan(rng), trace: trace, now: 1000 * window, leader: -1}
	return w
}

func (w *world) run() {
	start := w.now
	w.tell("plan: %s", &w.plan)
	for i := range w.plan.replicas {
		r := &replica{w: w, id: i, alive: true, hears: true}
		if w.clocks > 0 {
			r.offset = w.rng.Int64N(w.clocks)
		}
		r.ring = NewRing(w.options(r))
		r.ids = map[uint64]int{}
		w.replicas = append(w.replicas, r)
		w.inSync = append(w.inSync, true)
		r.start()
	}
	w.elect()
	for p := range w.publishers {
		w.publisher(p)
	}
	w.injectFaults()
	for len(w.events) > 0 && w.events[0].at < start+active {
		w.step()
	}
	w.heal()
	for len(w.events) > 0 && w.events[0].at < start+active+quiet {
		w.step()
	}
	w.judge()
}

func (w *world) step() {
	e := w.events.pop()
	w.now = e.at
	e.do()
	for _, r := range w.replicas {
		if bytes := r.ring.Bytes(); bytes > r.ring.options.MaxBytes {
			w.fault("(d) ring of %d holds %d bytes of at most %d", r.id, bytes, r.ring.options.MaxBytes)
		}
	}
}

func (w *world) options(r *replica) Options {
	o := Options{WindowNanos: window, MaxBytes: 16 << 20}
	if w.overflow {
		o.MaxBytes = int64(overhead * w.rng.IntN(80))
	}
	o.Refuse = func(record []byte, id Fingerprint) bool { return r.refuses(w.messageOf(record), id) }
	return o
}

// during does something every so often until the faults end.
func (w *world) during(from, to int64, do func()) {
	w.after(w.between(from, to), func() {
		if !w.over {
			do()
			w.during(from, to, do)
		}
	})
}

func (w *world) injectFaults() {
	if w.elect0() {
		w.during(w.plan.elect/2, w.plan.elect*3/2, w.elect)
	}
	if w.restarts {
		w.during(window, 3*window, func() { w.crash(w.replicas[w.rng.IntN(w.plan.replicas)]) })
	}
	if w.cuts {
		w.during(window/2, 3*window, func() { w.cutOff(w.replicas[w.rng.IntN(w.plan.replicas)]) })
	}
	if w.drops {
		w.during(window/2, 2*window, func() { w.slowConsumer(w.replicas[w.rng.IntN(w.plan.replicas)]) })
	}
	if w.settings {
		w.during(window/2, 2*window, func() {
			refusing := !w.refusing()
			w.tell("controller: refuse %v", refusing)
			w.decide(operation{refusing: refusing})
		})
	}
	if w.stall {
		w.during(window/2, 2*window, func() {
			r := w.replicas[w.rng.IntN(w.plan.replicas)]
			r.stalled = w.now + w.between(0, 2*window)
			w.tell("%d does not fetch for a while", r.id)
		})
	}
}

func (w *world) elect0() bool { return w.plan.elect > 0 }

func (w *world) refusing() bool {
	for i := len(w.meta) - 1; i >= 0; i-- {
		if w.meta[i].epoch == 0 {
			return w.meta[i].refusing
		}
	}
	return false
}

// heal ends all faults. From then on every replica lives, hears and follows.
func (w *world) heal() {
	w.tell("heal")
	w.over = true
	for _, r := range w.replicas {
		r.stalled = 0
		if !r.alive {
			w.restart(r)
		}
		if !r.hears {
			w.comeBack(r)
		}
	}
	if w.refusing() {
		w.decide(operation{refusing: false})
	}
	w.elect()
}

// decide makes every replica apply an operation of the controller sooner or later.
func (w *world) decide(op operation) {
	w.meta = append(w.meta, op)
	for _, r := range w.replicas {
		w.after(w.between(0, 150*ms), r.applyMeta)
	}
}

// elect chooses a leader among the replicas in sync that live.
func (w *world) elect() {
	var able []int
	inSync := make([]bool, w.plan.replicas)
	for _, r := range w.replicas {
		if w.inSync[r.id] && r.alive {
			able = append(able, r.id)
			inSync[r.id] = true
		}
	}
	if len(able) == 0 {
		w.after(100*ms, w.elect)
		return
	}
	w.stats.elections++
	w.inSync = inSync
	w.leader = able[w.rng.IntN(len(able))]
	epoch := uint64(len(w.meta) + 1)
	w.tell("controller: %d leads in epoch %d, in sync %v", w.leader, epoch, inSync)
	w.decide(operation{epoch: epoch, leader: w.leader, inSync: inSync})
}

package simulation_test

import "time"

// plan is what a seed has chosen to happen: each enables some of the faults only, so that rare ones are not drowned by
// common ones.
type plan struct {
	brokers    int
	partitions int
	replicas   int
	minISR     int
	async      bool // sync: interval: acked before it is durable
	active     time.Duration

	delay         time.Duration // of a message, at most
	stray         int           // messages that arrive once more, late; of 1000
	lostProposal  int
	lateProposal  int // commands that are decided up to seconds after they were proposed
	twiceProposed int
	lostAnswer    int
	slowApply     int

	syncDelay    time.Duration
	segmentBytes int64
	window       time.Duration // of the shadow rings
	ringBytes    int64
	lag          time.Duration // until a follower leaves the ISR
	credit       int64
	retain       int64
	compact      bool

	publishEvery time.Duration
	natsLoss     int // deliveries that NATS drops and nobody notices; of 1000
	natsTwice    int // deliveries that come twice

	// How often, on average, something happens; 0: never.
	powerCut, kill, cleanStop, cut, oneWay, breakUp, pause, raftElection time.Duration
	failSync, rot, diskLoss, natsCut, transfer, drain, blackout, skew    time.Duration
	jump, reassign, newMinISR                                            time.Duration
}

// largeRing is a size in bytes that no ring comes to.
const largeRing = 1 << 20

// newPlan chooses.
func (w *world) newPlan() plan {
	r := w.rng
	some := func(low, high time.Duration) time.Duration { // in about half of the seeds
		if r.IntN(2) == 0 {
			return 0
		}
		return w.between(low, high)
	}
	rare := func(p int) int {
		if r.IntN(2) == 0 {
			return 0
		}
		return r.IntN(p)
	}
	p := plan{
		brokers: 3 + 2*(r.IntN(5)/4), partitions: 1 + r.IntN(2), replicas: 3, active: w.between(4*time.Second, 14*time.Second),
		delay: w.between(200*time.Microsecond, 20*time.Millisecond), stray: rare(30),
		lostProposal: rare(60), twiceProposed: rare(80), lostAnswer: rare(80), slowApply: rare(100),
		syncDelay: w.between(200*time.Microsecond, 40*time.Millisecond), segmentBytes: 600 + r.Int64N(6000),
		window: w.between(1500*time.Millisecond, 3*time.Second), ringBytes: largeRing, lag: w.between(800*time.Millisecond, 3*time.Second),
		credit: 300 + r.Int64N(4000), publishEvery: w.between(20*time.Millisecond, 300*time.Millisecond), natsLoss: rare(30),
		powerCut: some(time.Second, 8*time.Second), kill: some(time.Second, 8*time.Second),
		cleanStop: some(3*time.Second, 15*time.Second), cut: some(2*time.Second, 10*time.Second),
		oneWay: some(3*time.Second, 12*time.Second), breakUp: some(time.Second, 5*time.Second),
		pause: some(3*time.Second, 12*time.Second), raftElection: some(3*time.Second, 12*time.Second),
		failSync: some(3*time.Second, 15*time.Second), rot: some(2*time.Second, 10*time.Second),
		diskLoss: some(4*time.Second, 15*time.Second), natsCut: some(3*time.Second, 12*time.Second),
		transfer: some(2*time.Second, 8*time.Second), drain: some(3*time.Second, 15*time.Second),
		blackout: some(4*time.Second, 15*time.Second), skew: some(2*time.Second, 10*time.Second),
	}
	p.minISR = 1 + r.IntN(3)
	if r.IntN(4) > 0 {
		p.minISR = 2
	}
	if r.IntN(6) == 0 {
		p.replicas = 1 + r.IntN(2)
		p.minISR = 1 + r.IntN(p.replicas)
	}
	p.async = r.IntN(8) == 0
	p.natsTwice, p.lateProposal = rare(30), rare(100)
	if r.IntN(12) == 0 {
		p.jump = w.between(2*time.Second, 8*time.Second)
	}
	if r.IntN(3) == 0 {
		p.reassign = w.between(2*time.Second, 8*time.Second)
	}
	if r.IntN(6) == 0 {
		p.newMinISR = w.between(2*time.Second, 6*time.Second)
	}
	if r.IntN(3) == 0 {
		p.retain = 20 + r.Int64N(100)
	}
	p.compact = r.IntN(4) == 0
	if r.IntN(6) == 0 {
		p.ringBytes = 2000 + r.Int64N(4000)
	}
	return p
}

// calm ends all faults.
func (p *plan) calm() {
	p.stray, p.lostProposal, p.lateProposal, p.twiceProposed, p.lostAnswer, p.slowApply, p.natsLoss, p.natsTwice = 0, 0, 0, 0, 0, 0, 0, 0
	p.delay, p.syncDelay = min(p.delay, 5*time.Millisecond), min(p.syncDelay, 10*time.Millisecond)
}

package shadow

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/trestlehq/trestle/proto/batch"
)

const gapDropped = batch.GapNATSDropped

// entry is one batch of a log; its seq is its index.
type entry struct {
	uid    uint64
	epoch  uint64
	time   int64
	first  int64 // offset
	kind   batch.ControlKind
	gap    batch.Gap
	stored []stored
}

type stored struct {
	m         *message
	recovered bool
}

// replica is a broker with its log, its ring, and what it knows of the controller's decisions.
type replica struct {
	w                    *world
	id, process          int
	connection           int
	alive, hears, opened bool
	dropping             bool
	dropped              int
	offset               int64 // of its clock
	crashed, deafSince   int64
	stalled              int64

	log       []entry
	committed int
	ring      *Ring
	gaps      Gaps
	ids       map[uint64]int
	tainted   map[uint64]bool

	applied   int
	epoch     uint64
	leaderID  int
	refusing  bool
	leading   bool
	inSync    []bool
	ends      []int // of the others' logs, as far as a leader knows
	queue     []queued
	drained   int64
	progress  int64 // the leader's drained, as of this log
	progress0 int64
	waiters   []waiter
}

// queued is what a leader has to append.
type queued struct {
	m         *message
	recovered bool
}

// waiter is a follower that is told when its report is committed.
type waiter struct {
	id, theirs uint64
	follower   *replica
	process    int
}

func (r *replica) clock() int64 { return r.w.now + r.offset }

func (r *replica) taint(m *message) {
	if r.tainted == nil {
		r.tainted = map[uint64]bool{}
	}
	r.tainted[m.content] = true
}

// start begins what a process does again and again.
func (r *replica) start() {
	r.opened = true
	process := r.process
	again := func(from, to int64, do func()) {
		var loop func()
		loop = func() {
			if r.process != process || !r.alive {
				return
			}
			do()
			r.w.after(r.w.between(from, to), loop)
		}
		r.w.after(r.w.between(from, to), loop)
	}
	again(1*ms, 20*ms, r.flush)
	again(5*ms, 50*ms, r.fetch)
	again(80*ms, 120*ms, r.tick)
}

func (r *replica) hear(m *message) {
	w := r.w
	m.times = append(m.times, r.clock())
	m.hearings = append(m.hearings, hearing{replica: r.id, process: r.process, at: r.clock()})
	h := len(m.hearings) - 1
	expected := r.ring.Expects(m.fingerprint(), r.clock()) && !mutant("shadow-expected-refused")
	if r.mayRefuse() && m.refusable() && r.refusing && !expected {
		m.nacked = true
		w.tell("  %d refuses %d", r.id, m.number)
	}
	m.hearings[h].reached = r.ring.oldestUnheard(m.fingerprint(), r.clock()) != nil || !r.refusing || !m.refusable()
	message := Message{Fingerprint: m.fingerprint(), ID: idFingerprint(m.id), Record: m.record(), Heard: r.clock()}
	if m.wantsAck {
		message.Ack = binary.BigEndian.AppendUint64(message.Record[:8:8], uint64(h))
	}
	fresh := r.ring.Hear(message, r.clock())
	w.tell("  %d hears %d: %v %s", r.id, m.number, fresh, r.unmatched(m))
	m.missed = m.missed || (w.overflow || w.settings) && !fresh
	if fresh && r.leading {
		r.queue = append(r.queue, queued{m, r.ring.MayBeStored(r.clock())})
	}
}

// refuses is the pure function of 2.5.
func (r *replica) refuses(m *message, id Fingerprint) bool {
	return r.refusing && m.refusable() || m.id != 0 && id != Fingerprint{} && r.ids[m.id] > 0
}

// unmatched tells what the ring keeps of messages that look like one.
func (r *replica) unmatched(m *message) string {
	t := r.ring.twins[m.fingerprint()]
	if t == nil || r.w.trace == nil {
		return ""
	}
	var parts []string
	for i, l := range []list{t.heard, t.cut, t.unheard, t.early} {
		for it := l.head; it != nil; it = it.links[inTwins].next {
			parts = append(parts, fmt.Sprintf("%s %.1f", []string{"heard", "cut", "unheard", "early"}[i], float64(it.learnt)/float64(ms)))
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// mayRefuse says whether this replica leads and has its lease.
func (r *replica) mayRefuse() bool { return r.leading && r.w.currentEpoch() == r.epoch }

// applyMeta applies the next operation of the controller.
func (r *replica) applyMeta() {
	if !r.alive || !r.opened || r.applied == len(r.w.meta) {
		return
	}
	op := r.w.meta[r.applied]
	r.applied++
	if op.epoch == 0 {
		r.refusing = op.refusing
		r.w.tell("%d refuses from now on: %v", r.id, op.refusing)
		r.ring.Empty(batch.GapPaused, r.clock())
		r.queue = nil
		return
	}
	r.epoch, r.leaderID = op.epoch, op.leader
	r.queue, r.waiters = nil, nil
	r.gaps.Retry()
	if r.leading = op.leader == r.id; !r.leading {
		r.ring.Follow(r.clock())
		return
	}
	r.inSync = slices.Clone(op.inSync)
	r.ends = make([]int, len(r.inSync))
	r.write(entry{kind: batch.ControlEpoch})
	recovery := r.ring.Promote(r.clock())
	r.w.tell("%d is promoted in epoch %d: recovers %d, %d gaps", r.id, r.epoch, len(recovery.Records), len(recovery.Gaps))
	for _, record := range recovery.Records {
		r.queue = append(r.queue, queued{r.w.messageOf(record), true})
	}
	for _, gap := range recovery.Gaps {
		r.gaps.Add(gap, "")
	}
}

func (r *replica) write(e entry) uint64 {
	r.w.uids++
	e.uid, e.epoch, e.time = r.w.uids, r.epoch, r.clock()
	if n := len(r.log); n > 0 {
		last := &r.log[n-1]
		e.first, e.time = last.first+int64(len(last.stored)), max(e.time, last.time)
	}
	r.append(e)
	return uint64(len(r.log) - 1)
}

// append puts a batch into the log, this replica's own or its leader's.
func (r *replica) append(e entry) {
	seq := uint64(len(r.log))
	r.log = append(r.log, e)
	for i, s := range e.stored {
		s.m.appended = append(s.m.appended, e.time)
		if s.m.id != 0 {
			r.ids[s.m.id]++
		}
		r.ring.Appended(Captured{
			Fingerprint: s.m.fingerprint(), ID: idFingerprint(s.m.id), Seq: seq, Offset: e.first + int64(i), AppendTime: e.time,
		}, r.clock())
		r.w.tell("    %d has %d at seq %d %s", r.id, s.m.number, seq, r.unmatched(s.m))
	}
}

// flush lets a leader append some of what it heard.
func (r *replica) flush() {
	if !r.leading || !r.opened || r.w.now < r.stalled {
		return
	}
	var e entry
	for len(r.queue) > 0 && (len(e.stored) < 8 || r.w.over) {
		q := r.queue[0]
		if len(e.stored) > 0 && (q.recovered != e.stored[0].recovered || q.m.id != 0) {
			break
		}
		r.queue = r.queue[1:]
		if q.m.id != 0 && r.ids[q.m.id] > 0 {
			continue
		}
		e.stored = append(e.stored, stored(q))
		r.w.tell("%d appends %d at seq %d (recovered %v)", r.id, q.m.number, len(r.log), q.recovered)
		if q.m.id != 0 {
			break
		}
	}
	if len(e.stored) > 0 {
		r.write(e)
	}
	if len(r.queue) == 0 {
		r.drained = r.w.now
	} else if r.w.over {
		r.flush()
	}
	r.commit()
}

// commit moves a leader's commit position: all replicas in sync.
func (r *replica) commit() {
	end := len(r.log)
	for i, in := range r.inSync {
		if in && i != r.id {
			end = min(end, r.ends[i])
		}
	}
	r.learnCommitted(end)
}

func (r *replica) learnCommitted(end int) {
	r.committed = max(r.committed, end)
	for _, s := range r.ring.Committed(uint64(r.committed)) {
		r.settle(s)
	}
	for _, id := range r.gaps.Committed(uint64(r.committed)) {
		for _, x := range r.waiters {
			if x.id == id {
				r.w.after(r.w.between(1*ms, 30*ms), func() {
					if x.follower.process == x.process {
						x.follower.gaps.Done(x.theirs)
					}
				})
			}
		}
	}
}

func (r *replica) settle(s Settled) {
	w := r.w
	w.stats.settled++
	m := w.messageOf(s.Ack)
	h := &m.hearings[binary.BigEndian.Uint64(s.Ack[8:])]
	h.settled++
	if h.settled > 1 {
		w.fault("(c) message %d is settled again on %d", m.number, r.id)
	}
	if h.replica != r.id || h.process != r.process {
		w.fault("(c) %d settles what it did not hear", r.id)
	}
	if s.Seq >= uint64(r.committed) {
		w.fault("(c) message %d is settled at seq %d, committed are %d", m.number, s.Seq, r.committed)
		return
	}
	e := &r.log[s.Seq]
	at := s.Offset - e.first
	if at < 0 || at >= int64(len(e.stored)) {
		w.fault("(c) message %d is settled at seq %d, where there is no record", m.number, s.Seq)
		return
	}
	if is := e.stored[at].m; is.content != m.content && (is.id != m.id || m.id == 0 || !s.Duplicate) {
		w.fault("(c) message %d is settled at seq %d, where %d is", m.number, s.Seq, is.number)
	}
}

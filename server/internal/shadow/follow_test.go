package shadow

import "github.com/trestlehq/trestle/proto/batch"

// fetch makes a follower's log that of its leader, a few batches at a time.
func (r *replica) fetch() {
	w := r.w
	if r.leading || r.epoch == 0 || !r.opened || w.now < r.stalled {
		return
	}
	leader := w.replicas[r.leaderID]
	if !leader.alive || !leader.leading || leader.epoch != r.epoch {
		return
	}
	same := min(len(r.log), len(leader.log)) // logs that agree somewhere agree up to there
	for same > 0 && r.log[same-1].uid != leader.log[same-1].uid {
		same--
	}
	if same < len(r.log) {
		r.truncate(same)
	}
	n := 1 + w.rng.IntN(8)
	if w.over {
		n = 1000
	}
	for ; n > 0 && len(r.log) < len(leader.log); n-- {
		r.append(leader.log[len(r.log)])
	}
	if len(r.log) == len(leader.log) {
		r.progress = leader.drained
	}
	r.learnCommitted(min(leader.committed, len(r.log)))
	end, epoch, process := len(r.log), r.epoch, leader.process
	w.after(w.between(1*ms, 30*ms), func() {
		if leader.leading && leader.epoch == epoch && leader.process == process {
			leader.ends[r.id] = max(leader.ends[r.id], end)
			w.mayJoin(leader, r)
		}
	})
}

// mayJoin takes a replica into the set in sync when it has all of its leader's log.
func (w *world) mayJoin(leader, r *replica) {
	if w.leader == leader.id && w.currentEpoch() == leader.epoch && !w.inSync[r.id] && r.alive && r.epoch == leader.epoch &&
		leader.ends[r.id] == len(leader.log) && len(r.log) == len(leader.log) {
		w.inSync[r.id], leader.inSync[r.id] = true, true
	}
}

func (w *world) currentEpoch() uint64 {
	for i := len(w.meta) - 1; i >= 0; i-- {
		if w.meta[i].epoch != 0 {
			return w.meta[i].epoch
		}
	}
	return 0
}

func (r *replica) truncate(seq int) {
	w := r.w
	if seq < r.committed {
		w.fault("model: %d cuts at %d what is committed up to %d", r.id, seq, r.committed)
	}
	w.stats.truncated += len(r.log) - seq
	var cut []CutRecord
	for at := seq; at < len(r.log); at++ {
		for _, s := range r.log[at].stored {
			w.tell("%d cuts %d at seq %d", r.id, s.m.number, at)
			cut = append(cut, CutRecord{
				Fingerprint: s.m.fingerprint(), ID: idFingerprint(s.m.id), Record: s.m.record(), Seq: uint64(at), Time: r.log[at].time,
			})
			if s.m.id != 0 {
				r.ids[s.m.id]--
			}
		}
	}
	r.log = r.log[:seq:seq]
	r.ring.Truncated(uint64(seq), cut, r.clock())
	r.gaps.Truncated(uint64(seq))
}

// tick lets time pass for the ring, and takes what it reports to whoever leads.
func (r *replica) tick() {
	w := r.w
	if !r.opened {
		return
	}
	progressed := !r.leading && r.progress > r.progress0
	reports := r.ring.Tick(r.clock(), progressed)
	r.progress0 = max(r.progress, w.now)
	for _, report := range reports {
		w.tell("%d reports %+v", r.id, report)
		r.gaps.Add(report.Gap(), "")
	}
	if w.now < r.stalled {
		return
	}
	for _, due := range r.gaps.Due(r.clock()) {
		if r.leading {
			w.tell("%d writes gap %+v", r.id, due.Gap)
			r.gaps.Written(due.ID, r.write(entry{kind: batch.ControlGap, gap: due.Gap}))
			continue
		}
		r.report(due)
	}
	if !r.leading && (r.epoch == 0 || !w.replicas[r.leaderID].leading) {
		r.gaps.Retry()
	}
}

func (r *replica) report(due DueGap) {
	w := r.w
	epoch, process := r.epoch, r.process
	leader := w.replicas[r.leaderID]
	if mutant("shadow-report-forgotten") {
		r.gaps.Done(due.ID)
	}
	w.after(w.between(1*ms, 30*ms), func() {
		if !leader.alive || !leader.leading || leader.epoch != epoch {
			if r.process == process && r.epoch == epoch {
				r.gaps.Retry()
			}
			return
		}
		id := leader.gaps.Add(due.Gap, string(rune('a'+r.id)))
		leader.waiters = append(leader.waiters, waiter{id, due.ID, r, process})
	})
}

// crash ends a process: its ring and its gaps are lost, its log is not.
func (w *world) crash(r *replica) {
	if !r.alive {
		return
	}
	w.tell("%d crashes", r.id)
	r.alive, r.leading, r.queue, r.waiters = false, false, nil, nil
	r.process++
	r.crashed = r.clock()
	r.ring, r.gaps = NewRing(w.options(r)), Gaps{}
	r.dropping = false
	if r.hears {
		r.deaf()
	}
	if w.leader == r.id {
		w.after(w.between(50*ms, 800*ms), w.elect)
	} else if leader := w.replicas[w.leader]; leader.alive && leader.leading && leader.epoch == w.currentEpoch() {
		w.inSync[r.id], leader.inSync[r.id] = false, false
	}
	process := r.process
	w.after(w.between(10*ms, 2*window), func() {
		if r.process == process && !r.alive {
			w.restart(r)
		}
	})
}

// restart begins a process: it listens first and opens its log then.
func (w *world) restart(r *replica) {
	w.tell("%d starts", r.id)
	r.alive, r.opened, r.epoch, r.applied = true, false, 0, 0
	r.refusing = false
	r.process++
	w.listen(r)
	r.ring.Incomplete(batch.GapRestart, r.crashed, r.clock(), 0, false)
	process := r.process
	w.after(w.between(0, 200*ms), func() {
		if r.process != process || !r.alive {
			return
		}
		r.progress, r.progress0 = 0, w.now
		for _, op := range w.meta {
			r.applied++
			if op.epoch == 0 {
				r.refusing = op.refusing
			} else {
				r.epoch, r.leaderID = op.epoch, op.leader
			}
		}
		r.start()
		if w.settings {
			r.ring.Empty(batch.GapRestart, r.clock())
		}
		if r.leaderID == r.id && w.currentEpoch() == r.epoch { // nobody else was there to lead
			w.after(0, w.elect)
		}
	})
}

func (r *replica) deaf() {
	r.hears = false
	r.connection++
	r.deafSince = r.clock()
}

func (w *world) comeBack(r *replica) {
	w.listen(r)
	r.incomplete(batch.GapNATSDisconnected, r.deafSince, 0, false)
}

func (w *world) listen(r *replica) {
	w.tell("%d hears NATS again", r.id)
	r.hears = true
	r.connection++
	for _, m := range w.messages { // what is missed so late may be appended later
		if m.published != 0 && m.published > w.now-window-w.clocks {
			r.taint(m)
		}
	}
}

func (r *replica) incomplete(cause batch.GapCause, from int64, atLeast uint64, counted bool) {
	r.ring.Incomplete(cause, from, r.clock(), atLeast, counted)
}

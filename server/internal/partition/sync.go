package partition

import (
	"time"

	"github.com/trestlehq/trestle/commitlog"
)

// roundsEvery is how often a log is synced for which nobody waits, while more comes all the time.
const roundsEvery = 5 * time.Millisecond

// startSyncLocked sees that a goroutine makes durable what was appended.
func (p *Partition) startSyncLocked() {
	if sync := p.syncDueLocked(); sync != nil {
		p.tasks.Go(sync)
	}
}

// syncDueLocked returns what is to be called to make durable what was appended, by a goroutine that has nothing else to do; nil:
// somebody sees to it, or nothing is due. A writer that has nothing more to write calls it: what is alone on its way to the disk
// then waits for one goroutine less.
func (p *Partition) syncDueLocked() func() {
	due := p.syncDue
	p.syncDue = false
	switch {
	case !due:
		return nil
	case p.syncing:
		return p.roundBesideLocked()
	}
	p.syncing = true
	return p.sync
}

// sync makes durable what was appended, until nothing is left to do.
func (p *Partition) sync() {
	for p.syncOnce() {
	}
}

// besideBytes is how much is waited for, at least, if it is not to wait for the round that is under way. Where less comes, it
// gathers: each round costs the disk about the same.
const besideBytes = 32 << 10

// maxRounds is how many rounds of a log are under way at most.
const maxRounds = 3

// rounds are the syncs of a log that are under way: one, and while much is waited for others beside it. So one batch is
// written to the disk while the disk flushes the one before, and publishers who have sent one group of messages wait for one sync,
// not for the rest of another as well. Guarded by Partition.mu.
type rounds struct {
	underWay int
	begun    commitlog.Position // what the last one makes durable, at least
	since    int                // bytes appended since then
}

func (r *rounds) begin(end commitlog.Position) {
	r.underWay, r.begun, r.since = r.underWay+1, end, 0
}

// roundBesideLocked begins a round beside those that are under way and returns what carries it out; nil: what was appended waits.
func (p *Partition) roundBesideLocked() func() {
	if p.rounds.underWay == 0 || p.rounds.underWay >= maxRounds || p.rounds.since < besideBytes || p.unsynced.awaited.IsZero() || p.settings.Sync != SyncAck ||
		!p.config.Turns.take() {
		return nil
	}
	p.unsynced = unsynced{}
	p.rounds.begin(p.log.End())
	return p.round
}

// round makes durable what was appended, commits it and answers those who wait. The caller has begun it and has taken a turn.
func (p *Partition) round() {
	_, err := p.log.Sync()
	p.config.Turns.give()
	p.mu.Lock()
	p.rounds.underWay--
	p.mu.Unlock()
	if err != nil {
		p.failed(err)
		return
	}
	p.advance()
}

// syncOnce carries out a round. It is false, and nobody syncs any more but for a round beside this one, if nothing else is to be
// made durable.
func (p *Partition) syncOnce() (more bool) {
	p.awaitInterval()
	p.shareRound()
	p.takeTurn()
	p.mu.Lock()
	p.rounds.begin(p.log.End())
	p.mu.Unlock()
	p.round()
	p.mu.Lock()
	defer p.mu.Unlock()
	more = p.fault == nil && p.log.End() != p.rounds.begun && p.settings.Sync != SyncNone
	if !more {
		p.syncing, p.unsynced = false, unsynced{}
		p.restedLocked()
	}
	return more
}

// shareRound lets what nobody waits for gather, so that one sync is for more of it: there is none sooner than roundsEvery after
// the one before (protocol.md 1.8). Whoever comes and waits ends that.
func (p *Partition) shareRound() {
	p.mu.Lock()
	now := time.Now()
	rest := p.synced.Add(roundsEvery).Sub(now)
	if rest <= 0 || !p.unsynced.awaited.IsZero() {
		p.synced = now
		p.mu.Unlock()
		return
	}
	awaited := make(chan struct{})
	p.unsynced.hurried = awaited
	p.mu.Unlock()
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-awaited:
	case <-p.stop:
	}
	p.mu.Lock()
	p.unsynced.hurried, p.synced = nil, time.Now()
	p.mu.Unlock()
}

// awaitInterval waits, with SyncInterval, until it is time for a sync, the partition closes, or the settings change.
func (p *Partition) awaitInterval() {
	p.mu.Lock()
	settings, changed := p.settings, p.changed
	p.mu.Unlock()
	if settings.Sync != SyncInterval {
		return
	}
	timer := time.NewTimer(settings.syncEvery())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-p.stop:
	}
}

// advance moves the commit position up to the safe position, and answers those who waited for that. With one replica that
// is what is durable with SyncAck, and the end with the others (protocol.md 1.7). It never goes back.
func (p *Partition) advance() {
	p.mu.Lock()
	mode, safe := p.settings.Sync, p.log.End() // what is appended under another setting comes later
	p.mu.Unlock()
	if mode == SyncAck {
		safe = p.log.Durable()
	}
	p.log.Commit(safe)
	committed, durable := p.log.Committed(), p.log.Durable()
	p.memory.committed(committed.Seq - 1)
	p.mu.Lock()
	p.gaps.Committed(committed.Seq)
	n := 0
	for n < len(p.waiting) && p.waiting[n].seq < committed.Seq {
		n++
	}
	settled := p.waiting[:n:n]
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	p.restedLocked()
	p.mu.Unlock()
	for _, one := range settled {
		one.ack.Durable = one.seq < durable.Seq
	}
	p.settle(settled, nil)
}

package partition

import (
	"time"
)

// roundsEvery is how often a log is synced for which nobody waits, while more comes all the time.
const roundsEvery = 5 * time.Millisecond

// startSyncLocked sees that a goroutine makes durable what was appended.
func (p *Partition) startSyncLocked() {
	p.syncDue = false
	if p.syncing {
		return
	}
	p.syncing = true
	p.tasks.Go(p.sync)
}

// syncHereLocked says whether the calling goroutine, which has nothing more to write, is to call sync: what is alone on its
// way to the disk then waits for one goroutine less.
func (p *Partition) syncHereLocked() bool {
	here := p.syncDue && !p.syncing
	p.syncDue = false
	p.syncing = p.syncing || here
	return here
}

// sync makes durable what was appended, until nothing is left to do.
func (p *Partition) sync() {
	for p.syncOnce() {
	}
}

// syncOnce makes durable what was appended, commits it and answers those who wait. It is false, and nobody syncs any more, if
// that was all.
func (p *Partition) syncOnce() (more bool) {
	p.awaitInterval()
	p.shareRound()
	p.takeTurn()
	durable, err := p.log.Sync()
	p.config.Turns.give()
	if err != nil {
		p.mu.Lock()
		p.syncing = false
		p.mu.Unlock()
		p.failed(err)
		return false
	}
	p.advance()
	p.mu.Lock()
	defer p.mu.Unlock()
	more = p.log.End() != durable && p.settings.Sync != SyncNone
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
	mode := p.settings.Sync
	p.mu.Unlock()
	durable := p.log.Durable()
	safe := durable
	if mode != SyncAck {
		safe = p.log.End()
	}
	p.log.Commit(safe)
	committed := p.log.Committed()
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

package partition

import (
	"errors"
	"fmt"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// write appends what is queued until nothing is.
func (p *Partition) write() {
	for p.writeOnce() {
	}
	p.mu.Lock()
	sync := p.syncDueLocked()
	p.mu.Unlock()
	if sync != nil {
		sync()
	}
}

// writeHere appends the publications that are queued. All else is left to goroutines of the partition: what comes meanwhile,
// captured records, which may have to wait for room on a full disk, and the sync.
func (p *Partition) writeHere() {
	p.mu.Lock()
	var w work
	if p.fault == nil {
		w.publications = p.queue.takePublications()
	}
	p.mu.Unlock()
	if !w.empty() {
		p.append(&w)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.queue.empty() || len(p.cover.asked) > 0 || p.gaps.Len() > 0 {
		p.tasks.Go(p.write)
		return
	}
	p.writing = false
	p.restedLocked()
	p.startSyncLocked()
}

// writeOnce appends what is queued now. It is false, and nobody writes any more, if nothing is.
func (p *Partition) writeOnce() bool {
	p.mu.Lock()
	var w work
	var asked []chan<- memoryCopy
	if p.fault == nil {
		w = p.queue.take()
		w.gaps = p.dueGapsLocked()
		asked, p.cover.asked = p.cover.asked, nil
	}
	if len(asked) == 0 && w.empty() {
		p.writing = false
		p.restedLocked()
		p.mu.Unlock()
		return false
	}
	p.startSyncLocked() // beside what is written now
	p.mu.Unlock()
	p.giveCopies(asked)
	if !w.empty() {
		p.append(&w)
	}
	return true
}

// append puts the work at the end of the log and hands those who wait for it on.
func (p *Partition) append(w *work) {
	p.memory.mu.Lock()
	pl, err := p.judge(w)
	p.memory.mu.Unlock()
	if err == nil && len(pl.batches) > 0 {
		err = p.appendPlan(pl)
	}
	if err != nil {
		if forget := p.memory.forget(pl.first.Seq); forget != nil {
			err = fmt.Errorf("%w; undoing what is known of it: %w", err, forget)
		}
	}
	switch {
	case errors.Is(err, commitlog.ErrFull):
		p.appendFull(w, err)
	case err != nil:
		p.appendFailed(w, err)
	default:
		p.appended(w, pl)
	}
}

// appendPlan puts what was planned into the log. Acks and what is known of ids say where it was planned to be: should the log
// have put it elsewhere, nobody is acked, and the partition ends.
func (p *Partition) appendPlan(pl *plan) error {
	put, err := p.log.Append(p.config.Epoch, pl.time, pl.batches...)
	if err == nil && (put.First != pl.first || put.End != pl.next || put.Time != pl.time) {
		err = fmt.Errorf("the log appended %+v to %+v at %d, and %+v to %+v at %d was planned: this is a fault of Trestle",
			put.First, put.End, put.Time, pl.first, pl.next, pl.time)
	}
	return err
}

// appended settles those who wait for the write only, keeps the others until it is committed, and sees to the sync.
func (p *Partition) appended(w *work, pl *plan) {
	var written []*pending
	size, awaited := 0, false
	for _, b := range pl.batches {
		size += len(b)
	}
	p.mu.Lock()
	fault := p.fault
	roomAgain := p.full != nil && size > 0
	if size > 0 {
		p.full = nil
		p.cover.bytes += int64(size)
	}
	for i, seq := range pl.gapSeqs {
		p.gaps.Written(w.gaps[i].ID, seq)
		p.gapsWritten++
		p.gapAt, p.lastGap = pl.time, &w.gaps[i].Gap
	}
	for _, waiting := range pl.waiting {
		if waiting.whenWritten || fault != nil { // after a fault nothing is committed any more
			written = append(written, waiting)
			continue
		}
		p.waiting = append(p.waiting, waiting)
		awaited = awaited || !waiting.unheard
	}
	for _, c := range w.captured {
		if c.missing != nil {
			p.gaps.Add(*c.missing, "")
		}
	}
	p.queue.done(w.publications, w.captured)
	if size > 0 && p.settings.Sync != SyncNone {
		p.unsynced.add(p.config.Turns, awaited)
		p.rounds.since += size
		p.syncDue = true // see write
	}
	p.mu.Unlock()
	if size > 0 {
		p.memory.appended(pl)
		p.keepSnapshot(int64(size))
	}
	p.measured(w, pl, size)
	if fault != nil {
		fault = unknown(fault)
	}
	p.settle(written, fault)
	p.settle(pl.refused, nil)
	p.advance()
	if roomAgain && p.config.OnFull != nil {
		p.config.OnFull(nil)
	}
}

// appendFailed answers everyone: what was to be written may be in the file or not.
func (p *Partition) appendFailed(w *work, err error) {
	var waiting []*pending
	for _, pub := range w.publications {
		waiting = append(waiting, &pub.pending)
	}
	for _, c := range w.captured {
		waiting = append(waiting, c.waiting()...)
	}
	p.settle(waiting, unknown(err))
	p.failed(err)
}

// appendFull refuses publications that found the disk full, but for those that were stored before, and keeps captured
// records and gaps until there is room.
func (p *Partition) appendFull(w *work, err error) {
	again := work{publications: w.publications}
	p.mu.Lock()
	first := p.full == nil
	p.full = err
	p.gaps.Retry()
	p.queue.putBack(w.captured)
	waits := len(w.captured) > 0 || p.gaps.Len() > 0
	p.queue.done(w.publications, nil)
	p.queue.room.Broadcast() // with a disk guard nothing is waited for
	p.mu.Unlock()
	if first && p.config.OnFull != nil {
		p.config.OnFull(err)
	}
	for _, pub := range again.publications {
		pub.err, pub.ack = nil, Ack{}
		pub.refuse(err)
	}
	if len(again.publications) > 0 {
		p.append(&again) // writes nothing: all are refused or were stored before
	}
	if !waits {
		return
	}
	timer := time.NewTimer(retryFull)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.stop:
		p.endFull(w, err)
	}
}

// endFull ends the waiting for room of a partition that closes. What waits is tried once more, then captured records become
// a gap, for which there may be room where there was none for them, and in the end it is over: Close says that something is
// missing, so that a gap of the next start stands for it. A full disk is no fault of the log (protocol.md 1.10).
func (p *Partition) endFull(w *work, err error) {
	if !p.lastTry {
		p.lastTry = true
		return
	}
	if p.missCaptured(err) {
		return
	}
	missing := uint64(0)
	for i := range w.gaps {
		missing += w.gaps[i].Gap.AtLeast
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil {
		p.fault = fmt.Errorf("%d messages or more are missing and there is no room for a gap that says so: %w; make room, the next start writes one", missing, err)
	}
}

// missCaptured makes all captured records that wait a gap. It says false if there are none.
func (p *Partition) missCaptured(why error) bool {
	_, last := p.log.LastEpoch()
	now := p.config.Now().UnixNano()
	gap := batch.Gap{Cause: batch.GapDiskFull, FromTime: min(last, now), ToTime: now, Counted: true}
	p.mu.Lock()
	captured := p.queue.full
	if p.queue.open != nil {
		captured = append(captured, p.queue.open)
	}
	p.queue.full, p.queue.open = nil, nil
	var waiting []*pending
	for _, c := range captured {
		gap.AtLeast += uint64(c.Count())
		waiting = append(waiting, c.waiting()...)
		if c.missing != nil {
			p.gaps.Add(*c.missing, "")
		}
	}
	if gap.AtLeast > 0 {
		p.gaps.Add(gap, "")
	}
	p.queue.done(nil, captured)
	p.mu.Unlock()
	p.settle(waiting, fmt.Errorf("not stored: %w", why))
	return len(captured) > 0
}

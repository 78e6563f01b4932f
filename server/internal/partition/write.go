package partition

import (
	"errors"
	"fmt"
	"time"

	"github.com/trestlehq/trestle/commitlog"
)

// write appends what is queued until nothing is.
func (p *Partition) write() {
	for {
		p.mu.Lock()
		var w work
		if p.fault == nil {
			w = p.queue.take()
			w.gaps = p.dueGapsLocked()
		}
		if w.empty() {
			p.writing = false
			p.queue.rest()
			p.restedLocked()
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		p.append(&w)
	}
}

// append puts the work at the end of the log and hands those who wait for it on.
func (p *Partition) append(w *work) {
	p.memory.mu.Lock()
	pl, err := p.judge(w)
	p.memory.mu.Unlock()
	if err == nil && len(pl.batches) > 0 {
		_, err = p.log.Append(p.config.Epoch, pl.time, pl.batches...)
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

// appended settles those who wait for the write only, keeps the others until it is committed, and sees to the sync.
func (p *Partition) appended(w *work, pl *plan) {
	var written []*pending
	size := 0
	for _, b := range pl.batches {
		size += len(b)
	}
	p.mu.Lock()
	roomAgain := p.full != nil && size > 0
	if size > 0 {
		p.full = nil
	}
	for i, seq := range pl.gapSeqs {
		p.gaps.Written(w.gaps[i].ID, seq)
		p.gapsWritten++
		p.gapAt, p.lastGap = pl.time, &w.gaps[i].Gap
	}
	for _, waiting := range pl.waiting {
		if waiting.whenWritten {
			written = append(written, waiting)
			continue
		}
		p.waiting = append(p.waiting, waiting)
	}
	for _, c := range w.captured {
		if c.missing != nil {
			p.gaps.Add(*c.missing, "")
		}
	}
	p.queue.done(w.publications, w.captured)
	if size > 0 && p.settings.Sync != SyncNone {
		p.startSyncLocked()
	}
	p.mu.Unlock()
	if size > 0 {
		p.memory.appended(pl)
		p.keepSnapshot(int64(size))
	}
	p.measured(w, pl, size)
	for _, one := range written {
		one.settle(one.ack, nil)
	}
	for _, one := range pl.refused {
		one.settle(Ack{}, one.err)
	}
	p.advance()
	if roomAgain && p.config.OnFull != nil {
		p.config.OnFull(nil)
	}
}

// appendFailed answers everyone: what was to be written may be in the file or not.
func (p *Partition) appendFailed(w *work, err error) {
	unknown := fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	for _, pub := range w.publications {
		pub.settle(Ack{}, unknown)
	}
	for _, c := range w.captured {
		for _, one := range c.waiting() {
			one.settle(Ack{}, unknown)
		}
	}
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
		if !p.lastTry {
			p.lastTry = true
			return
		}
		p.failed(fmt.Errorf("captured messages that waited for room are lost: %w", err))
	}
}

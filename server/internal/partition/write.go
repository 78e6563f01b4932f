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
	for {
		p.mu.Lock()
		w := p.queue.take()
		if w.empty() || p.fault != nil {
			p.writing = false
			p.queue.rest()
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		p.append(&w)
	}
}

// append puts the work at the end of the log and hands those who wait for it on to the syncing goroutine.
func (p *Partition) append(w *work) {
	accepted, refused := p.judge(w.publications)
	batches := make([][]byte, 0, len(accepted)+len(w.captured))
	for _, pub := range accepted {
		batches = append(batches, pub.bytes)
	}
	for _, b := range w.captured {
		batches = append(batches, b.Finish(batch.Captured))
	}
	var appended commitlog.Appended
	var err error
	if len(batches) > 0 {
		appended, err = p.log.Append(p.config.Epoch, p.config.Now().UnixNano(), batches...)
	}
	for pub, why := range refused {
		pub.settle(Ack{}, why)
	}
	switch {
	case errors.Is(err, commitlog.ErrFull):
		p.appendFull(w, accepted, err)
		return
	case err != nil:
		for _, pub := range accepted {
			pub.settle(Ack{}, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err))
		}
		p.failed(err)
		return
	}
	p.appended(w, accepted, appended)
}

// judge sorts out the publications that expect another offset than the one that they would get.
func (p *Partition) judge(publications []*publication) (accepted []*publication, refused map[*publication]error) {
	next := p.log.End().Offset
	for _, pub := range publications {
		if pub.Expected != nil && *pub.Expected != next {
			if refused == nil {
				refused = map[*publication]error{}
			}
			refused[pub] = &WrongOffsetError{Expected: *pub.Expected, Next: next}
			continue
		}
		accepted = append(accepted, pub)
		next += int64(pub.Count)
	}
	return accepted, refused
}

// appended settles those who wait for the write only, keeps the others for the sync, and sees that there is one.
func (p *Partition) appended(w *work, accepted []*publication, at commitlog.Appended) {
	seq, offset := at.First.Seq, at.First.Offset
	p.mu.Lock()
	roomAgain := p.full != nil
	p.full = nil
	for _, pub := range accepted {
		pub.seq = seq
		ack := Ack{BaseOffset: offset, Count: pub.Count, Time: at.Time, Epoch: p.config.Epoch, Durable: !pub.WhenWritten}
		seq, offset = seq+1, offset+int64(pub.Count)
		if pub.WhenWritten {
			pub.settle(ack, nil)
			continue
		}
		pub.ack = ack
		p.waiting = append(p.waiting, pub)
	}
	p.queue.done(w.publications, w.captured)
	if !p.syncing {
		p.syncing = true
		p.tasks.Go(p.sync)
	}
	p.mu.Unlock()
	if roomAgain && p.config.OnFull != nil {
		p.config.OnFull(nil)
	}
}

// appendFull answers publications that found the disk full and keeps captured records until there is room.
func (p *Partition) appendFull(w *work, accepted []*publication, err error) {
	for _, pub := range accepted {
		pub.settle(Ack{}, err)
	}
	p.mu.Lock()
	first := p.full == nil
	p.full = err
	p.queue.done(w.publications, nil)
	p.queue.putBack(w.captured)
	p.mu.Unlock()
	if first && p.config.OnFull != nil {
		p.config.OnFull(err)
	}
	timer := time.NewTimer(retryFull)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.stop:
		p.failed(err) // what was captured is lost with the process; nothing waits for it
	}
}

// sync makes durable what was appended, commits it and answers those who wait, until nothing is left to do.
func (p *Partition) sync() {
	for {
		durable, err := p.log.Sync()
		if err != nil {
			p.mu.Lock()
			p.syncing = false
			p.mu.Unlock()
			p.failed(err)
			return
		}
		p.log.Commit(durable)
		p.mu.Lock()
		n := 0
		for n < len(p.waiting) && p.waiting[n].seq < durable.Seq {
			n++
		}
		settled := p.waiting[:n:n]
		p.waiting = p.waiting[n:]
		idle := p.log.End() == durable
		if idle {
			p.syncing = false
		}
		if len(p.waiting) == 0 {
			p.waiting = nil
		}
		p.mu.Unlock()
		for _, pub := range settled {
			pub.settle(pub.ack, nil)
		}
		if idle {
			return
		}
	}
}

package partition

import (
	"context"
	"time"
)

// Publish appends a batch and answers when it is as safe as it asks for. When ctx ends first, the batch may be stored or
// not: ErrOutcomeUnknown. What was stored before is answered with where it is, also by a partition that takes nothing new.
func (p *Partition) Publish(ctx context.Context, b Batch) (Ack, error) {
	var ack Ack
	var why error
	settled := make(chan struct{})
	err := p.Start(b, func(a Ack, err error) {
		ack, why = a, err
		close(settled)
	})
	if err != nil {
		return Ack{}, err
	}
	select {
	case <-settled:
		return ack, why
	case <-ctx.Done():
		return Ack{}, unknown(context.Cause(ctx))
	}
}

// Start queues a batch, behind those that were started before, and does not wait: done is told what Publish returns, once,
// from a goroutine of the partition. It must not block and must not call Close. An error means that the batch is not stored
// and done not called.
func (p *Partition) Start(b Batch, done func(Ack, error)) error {
	_, err := p.start(&b, pending{notify: done}, false)
	return err
}

// StartFor is Start for a listener, which hears of batches in groups: tag names the batch to it.
func (p *Partition) StartFor(b Batch, listener Listener, tag uint64) error {
	_, err := p.start(&b, pending{listener: listener, tag: tag}, false)
	return err
}

// FinishFor is StartFor for a batch behind which its sender waits. Where it is answered without a sync, and nobody writes
// already, the calling goroutine writes it, and the listener hears of it before FinishFor returns: it waits for no other
// goroutine on its way, and for no sync.
func (p *Partition) FinishFor(b Batch, listener Listener, tag uint64) error {
	here, err := p.start(&b, pending{listener: listener, tag: tag}, true)
	if here {
		defer p.tasks.Done()
		p.writeHere()
	}
	return err
}

// start queues a batch. Here says that the calling goroutine is to write it, as it may.
func (p *Partition) start(b *Batch, waits pending, mayWrite bool) (here bool, err error) {
	waits.begun, waits.whenWritten = time.Now(), b.WhenWritten
	pub, err := p.newPublication(b, waits)
	if err == nil {
		here, err = p.enqueue(pub, mayWrite)
	}
	if err != nil {
		p.meter.Refused()
	}
	return here, err
}

// enqueue queues a publication, unless it is refused at once.
func (p *Partition) enqueue(pub *publication, mayWrite bool) (here bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usableLocked(); err != nil {
		return false, err
	}
	if refusal := p.refusalLocked(pub); refusal != nil {
		if !pub.mayRepeat() {
			return false, refusal
		}
		pub.refuse(refusal)
	}
	p.queue.addPublication(pub)
	if mayWrite && !p.writing && p.full == nil && (p.settings.Sync != SyncAck || pub.whenWritten) {
		p.writing = true
		p.tasks.Add(1)
		return true, nil
	}
	p.startLocked()
	return false, nil
}

// refusalLocked says why a batch cannot be stored now, if it was not before.
func (p *Partition) refusalLocked(pub *publication) error {
	switch {
	case p.mode != Active:
		return p.mode.refusal()
	case p.guarded != nil:
		return p.guarded
	case p.settings.MaxRecordBytes > 0 && int64(pub.largest) > p.settings.MaxRecordBytes:
		return &TooLargeError{SizeBytes: int64(pub.largest), LimitBytes: p.settings.MaxRecordBytes}
	case p.full != nil && p.queue.bytes > 0: // with nothing in the queue this one finds out whether it still is
		return p.full
	case p.queue.bytes+len(pub.bytes) > maxQueuedBytes && p.queue.bytes > 0:
		return ErrTooManyInFlight
	}
	return nil
}

package partition

import (
	"fmt"

	"github.com/trestlehq/trestle/proto/batch"
)

// Captured is what a captured message asks for besides being stored.
type Captured struct {
	// Expected is the offset that the record must get; nil: whatever it is.
	Expected *int64
	// OnAck is called once the record is committed, or was found to be stored before, or is refused. It is called from a
	// goroutine of the partition, and must not block.
	OnAck func(Ack, error)
	// OnSettled is called when OnAck is, or would be; the same holds for it.
	OnSettled func()
	// NoWait says that a record for which too much is waiting becomes part of a gap ring_overflow, without an error, instead of
	// blocking.
	NoWait bool
	// NoRoom says that the record becomes part of such a gap at once: all partitions of the broker together have too much waiting.
	NoRoom bool
}

// Capture adds a record that came from NATS. The bytes of the record are copied. It blocks while too much is waiting to
// be appended, unless NoWait is set. A record for which the disk has no room, in the eyes of the disk guard, becomes part of a gap, without an
// error.
func (p *Partition) Capture(r *batch.Record) error { return p.CaptureWith(r, Captured{}) }

// CaptureWith is Capture for a record that asks for more. With an error OnAck is not called.
func (p *Partition) CaptureWith(r *batch.Record, c Captured) error {
	heard := c.OnAck != nil
	if c.OnSettled != nil {
		told, settled := c.OnAck, c.OnSettled // not c, which would be allocated for each record
		c.OnAck = func(ack Ack, err error) {
			settled()
			if told != nil {
				told(ack, err)
			}
		}
	}
	n := note{expected: c.Expected, notify: c.OnAck, unheard: !heard}
	if p.config.Dedup != nil {
		n.id = p.config.Dedup.Key.ID(r.MessageID())
	}
	p.mu.Lock()
	for (c.NoRoom || p.queue.bytes >= maxQueuedBytes) && p.capturesLocked() == nil && p.missingLocked() == nil {
		if c.NoRoom || c.NoWait {
			p.overflowLocked()
			p.mu.Unlock()
			if c.OnAck != nil {
				c.OnAck(Ack{}, fmt.Errorf("not stored: %w", ErrTooManyInFlight))
			}
			return nil
		}
		p.queue.room.Wait()
	}
	if err := p.capturesLocked(); err != nil {
		p.mu.Unlock()
		return err
	}
	if why := p.missingLocked(); why != nil {
		now := p.config.Now().UnixNano()
		p.gaps.Add(batch.Gap{Cause: batch.GapDiskFull, FromTime: now, ToTime: now, AtLeast: 1, Counted: true}, "")
		p.mu.Unlock()
		if c.OnAck != nil {
			c.OnAck(Ack{}, fmt.Errorf("not stored: %w", why))
		}
		return nil
	}
	p.queue.addRecord(r, n)
	p.startLocked()
	p.mu.Unlock()
	return nil
}

// overflowLocked counts a captured record for which there was no room. The gap stands behind what is queued already: where
// the record would be (protocol.md 2.8).
func (p *Partition) overflowLocked() {
	now := p.config.Now().UnixNano()
	gap := batch.Gap{Cause: batch.GapRingOverflow, FromTime: now, ToTime: now, AtLeast: 1, Counted: true}
	if !p.queue.miss(gap) {
		p.gaps.Add(gap, "")
	}
	p.startLocked()
}

// capturesLocked says why nothing is captured, if nothing is.
func (p *Partition) capturesLocked() error {
	if err := p.usableLocked(); err != nil {
		return err
	}
	return p.mode.refusal()
}

// Full says whether captured records become part of a gap, because the disk has no room for them.
func (p *Partition) Full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.missingLocked() != nil
}

// missingLocked says why a captured message is to become part of a gap, if it is.
func (p *Partition) missingLocked() error {
	if p.config.Space == nil {
		return nil
	}
	if p.guarded != nil {
		return p.guarded
	}
	return p.full
}

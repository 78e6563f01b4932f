package partition

import (
	"errors"
	"fmt"
	"sync"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/dedup"
)

// cover is how far the newest durable snapshot knows what was stored: below that, deleting segments makes nobody forget.
type cover struct {
	writing sync.Mutex          // held while a snapshot is written
	asked   []chan<- memoryCopy // who wants a copy of the memory now; each has room for one; guarded by Partition.mu
	bytes   int64               // appended by this leadership; guarded by Partition.mu, as is what follows
	until   commitlog.Position  // of the snapshot; the zero value: there is none of this leadership
	atBytes int64               // bytes when it was made
}

// memoryCopy is what was stored up to a batch.
type memoryCopy struct {
	last    commitlog.BatchName
	end     commitlog.Position
	atBytes int64
	state   []byte
}

var errNoCopy = errors.New("the partition closes, or has failed")

// copyMemory copies what was stored. Only the writing goroutine calls it, when the state and the log agree.
func (p *Partition) copyMemory() memoryCopy {
	c := memoryCopy{last: p.log.Last(), end: p.log.End(), state: p.memory.save()}
	p.memory.bytes, p.memory.saved = 0, int64(len(c.state))
	p.mu.Lock()
	defer p.mu.Unlock()
	c.atBytes = p.cover.bytes
	return c
}

// writeCopy makes a copy of the memory the newest snapshot.
func (p *Partition) writeCopy(c *memoryCopy) error {
	p.cover.writing.Lock()
	defer p.cover.writing.Unlock()
	if err := writeSnapshot(p.log.FS(), p.config.Dedup.Folder, c.last, c.state); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cover.until.Before(c.end) {
		p.cover.until, p.cover.atBytes = c.end, c.atBytes
	}
	return nil
}

// giveCopies gives a copy of the memory to those who have asked for one. Only the writing goroutine calls it.
func (p *Partition) giveCopies(asked []chan<- memoryCopy) {
	if len(asked) == 0 {
		return
	}
	c := p.copyMemory()
	for _, to := range asked {
		to <- c
	}
}

// coverAll makes a snapshot of all that was stored until now.
func (p *Partition) coverAll() error {
	given := make(chan memoryCopy, 1)
	p.mu.Lock()
	if err := p.usableLocked(); err != nil {
		p.mu.Unlock()
		return err
	}
	p.cover.asked = append(p.cover.asked, given)
	p.startLocked()
	p.mu.Unlock()
	select {
	case c := <-given:
		return p.writeCopy(&c)
	case <-p.upkeep.ctx.Done():
		return errNoCopy
	}
}

// keepKnown sees, before what lies below an offset is deleted, that a snapshot knows what a start would have read there. One
// that cannot be written is told of, and holds nothing up: deleting is the way out of a full disk.
func (p *Partition) keepKnown(below int64) {
	d := p.config.Dedup
	if d == nil || d.Folder == "" {
		return
	}
	p.mu.Lock()
	known, horizon := p.cover.until, max(dedup.DefaultIdleNanos, p.settings.windowNanos())
	p.mu.Unlock()
	if below <= known.Offset {
		return
	}
	counts, err := p.log.OffsetAt(p.config.Now().UnixNano() - horizon)
	if err == nil && below <= counts {
		return
	}
	if err := p.coverAll(); err != nil {
		p.problem(fmt.Errorf("message ids may be forgotten with what is deleted: %w", err))
	}
}

// keepKnownOf is keepKnown for what retention is about to delete. Messages and bytes that come in between move the limit: so it
// takes half of what stays for gone.
func (p *Partition) keepKnownOf(r commitlog.Retention, now int64) {
	committed, below := p.log.Committed().Offset, int64(0)
	if r.Messages > 0 {
		below = committed - r.Messages/2
	}
	if r.Age > 0 {
		if young, err := p.log.OffsetAt(now - int64(r.Age)); err == nil {
			below = max(below, young)
		}
	}
	size := p.log.SizeBytes()
	p.mu.Lock()
	// What goes is older than the snapshot, unless so much came since, or there is none of this leadership: how far those before
	// it came with theirs is not known.
	since, none := p.cover.bytes-p.cover.atBytes, p.cover.until == (commitlog.Position{})
	if r.Bytes > 0 && (since >= r.Bytes/2 || none && size > r.Bytes) {
		below = committed
	}
	p.mu.Unlock()
	p.keepKnown(min(below, committed))
}

package partition

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/commitlog"
)

// Purge takes the records below a place away for good: when it returns, no crash brings them back. It returns the log start
// from before and that from now on. A place above the high watermark is a *commitlog.RangeError; below the log start nothing
// is left to do. Message ids are known as long as the dedup window says, whether or not their records are still there.
func (p *Partition) Purge(to Place) (before, now int64, err error) {
	p.mu.Lock()
	err = p.usableLocked()
	p.mu.Unlock()
	if err != nil {
		return 0, 0, err
	}
	before = p.log.Start()
	committed := p.log.Committed()
	offset, err := p.offsetOf(to, before, committed)
	if err != nil {
		return before, before, fmt.Errorf("finding where to purge to: %w", err)
	}
	if offset > committed.Offset {
		return before, before, &commitlog.RangeError{Offset: offset, LogStart: before, NextOffset: committed.Offset}
	}
	p.keepKnown(offset)
	at := p.config.Now().UnixNano()
	if now, err = p.log.Purge(offset, at); errors.Is(err, commitlog.ErrFull) { // no room for a new segment
		if _, err = p.log.SetStart(offset); err == nil { // which makes some
			now, err = p.log.Purge(offset, at)
		}
	}
	if err != nil {
		return before, now, fmt.Errorf("purging to offset %d: %w", offset, err)
	}
	return before, now, nil
}

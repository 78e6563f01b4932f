package partition

import (
	"context"
	"errors"

	"github.com/trestlehq/trestle/proto/batch"
)

// Mode of a partition.
type Mode uint8

// Modes.
const (
	Active Mode = iota
	// Paused takes nothing in. Readers go on, and wait at the end.
	Paused
	// ReadOnly takes nothing in. Readers end at the end.
	ReadOnly
)

// Errors of a partition that takes nothing in.
var (
	ErrPaused   = errors.New("the partition is paused; resume it")
	ErrReadOnly = errors.New("the partition is read-only; make it active again")
)

func (m Mode) refusal() error {
	switch m {
	case Paused:
		return ErrPaused
	case ReadOnly:
		return ErrReadOnly
	case Active:
	}
	return nil
}

// SetMode changes the mode. What was accepted before is stored. Leaving Active, the log gets a gap that has begun, of
// cause paused, from now to now; returning to it, one that says how long nothing was captured (protocol.md 2.10). Whoever
// calls it has ended capture before, or begins it after.
func (p *Partition) SetMode(m Mode) error {
	now := p.config.Now().UnixNano()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usableLocked(); err != nil {
		return err
	}
	before := p.mode
	if before == m {
		return nil
	}
	p.mode = m
	switch {
	case before == Active:
		p.modeSince = now
		p.gaps.Add(pauseGap(now, now), "")
	case m == Active:
		p.gaps.Add(pauseGap(p.modeSince, max(now, p.modeSince)), "")
	}
	p.queue.room.Broadcast()
	if before == ReadOnly {
		p.growing.begin()
	}
	p.startLocked()
	return nil
}

func pauseGap(from, to int64) batch.Gap {
	return batch.Gap{Cause: batch.GapPaused, FromTime: from, ToTime: to}
}

// restedLocked ends the readers that have come to the end if nothing more can come.
func (p *Partition) restedLocked() {
	if p.mode != ReadOnly || p.writing || p.log.Committed() != p.log.End() {
		return
	}
	p.growing.end()
}

// growth says whether a partition may still grow. It is replaced when it may again. Guarded by Partition.mu.
type growth struct {
	context.Context
	stop context.CancelFunc
}

func (g *growth) begin() {
	if g.Context != nil && g.Err() == nil {
		return
	}
	g.Context, g.stop = context.WithCancel(context.Background())
}

func (g *growth) end() { g.stop() }

package partition

import (
	"time"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/dedup"
	"github.com/trestlehq/trestle/server/internal/shadow"
)

// gapEvery is how often gaps are written at most, but for when the partition closes.
const gapEvery = int64(time.Second)

// AppendGap takes in that messages are missing. Gaps of one cause are merged until they are written, before everything else
// that waits: at once if none was within the last second, else with a later append or Tick; with the disk guard shut, when
// there is room again. Until then they are in memory: after a crash the gap of cause restart stands for them.
func (p *Partition) AppendGap(gap batch.Gap) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usableLocked(); err != nil {
		return err
	}
	p.gaps.Add(gap, "")
	p.startLocked()
	return nil
}

// dueGapsLocked are the gaps that are to be written now.
func (p *Partition) dueGapsLocked() []shadow.DueGap {
	if p.gaps.Len() == 0 {
		return nil
	}
	now := p.config.Now().UnixNano()
	if !p.closed && (p.guarded != nil || now >= p.gapAt && now-p.gapAt < gapEvery) {
		return nil
	}
	// Gaps that met a full disk are not to wait for another second: the limit is kept here.
	p.gapTurn += gapEvery
	return p.gaps.Due(p.gapTurn)
}

// gapsAtStart are the gaps with which a leadership begins, if the last append was then.
func (p *Partition) gapsAtStart(last, now int64) []batch.Gap {
	var gaps []batch.Gap
	if last == 0 { // there never was one
		return nil
	}
	if p.config.Unclean {
		gaps = append(gaps, batch.Gap{Cause: batch.GapRestart, FromTime: last, ToTime: now})
	}
	if p.config.Mode != Active {
		gaps = append(gaps, pauseGap(last, now))
	}
	return gaps
}

// batchAt is a control batch at the end of the plan, as package dedup wants it.
func batchAt(pl *plan) dedup.Batch {
	return dedup.Batch{Seq: pl.next.Seq, Time: pl.time, BaseOffset: pl.next.Offset}
}

package shadow

import (
	"slices"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
)

// gapEvery is how often a gap of one cause is written at most.
const gapEvery = int64(time.Second)

// Gaps are what a replica knows to be missing from its partition until a gap that says so is committed. A leader writes
// them, a follower sends them to its leader as reports and keeps them until that says that they are committed: a gap that
// was written, or told, and then cut with the leader that wrote it would be silence. It is not safe for concurrent use.
//
//	open → out (Due) → done (Committed, on a leader; Done, on a follower)
//	  ↑_____|  Truncated, Retry
//
// The zero Gaps is ready to use.
type Gaps struct {
	gaps   []pendingGap
	ids    uint64
	issued []issue
}

// DueGap is a gap that is to be written or sent now.
type DueGap struct {
	ID  uint64
	Gap batch.Gap
}

type pendingGap struct {
	id      uint64
	gap     batch.Gap // but for AtLeast
	sources []gapSource
	out     bool
	written bool
	seq     uint64
}

// gapSource is how many messages one broker misses. Two may miss the same ones.
type gapSource struct {
	broker  string
	atLeast uint64
}

// issue is when a gap of the cause was last handed out.
type issue struct {
	cause batch.GapCause
	at    int64
}

// Add takes in a gap that the broker knows of: it becomes part of the open one of its cause. It returns the id by which
// Committed names it. AtLeast sums up within a broker; of several brokers the greatest counts, because they may have heard
// the same messages.
func (g *Gaps) Add(gap batch.Gap, broker string) uint64 {
	p := pendingGap{gap: gap, sources: []gapSource{{broker, gap.AtLeast}}}
	for i := range g.gaps {
		if open := &g.gaps[i]; !open.out && open.gap.Cause == gap.Cause {
			open.merge(&p)
			return open.id
		}
	}
	p.id = g.newID()
	g.gaps = append(g.gaps, p)
	return p.id
}

// Due hands out the gaps that are open, of each cause at most one a second. The caller then calls Written, or sends them
// and calls Done or Retry.
func (g *Gaps) Due(now int64) []DueGap {
	var due []DueGap
	for i := range g.gaps {
		p := &g.gaps[i]
		if p.out || !g.mayIssue(p.gap.Cause, now) {
			continue
		}
		p.out = true
		due = append(due, DueGap{ID: p.id, Gap: p.whole()})
	}
	return due
}

func (g *Gaps) mayIssue(cause batch.GapCause, now int64) bool {
	for i := range g.issued {
		last := &g.issued[i]
		if last.cause != cause {
			continue
		}
		if now >= last.at && now-last.at < gapEvery {
			return false
		}
		last.at = now
		return true
	}
	g.issued = append(g.issued, issue{cause, now})
	return true
}

// Written says that the gap is a batch of this replica's log, at seq.
func (g *Gaps) Written(id, seq uint64) {
	if p := g.find(id); p != nil {
		p.out, p.written, p.seq = true, true, seq
	}
}

// Committed says that the batches before seq are committed. It returns the ids of the gaps among them, which are done.
func (g *Gaps) Committed(seq uint64) []uint64 {
	var done []uint64
	g.gaps = slices.DeleteFunc(g.gaps, func(p pendingGap) bool {
		if !p.written || p.seq >= seq {
			return false
		}
		done = append(done, p.id)
		return true
	})
	return done
}

// Done says that the gap is committed somewhere.
func (g *Gaps) Done(id uint64) {
	g.gaps = slices.DeleteFunc(g.gaps, func(p pendingGap) bool { return p.id == id })
}

// Truncated says that this replica cuts the batches from seq on: gaps among them are open again.
func (g *Gaps) Truncated(seq uint64) {
	if !mutant("shadow-gap-cut-is-gone") {
		g.reopen(func(p *pendingGap) bool { return p.written && p.seq >= seq })
	}
}

// Retry opens again what was handed out and is not in this replica's log: another broker leads, or sending failed.
func (g *Gaps) Retry() {
	g.reopen(func(p *pendingGap) bool { return p.out && !p.written })
}

// Len is how many gaps are kept.
func (g *Gaps) Len() int { return len(g.gaps) }

// reopen merges what is open by then, so that what a partition without a leader keeps stays small. What is open again has
// another id: word that the gap as it was is committed may still be on its way, and says nothing of what it grew to.
func (g *Gaps) reopen(which func(*pendingGap) bool) {
	var kept []pendingGap
	for i := range g.gaps {
		p := &g.gaps[i]
		if which(p) {
			p.out, p.written, p.seq = false, false, 0
			if !mutant("shadow-gap-id-used-again") {
				p.id = g.newID()
			}
		}
		same := slices.IndexFunc(kept, func(k pendingGap) bool { return !k.out && !p.out && k.gap.Cause == p.gap.Cause })
		if same < 0 {
			kept = append(kept, *p)
			continue
		}
		kept[same].merge(p)
	}
	g.gaps = kept
}

func (g *Gaps) newID() uint64 {
	g.ids++
	return g.ids
}

func (g *Gaps) find(id uint64) *pendingGap {
	for i := range g.gaps {
		if g.gaps[i].id == id {
			return &g.gaps[i]
		}
	}
	return nil
}

func (p *pendingGap) merge(other *pendingGap) {
	p.gap.FromTime = min(p.gap.FromTime, other.gap.FromTime)
	p.gap.ToTime = max(p.gap.ToTime, other.gap.ToTime)
	p.gap.Counted = p.gap.Counted && other.gap.Counted
	for _, s := range other.sources {
		same := slices.IndexFunc(p.sources, func(k gapSource) bool { return k.broker == s.broker })
		if same < 0 {
			p.sources = append(p.sources, s)
			continue
		}
		p.sources[same].atLeast += s.atLeast
	}
}

func (p *pendingGap) whole() batch.Gap {
	gap := p.gap
	gap.AtLeast = 0
	for _, s := range p.sources {
		gap.AtLeast = max(gap.AtLeast, s.atLeast)
	}
	return gap
}

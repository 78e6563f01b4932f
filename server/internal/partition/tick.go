package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// compactEvery is how often a log is looked through for what compaction could remove.
const compactEvery = time.Minute

// guardPercent is how full a disk may be.
const guardPercent = 95

// DiskGuardError says that the disk is so full that nothing more is taken in.
type DiskGuardError struct{ TotalBytes, FreeBytes int64 }

func (e *DiskGuardError) Error() string {
	return fmt.Sprintf("%s of %s of the disk are free, less than %d %%; %s", legible(e.FreeBytes), legible(e.TotalBytes), 100-guardPercent, MakeRoom)
}

// MakeRoom says what makes room on a full disk.
const MakeRoom = "make room with `trestle stream rm` or `stream purge`, which free the disk at once, or let streams retain less with `stream edit`, " +
	"or free the disk of other files"

// legible is a number of bytes as people read it: 12.6 GiB.
func legible(bytes int64) string {
	unit, n := "KMGTPE", float64(bytes)
	if n < 1<<10 {
		return fmt.Sprintf("%d B", bytes)
	}
	for n /= 1 << 10; n >= 1000; n /= 1 << 10 {
		unit = unit[1:]
	}
	if n >= 100 {
		return fmt.Sprintf("%.0f %ciB", n, unit[0])
	}
	return fmt.Sprintf("%.1f %ciB", n, unit[0])
}

// Is makes it a commitlog.ErrFull.
func (e *DiskGuardError) Is(target error) bool { return target == commitlog.ErrFull }

// upkeep is what a partition does now and then, besides. Its flags are guarded by Partition.mu: each is set while a
// goroutine does what it names.
type upkeep struct {
	ctx        context.Context // ends when the partition closes
	end        context.CancelFunc
	saving     bool // a snapshot
	retaining  bool
	compacting bool
	compacted  int64 // when that was done last, unix nanoseconds; 0: never, or not to the end; guarded by Partition.mu
}

func (u *upkeep) begin() { u.ctx, u.end = context.WithCancel(context.Background()) }

// Tick does what time brings about; the owner calls it about once a second. It asks the disk guard, has gaps written that
// waited, gives dedup memory back, and has a goroutine delete and compact what the settings say. It does not wait for that.
func (p *Partition) Tick(now time.Time) {
	guarded := p.askGuard()
	p.memory.trim()
	p.mu.Lock()
	if p.usableLocked() != nil {
		p.mu.Unlock()
		return
	}
	changed := (p.guarded == nil) != (guarded == nil)
	p.guarded = guarded
	if changed {
		p.queue.room.Broadcast()
	}
	if p.gaps.Len() > 0 {
		p.startLocked()
	}
	p.queue.rest()
	p.maintainLocked(now.UnixNano())
	p.mu.Unlock()
	if changed && p.config.OnFull != nil {
		p.config.OnFull(guarded)
	}
}

// askGuard says why nothing may be taken in, if the disk is too full for that.
func (p *Partition) askGuard() error {
	if p.config.Space == nil {
		return nil
	}
	space, err := p.config.Space()
	if err != nil {
		p.problem(fmt.Errorf("asking for the space on the disk: %w", err))
		return nil
	}
	return Guard(space)
}

// Guard says why nothing is taken in on a disk with that space: a *DiskGuardError; nil: everything is.
func Guard(space vfs.Space) error {
	if space.TotalBytes > 0 && float64(space.FreeBytes) <= float64(space.TotalBytes)*(100-guardPercent)/100 {
		return &DiskGuardError{TotalBytes: space.TotalBytes, FreeBytes: space.FreeBytes}
	}
	return nil
}

// maintainLocked starts what the settings say that is not under way.
func (p *Partition) maintainLocked(now int64) {
	u, retention, compaction := &p.upkeep, p.settings.Retention, p.settings.Compaction
	if retention != (commitlog.Retention{}) && !u.retaining {
		u.retaining = true
		p.tasks.Go(func() {
			p.problem(p.retain(retention, now))
			p.mu.Lock()
			defer p.mu.Unlock()
			u.retaining = false
		})
	}
	if compaction != nil && !u.compacting && (u.compacted == 0 || now-u.compacted >= int64(compactEvery)) {
		u.compacting = true
		p.tasks.Go(func() {
			more := p.compact(compaction, now)
			p.mu.Lock()
			defer p.mu.Unlock()
			if u.compacting, u.compacted = false, now; more {
				u.compacted = 0
			}
		})
	}
}

// compact removes what newer records supersede. It says whether there is more to do than it had memory for.
func (p *Partition) compact(c *commitlog.Compaction, now int64) (more bool) {
	done, err := p.log.Compact(p.upkeep.ctx, *c, now)
	if err != nil {
		p.problem(fmt.Errorf("compacting: %w", err))
	}
	return done.More && err == nil
}

// retain deletes what is over the limits (protocol.md 1.14). When nothing is left, it ends the last segment, too: an idle
// partition does not keep on the disk what it does not serve.
func (p *Partition) retain(r commitlog.Retention, now int64) error {
	p.keepKnownOf(r, now)
	start, err := p.log.Retain(r, now)
	if err == nil && p.log.First().Offset < start && start == p.log.End().Offset {
		_, err = p.log.Purge(start, now)
	}
	if err != nil {
		return fmt.Errorf("deleting what is over the limits of retention: %w", err)
	}
	return nil
}

// problem tells of something that is tried again.
func (p *Partition) problem(err error) {
	if err == nil || p.config.OnProblem == nil || errors.Is(err, commitlog.ErrClosed) || p.upkeep.ctx.Err() != nil {
		return
	}
	p.config.OnProblem(err)
}

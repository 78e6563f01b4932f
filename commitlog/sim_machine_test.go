package commitlog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

const (
	simRoot  = "/data"
	simDir   = "/data/partitions/p/log0"
	simMarks = "/data/marks"
)

// sim is a log on a disk that fails, held against a model: the batches that were appended, as a slice.
type sim struct {
	rng     *rand.Rand
	disk    *vfs.Mem
	opts    commitlog.Options
	marks   bool
	keys    int
	largest int // bytes of a value
	files   *commitlog.Files
	marked  *commitlog.Marks
	log     *commitlog.Log
	report  commitlog.Report
	now     int64
	epoch   uint64
	buf     []byte
	readers []*simReader

	// The model.
	batches   []simBatch // without holes: seq of the first is that of base
	base      commitlog.Position
	durable   commitlog.Position
	committed commitlog.Position
	shown     commitlog.Position // the most that was committed and that a mark on the disk may still name
	start     int64
	opened    commitlog.Position // where the log began when it was opened
	promised  int64              // log start that no crash may lower
	readOnly  bool

	// What may have become of an operation that a crash interrupted.
	least    uint64 // seq at which the log ends at least
	written  uint64 // the same if the process ends and the machine does not
	most     int64  // the log start at most
	hollow   uint64 // seq that the log was truncated to last
	removing *commitlog.Compaction

	// Faults.
	countdown  int // operations on the disk up to a crash; 0: none
	after      *vfs.Mem
	killed     bool
	operations int
	failing    int            // so many SyncData fail
	syncFailed bool           // one did since the log was opened
	full       bool           // the disk has a capacity
	calm       bool           // no crash but that which the test asks for
	ending     func(*vfs.Mem) // how the next crash ends; nil: at random

	history []string
	stats   simStats
}

type simStats struct{ seeds, steps, crashes, kills, failedSyncs, full, compacted int }

func (s *simStats) add(o simStats) {
	s.steps, s.crashes, s.kills = s.steps+o.steps, s.crashes+o.crashes, s.kills+o.kills
	s.failedSyncs, s.full, s.compacted = s.failedSyncs+o.failedSyncs, s.full+o.full, s.compacted+o.compacted
}

func (s simStats) String() string {
	return fmt.Sprintf("%d steps, %d power cuts, %d kills, %d failed syncs, %d full disks, %d compactions",
		s.steps, s.crashes, s.kills, s.failedSyncs, s.full, s.compacted)
}

// violation ends a simulation: the log did what it must not.
type violation struct{ message string }

func (s *sim) fail(format string, args ...any) {
	panic(violation{fmt.Sprintf(format, args...)})
}

func (s *sim) note(format string, args ...any) {
	s.history = append(s.history, fmt.Sprintf(format, args...))
}

// caught is what a simulation ended with: a violation, a panic of the log, or nothing.
func (s *sim) caught(run func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case violation:
			err = errors.New(r.message)
		default:
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	run()
	return nil
}

// newSim makes a disk, and settings from the seed.
func newSim(seed uint64) *sim {
	rng := rand.New(rand.NewPCG(seed, 77))
	s := &sim{rng: rng, disk: vfs.NewMem(seed), now: 1_700_000_000_000_000_000, epoch: 1, buf: make([]byte, 64<<10)}
	s.opts = commitlog.Options{
		Partition: goldenPartition, LogID: uint32(rng.IntN(2)), SegmentBytes: 1<<10 + rng.Int64N(7<<10),
		SegmentAge: time.Duration(1+rng.IntN(1000)) * time.Second,
	}
	s.marks, s.keys, s.largest = rng.IntN(4) > 0, 2+rng.IntN(30), 3<<10
	if rng.IntN(3) == 0 {
		s.opts.Codec, s.opts.Compress = runLengths{}, true
	}
	if rng.IntN(4) == 0 {
		s.opts.Base = commitlog.Position{Seq: 100, Offset: 50}
	}
	return s
}

// prepare makes the folders and opens the log.
func (s *sim) prepare() {
	s.base = max2(s.opts.Base, commitlog.Origin)
	s.durable, s.start, s.promised, s.least, s.most = s.base, s.base.Offset, s.base.Offset, s.base.Seq, s.base.Offset
	if err := errors.Join(s.disk.MkdirAll(filepath.Dir(simDir)), s.disk.SyncDir("/"), s.disk.SyncDir(simRoot),
		s.disk.SyncDir(filepath.Join(simRoot, "partitions"))); err != nil {
		s.fail("%v", err)
	}
	s.watch()
	s.reopen()
}

func max2(p, q commitlog.Position) commitlog.Position {
	if p.Before(q) {
		return q
	}
	return p
}

func min2(p, q commitlog.Position) commitlog.Position {
	if p.Before(q) {
		return p
	}
	return q
}

func (s *sim) end() commitlog.Position {
	if n := len(s.batches); n > 0 {
		return commitlog.Position{Seq: s.batches[n-1].at.Seq + 1, Offset: s.batches[n-1].next}
	}
	return s.base
}

// at is the position of a seq.
func (s *sim) at(seq uint64) commitlog.Position {
	if i := seq - s.base.Seq; i < uint64(len(s.batches)) {
		return s.batches[i].at
	}
	return s.end()
}

// from is the batches from that seq on.
func (s *sim) from(seq uint64) []simBatch {
	return s.batches[min(max(seq, s.base.Seq)-s.base.Seq, uint64(len(s.batches))):]
}

// watch counts the operations on the disk and crashes it when it is time.
func (s *sim) watch() {
	disk := s.disk
	disk.OnOp(func(op vfs.Op) error {
		s.operations++
		if op.Kind == vfs.OpSyncData && s.failing > 0 {
			s.failing, s.syncFailed = s.failing-1, true
			s.stats.failedSyncs++
			s.note("    sync of %s fails", filepath.Base(op.Name))
		}
		if s.countdown == 0 {
			return nil
		}
		if s.countdown--; s.countdown == 0 {
			s.note("    crash at %v of %s", op.Kind, filepath.Base(op.Name))
			s.cut(disk)
		}
		return nil
	})
}

// unwatched lets the simulation itself use the disk, and not the log: no fault comes before what it returns is called.
func (s *sim) unwatched() (again func()) {
	countdown := s.countdown
	s.countdown = 0
	return func() { s.countdown = countdown }
}

// cut ends the machine, or the process.
func (s *sim) cut(disk *vfs.Mem) {
	if s.ending != nil {
		s.ending(disk)
		return
	}
	s.killed = s.rng.IntN(4) == 0
	if s.killed {
		s.stats.kills++
		s.after = disk.Kill()
		return
	}
	keep := []vfs.Keep{vfs.KeepRandom, vfs.KeepRandom, vfs.KeepRandom, vfs.KeepNone, vfs.KeepAll}[s.rng.IntN(5)]
	s.stats.crashes++
	s.after = disk.Crash(keep)
}

// reopen takes the log up again after a crash or a clean end, and holds what it is then against what it may be.
func (s *sim) reopen() {
	clean := s.after == nil
	lost := s.syncFailed // nothing that was written is lost with the process, unless
	for {
		if s.after != nil {
			s.disk, s.after, s.failing = s.after, nil, 0
			lost = lost || !s.killed || s.syncFailed
			s.watch()
		}
		if s.full && s.rng.IntN(2) == 0 {
			s.full = false
			s.disk.SetCapacity(0)
		}
		if !s.calm && s.rng.IntN(8) == 0 {
			s.countdown = 1 + s.rng.IntN(30)
		}
		before := s.sizes()
		s.syncFailed = false
		err := s.open()
		if !s.calm {
			s.countdown = 0
		}
		s.opts.Settled = s.opts.Settled && s.after == nil && !s.syncFailed // what took the folder up leaves no word when it crashes
		if s.after != nil {
			continue
		}
		if err == nil {
			s.opts.Settled = false
			s.checkReport(before)
			break
		}
		if s.syncFailed {
			s.note("    opening: %v", err)
			s.cut(s.disk)
			continue
		}
		if !s.full || !errors.Is(err, commitlog.ErrFull) && !isNoSpace(err) {
			s.fail("opening: %v", err)
		}
		if err := s.files.Close(); err != nil {
			s.fail("after a failed Open: %v", err)
		}
		s.full = false
		s.disk.SetCapacity(0)
	}
	if !clean && !lost {
		s.least = s.written
	}
	s.syncFailed, s.readOnly, s.readers = false, false, nil
	s.resumed(clean)
}

func (s *sim) open() (err error) {
	s.opts.Files = commitlog.NewFiles(s.disk, s.rng.IntN(4))
	s.files, s.log, s.marked, s.opts.Marks = s.opts.Files, nil, nil, nil
	if s.marks {
		if s.marked, err = commitlog.OpenMarks(s.disk, simMarks); err != nil {
			return err
		}
		s.opts.Marks = s.marked
	}
	s.log, s.report, err = commitlog.Open(simDir, s.opts)
	if err != nil && s.marked != nil {
		err = errors.Join(err, s.marked.Close())
	}
	return err
}

// resumed checks what a log holds after it was opened and makes it the model.
func (s *sim) resumed(clean bool) {
	end := s.log.End()
	s.note("  opened %v start %d, cut %d removed %d", end, s.log.Start(), len(s.report.Cut), len(s.report.Removed))
	if end.Seq < s.least {
		s.fail("the log ends at %v after a crash, seq %d was promised", end, s.least)
	}
	if clean && end.Seq < s.firm(s.end().Seq) {
		s.fail("the log ends at %v after it was closed at %v", end, s.end())
	}
	if s.end().Before(end) || end != s.at(end.Seq) {
		s.fail("the log ends at %v after a crash, at most %v was appended", end, s.end())
	}
	s.batches = s.batches[:end.Seq-s.base.Seq]
	start := s.log.Start()
	if start < min(s.promised, end.Offset) || start > min(max(s.start, s.most), end.Offset) {
		s.fail("the log starts at %d after a crash: promised %d, at most %d, end %v", start, s.promised, max(s.start, s.most), end)
	}
	if got := s.log.Durable(); got != end {
		s.fail("durable is %v after opening, end %v", got, end)
	}
	s.checkAll(s.removing)
	s.opened = s.first()
	s.resumedCommit(clean, end)
	s.durable, s.start, s.most = end, start, start
	s.promised, s.least, s.removing = min(s.promised, end.Offset), end.Seq, nil
	if n := len(s.batches); n > 0 {
		s.epoch = max(s.epoch, s.batches[n-1].epoch)
	}
	if s.rng.IntN(8) > 0 {
		s.log.Commit(s.log.Durable())
		s.committed = s.durable
	}
}

// resumedCommit checks that a log knows what was committed as far as a mark says so: all after it was closed, something of it
// after a crash, never more than is there.
func (s *sim) resumedCommit(clean bool, end commitlog.Position) {
	got, most := s.log.Committed(), min2(max2(s.committed, s.shown), end)
	switch {
	case !s.marks:
		most = commitlog.Position{}
	case clean && got != min2(s.committed, end):
		s.fail("committed is %v after the log was closed, want %v", got, min2(s.committed, end))
	}
	if most.Before(got) {
		s.fail("committed is %v after opening, at most %v was", got, most)
	}
	s.committed, s.shown = got, got
}

// sizes are those of the segment files.
func (s *sim) sizes() map[string]int64 {
	sizes := map[string]int64{}
	defer s.unwatched()()
	entries, err := s.disk.ReadDir(simDir)
	if err != nil {
		return sizes
	}
	for _, e := range entries {
		name := filepath.Join(simDir, e.Name())
		if info, err := s.disk.Stat(name); err == nil && strings.HasSuffix(name, ".seg") {
			sizes[name] = info.Size()
		}
	}
	return sizes
}

// first is the seq at which the oldest segment file begins.
func (s *sim) first() commitlog.Position {
	defer s.unwatched()()
	entries, err := s.disk.ReadDir(simDir)
	if err != nil {
		s.fail("%v", err)
	}
	for _, e := range entries {
		var p commitlog.Position
		if n, _ := fmt.Sscanf(e.Name(), "%d-%d-", &p.Seq, &p.Offset); n == 2 && strings.HasSuffix(e.Name(), ".seg") {
			return p
		}
	}
	return s.end()
}

package commitlog_test

import (
	"errors"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// simStep is something that is done to a log, as often as its weight says.
type simStep struct {
	name   string
	weight int
	run    func(*sim)
}

func simSteps() []simStep {
	return []simStep{
		{"append", 40, (*sim).append},
		{"sync", 16, (*sim).sync},
		{"commit", 14, (*sim).commit},
		{"flush marks", 6, (*sim).flushMarks},
		{"truncate", 4, (*sim).truncate},
		{"retain", 4, (*sim).retain},
		{"set start", 3, (*sim).setStart},
		{"purge", 3, (*sim).purge},
		{"compact", 6, (*sim).compact},
		{"read-only", 2, (*sim).switchReadOnly},
		{"fill the disk", 3, (*sim).fillDisk},
		{"fail a sync", 2, func(s *sim) { s.failing++; s.disk.FailNextSync("") }},
		{"crash", 3, func(s *sim) { s.cut(s.disk) }},
		{"crash soon", 5, func(s *sim) { s.countdown = 1 + s.rng.IntN(25) }},
		{"close", 3, (*sim).closeLog},
		{"read", 10, (*sim).read},
		{"read back", 4, (*sim).readBack},
		{"search", 4, (*sim).search},
		{"follow", 10, (*sim).follow},
		{"read out of range", 3, (*sim).readOutOfRange},
		{"wait", 2, (*sim).wait},
	}
}

// run makes so many random steps.
func (s *sim) run(steps int) {
	all := simSteps()
	total := 0
	for _, st := range all {
		total += st.weight
	}
	for range steps {
		n := s.rng.IntN(total)
		for _, st := range all {
			if n -= st.weight; n < 0 {
				s.step(st.name, st.run)
				break
			}
		}
	}
	s.countdown, s.full = 0, false
	s.disk.SetCapacity(0)
	s.step("close", (*sim).closeLog)
	if err := s.finish(); err != nil && !s.syncFailed {
		s.fail("closing at the end: %v", err)
	}
}

func (s *sim) step(name string, run func(*sim)) {
	s.stats.steps++
	s.now += s.rng.Int64N(int64(100 * time.Second))
	s.note("%s", name)
	s.written = s.firm(s.end().Seq)
	run(s)
	if s.after == nil {
		s.checkPositions()
		if s.rng.IntN(16) == 0 {
			s.checkAll(nil)
		}
	}
	if s.after != nil {
		s.reopen()
		s.cutBehindKill()
	}
}

// cutBehindKill may cut the power after the start that follows a kill: that start does not make durable again what a mark says is.
func (s *sim) cutBehindKill() {
	if !s.killed || s.calm || s.ending != nil || s.rng.IntN(2) == 0 {
		return
	}
	s.note("    crash behind it")
	s.written = s.firm(s.end().Seq)
	s.cut(s.disk)
	s.reopen()
}

// settle looks at how an operation ended. It is false if the operation did not succeed for a reason that the simulation
// gave it.
func (s *sim) settle(what string, err error) bool {
	switch {
	case s.after != nil:
		return false
	case err == nil:
		return true
	case errors.Is(err, commitlog.ErrFault) && s.syncFailed:
		s.mustRefuse()
		s.cut(s.disk)
		return false
	case s.syncFailed && !errors.Is(err, commitlog.ErrFault), s.full && isNoSpace(err):
		s.note("    %s: %v", what, err)
		return false
	}
	s.fail("%s: %v", what, err)
	return false
}

// mustRefuse checks that a log whose sync failed takes nothing more.
func (s *sim) mustRefuse() {
	d := draftControl(s.rng, false, s.epoch)
	if _, err := s.log.Append(s.epoch, s.now, d.bytes); errors.Is(err, commitlog.ErrClosed) {
		return
	} else if !errors.Is(err, commitlog.ErrFault) {
		s.fail("a log whose sync failed appends: %v", err)
	}
	if _, err := s.log.Sync(); s.durable != s.end() && !errors.Is(err, commitlog.ErrFault) {
		s.fail("a log whose sync failed syncs: %v", err)
	}
	if _, err := s.log.Truncate(s.committed.Seq); s.committed.Before(s.end()) && !errors.Is(err, commitlog.ErrFault) {
		s.fail("a log whose sync failed truncates: %v", err)
	}
}

func (s *sim) append() {
	var drafts []simDraft
	if s.rng.IntN(12) == 0 {
		s.epoch++
		drafts = append(drafts, draftControl(s.rng, true, s.epoch))
	}
	for range 1 + s.rng.IntN(1+s.rng.IntN(5)) {
		if s.rng.IntN(8) == 0 {
			drafts = append(drafts, draftControl(s.rng, false, s.epoch))
		} else {
			drafts = append(drafts, draftRecords(s.rng, s.keys, s.largest))
		}
	}
	raw := make([][]byte, len(drafts))
	for i := range drafts {
		raw[i] = drafts[i].bytes
	}
	end, stamped := s.end(), s.now
	if n := len(s.batches); n > 0 {
		stamped = max(stamped, s.batches[n-1].time)
	}
	appended, err := s.log.Append(s.epoch, s.now, raw...)
	if s.readOnly && s.after == nil {
		if !errors.Is(err, commitlog.ErrReadOnly) && !errors.Is(err, commitlog.ErrFault) {
			s.fail("a read-only log appends: %v", err)
		}
		return
	}
	if !s.settle("append", err) && s.after == nil {
		if !s.syncFailed && !errors.Is(err, commitlog.ErrFull) {
			s.fail("a full disk is not told as such: %v", err)
		}
		s.stats.full++
		return
	}
	s.take(drafts, end, stamped)
	if s.after != nil {
		return
	}
	if appended.First != end || appended.End != s.end() || appended.Time != stamped {
		s.fail("appended %+v, want %v to %v at %d", appended, end, s.end(), stamped)
	}
}

// take adds what was appended, or may have been, to the model.
func (s *sim) take(drafts []simDraft, at commitlog.Position, time int64) {
	for i := range drafts {
		b := drafts[i].place(at, s.epoch, time)
		if h, err := batch.Parse(drafts[i].bytes); !s.opts.Compress && err == nil && h.Seq == at.Seq {
			b.bytes = drafts[i].bytes
		}
		s.batches = append(s.batches, b)
		at = s.end()
	}
}

func (s *sim) sync() {
	end := s.end()
	got, err := s.log.Sync()
	if s.settle("sync", err) && got != end {
		s.fail("sync returned %v, the log ended at %v", got, end)
	}
}

// commit commits what is durable, or, as with sync=none, what was appended.
func (s *sim) commit() {
	upTo := s.log.Durable()
	if s.rng.IntN(4) == 0 {
		upTo = s.end()
	}
	if s.rng.IntN(2) == 0 && s.committed.Before(upTo) {
		from := max(s.committed.Seq, s.base.Seq)
		upTo = s.at(from + s.rng.Uint64N(upTo.Seq-from+1))
	}
	s.log.Commit(upTo)
	s.committed = max2(s.committed, upTo)
}

func (s *sim) flushMarks() {
	if s.marks {
		s.settle("flushing marks", s.marked.Flush())
	}
}

func (s *sim) truncate() {
	first := s.first()
	from := max(s.committed.Seq, first.Seq)
	cut := s.log.Truncate
	switch s.rng.IntN(5) {
	case 0:
		from, cut = first.Seq, s.log.TruncateUnclean
	case 1:
		if s.committed.Seq > 0 {
			if _, err := s.log.Truncate(s.committed.Seq - 1); !errors.Is(err, commitlog.ErrCommitted) {
				s.fail("truncating what is committed: %v", err)
			}
		}
	}
	s.truncateTo(from+s.rng.Uint64N(s.end().Seq-from+1), cut)
}

func (s *sim) truncateTo(seq uint64, cut func(uint64) (commitlog.Position, error)) {
	s.note("    to seq %d of %v", seq, s.end())
	s.least, s.written = min(s.least, s.visibleEnd(seq).Seq), s.visibleEnd(seq).Seq
	s.promised = min(s.promised, s.visibleEnd(seq).Offset)
	got, err := cut(seq)
	if !s.settle("truncate", err) {
		if s.after == nil { // it may have gone half the way
			s.committed, s.start = min2(s.committed, s.log.Committed()), min(s.start, s.log.Start())
		}
		return
	}
	if seq < got.Seq || got.Before(s.visibleEnd(seq)) || got != s.at(got.Seq) {
		s.fail("truncating to seq %d ended at %v, the log ended at %v", seq, got, s.end())
	}
	s.batches = s.batches[:got.Seq-s.base.Seq]
	if got.Before(s.committed) {
		s.committed = got
	}
	if s.marks {
		s.shown = s.committed
	}
	if s.log.Durable() != got && s.durable != s.log.Durable() {
		s.fail("durable is %v after a truncation to %v", s.log.Durable(), got)
	}
	s.durable = max2(commitlog.Position{}, s.log.Durable())
	s.start = min(s.start, got.Offset)
	s.readers, s.hollow = nil, got.Seq
}

// firm is how far a log is known to reach that ends at seq. Of one that was truncated to where compaction had removed
// batches, nothing says later that they were there, until something is appended.
func (s *sim) firm(seq uint64) uint64 {
	if seq == s.hollow {
		return s.visibleEnd(seq).Seq
	}
	return seq
}

// visibleEnd is the end of the last batch before seq of which something is left.
func (s *sim) visibleEnd(seq uint64) commitlog.Position {
	for seq > s.base.Seq && !s.batches[seq-1-s.base.Seq].visible() {
		seq--
	}
	return s.at(seq)
}

func (s *sim) switchReadOnly() {
	s.readOnly = !s.readOnly
	s.log.SetReadOnly(s.readOnly)
}

// fillDisk leaves a little room, or makes room again.
func (s *sim) fillDisk() {
	defer s.unwatched()()
	s.full = !s.full
	if !s.full {
		s.disk.SetCapacity(0)
		return
	}
	space, err := s.disk.Space("/")
	if err != nil {
		s.fail("%v", err)
	}
	s.disk.SetCapacity(space.TotalBytes - space.FreeBytes + int64(s.rng.IntN(5))*4096)
}

// closeLog ends the process in order and begins another. The power may go off between the two: nothing is lost by that, and
// word that the end was in order is there.
func (s *sim) closeLog() {
	if err := s.finish(); !s.settle("close", err) {
		if s.after == nil {
			s.cut(s.disk)
		}
		return
	}
	s.opts.Settled = s.rng.IntN(4) > 0
	if !s.calm && s.rng.IntN(4) == 0 {
		s.note("    crash behind it")
		s.least = max(s.least, s.firm(s.end().Seq))
		if s.marks {
			s.promised = s.start
		}
		s.cut(s.disk)
	}
	s.reopen()
}

func (s *sim) finish() error {
	err := s.log.Close()
	if s.marked != nil {
		err = errors.Join(err, s.marked.Close())
	}
	if leak := s.files.Close(); leak != nil && s.after == nil {
		s.fail("after closing: %v", leak)
	}
	return err
}

package commitlog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// TestCrashAfterEveryOperation runs a fixed workload, ends it before each of its operations on the disk in turn, with each
// kind of outcome, and takes the log up again.
func TestCrashAfterEveryOperation(t *testing.T) {
	t.Parallel()
	outcomes := []func(*vfs.Mem) *vfs.Mem{
		func(m *vfs.Mem) *vfs.Mem { return m.Crash(vfs.KeepNone) },
		func(m *vfs.Mem) *vfs.Mem { return m.Crash(vfs.KeepAll) },
		func(m *vfs.Mem) *vfs.Mem { return m.Kill() },
	}
	for range randomOutcomes {
		outcomes = append(outcomes, func(m *vfs.Mem) *vfs.Mem { return m.Crash(vfs.KeepRandom) })
	}
	for _, marks := range []bool{true, false} {
		t.Run(fmt.Sprintf("marks %v", marks), func(t *testing.T) {
			t.Parallel()
			points := 0
			for k := 1; ; k++ {
				reached := false
				for i, outcome := range outcomes {
					s := newWorkload(uint64(i), marks)
					err := s.caught(func() {
						s.prepare()
						s.crashAt(k, i == 2, outcome)
						s.workload()
					})
					if err != nil {
						t.Fatalf("crash before operation %d, outcome %d: %v\n%s", k, i, err, strings.Join(s.history, "\n"))
					}
					reached = reached || s.stats.crashes > 0
				}
				if !reached {
					break
				}
				points++
			}
			t.Logf("%d crash points, each with %d outcomes", points, len(outcomes))
			if points < 100 {
				t.Errorf("the workload has %d operations, want more", points)
			}
		})
	}
}

func newWorkload(seed uint64, marks bool) *sim {
	s := newSim(seed)
	s.opts = commitlog.Options{Partition: goldenPartition, SegmentBytes: 2 << 10, SegmentAge: time.Hour}
	s.marks, s.keys, s.largest, s.calm = marks, 4, 400, true
	return s
}

// crashAt ends the machine, or the process, before the operation k from now.
func (s *sim) crashAt(k int, killed bool, outcome func(*vfs.Mem) *vfs.Mem) {
	s.countdown = k
	s.ending = func(disk *vfs.Mem) {
		s.stats.crashes++
		s.killed, s.ending = killed, nil
		s.after = outcome(disk)
	}
}

// workload does one of each. After the crash it ends.
func (s *sim) workload() {
	rounds := func(n int) []func(*sim) {
		var all []func(*sim)
		for range n {
			all = append(all, (*sim).append, (*sim).append, (*sim).sync, (*sim).commitDurable)
		}
		return all
	}
	steps := rounds(6)
	steps = append(steps, (*sim).flushMarks, (*sim).append, (*sim).truncateAppended, (*sim).append, (*sim).sync)
	steps = append(steps, rounds(2)...)
	steps = append(steps, (*sim).compactAll, (*sim).append, (*sim).flushMarks, (*sim).retainMost, (*sim).append)
	steps = append(steps, rounds(2)...)
	steps = append(steps, (*sim).compactAll, (*sim).purgeAll, (*sim).append, (*sim).sync, (*sim).append, (*sim).closeLog, (*sim).append)
	for i, run := range steps {
		before := s.stats.crashes
		s.step(fmt.Sprintf("step %d", i), run)
		if s.stats.crashes > before {
			s.step("append again", (*sim).append)
			s.step("sync again", (*sim).sync)
			s.cut(s.disk)
			s.reopen()
			break
		}
	}
	s.countdown = 0
	if err := s.finish(); err != nil {
		s.fail("closing: %v", err)
	}
}

func (s *sim) commitDurable() {
	s.log.Commit(s.log.Durable())
	s.committed = max2(s.committed, s.log.Durable())
}

func (s *sim) truncateAppended() { s.truncateTo(s.durable.Seq, s.log.Truncate) }

func (s *sim) retainMost() {
	want := s.clamp(s.committed.Offset - 12)
	s.most = max(s.most, want)
	got, err := s.log.Retain(commitlog.Retention{Messages: 12}, s.now)
	s.started("retain", want, got, err)
}

func (s *sim) purgeAll() {
	s.commitDurable()
	s.purgeTo(s.end().Offset)
}

func (s *sim) compactAll() { s.compactWith(commitlog.Compaction{MemoryBytes: 1 << 10}) }

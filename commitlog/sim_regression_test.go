package commitlog_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// TestFaultsThatWere repeats, step by step, what once went wrong. After each step the log is held against the model.
func TestFaultsThatWere(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*sim){
		"truncating keeps in mind that the name of a new file is not durable": truncateNewSegment,
		"an unclean truncation takes the commit position along":               truncateCommitted,
		"a truncation that failed leaves the mark where it was":               truncateInVain,
		"truncating to the oldest segment keeps the chain":                    truncateToOldest,
		"an empty log remembers where it goes on":                             crashEmptied,
		"the last segment does not go before the next one has its name":       crashWhilePurging,
		"a rewritten segment has its name before the old one goes":            crashAfterRename,
		"a log start above what a crash left hides nothing that comes later":  startAboveEnd,
		"a commit position above what a crash left commits nothing":           commitAboveEnd,
		"what was refused does not come back":                                 refuseThenCrash,
		"what a failed sync left in the page cache is not believed":           believeDisk,
		"a sync of nothing does not say that a new header is durable":         syncNothing,
		"entries of a truncated index are not followed":                       staleIndex,
		"a buffer smaller than a header is not damage":                        readWithSmallBuffers,
	}
	for name, run := range cases {
		for _, marks := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", with marks"}[marks], func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(8) {
					s := newWorkload(seed, marks)
					if err := s.caught(func() { s.prepare(); run(s); s.closeLog() }); err != nil {
						t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(s.history, "\n"))
					}
				}
			})
		}
	}
}

// do makes steps.
func (s *sim) do(steps ...func(*sim)) {
	for _, run := range steps {
		s.step("step", run)
	}
}

// crash ends the machine and takes the log up again.
func (s *sim) crash(keep vfs.Keep) {
	s.do(func(s *sim) {
		s.ending = func(disk *vfs.Mem) { s.killed, s.ending, s.after = false, nil, disk.Crash(keep) }
		s.cut(s.disk)
	})
}

func truncateNewSegment(s *sim) {
	s.do((*sim).append, (*sim).append)
	s.do(func(s *sim) { s.truncateTo(s.end().Seq-1, s.log.Truncate) })
	s.crash(vfs.KeepNone)
}

func truncateCommitted(s *sim) {
	s.do((*sim).append, (*sim).append, (*sim).commitAll)
	s.do(func(s *sim) { s.truncateTo(s.base.Seq+1, s.log.TruncateUnclean) })
}

func (s *sim) commitAll() {
	s.log.Commit(s.end())
	s.committed = s.end()
}

func truncateInVain(s *sim) {
	if !s.marks {
		return
	}
	s.do((*sim).append, (*sim).append, (*sim).sync, (*sim).flushMarks)
	s.do(func(s *sim) {
		s.disk.FailNextSync(simMarks)
		s.disk.FailNextSync(simMarks + ".tmp") // the file may go by the name that it was opened with
		if _, err := s.log.Truncate(s.base.Seq + 1); err == nil {
			s.fail("a truncation succeeds although the marks are not durable")
		}
	})
	s.do((*sim).append, func(s *sim) {
		s.failing++
		s.disk.FailNextSync("")
		s.ending = func(disk *vfs.Mem) { s.killed, s.ending, s.after = true, nil, disk.Kill() }
		s.sync()
	})
}

func truncateToOldest(s *sim) {
	for len(s.bases()) < 2 {
		s.do((*sim).append)
	}
	s.do((*sim).sync)
	base := s.bases()[1]
	s.do(func(s *sim) { s.truncateTo(base, s.log.Truncate) }, (*sim).commitDurable, (*sim).flushMarks)
	s.do(func(s *sim) {
		want := s.end().Offset
		got, err := s.log.SetStart(want)
		s.started("set start", want, got, err)
	})
	s.do((*sim).append, func(s *sim) { s.truncateTo(base, s.log.Truncate) }, (*sim).append, (*sim).sync)
	s.crash(vfs.KeepNone)
}

func crashEmptied(s *sim) {
	s.do((*sim).append, (*sim).sync, (*sim).purgeAll)
	for range 3 {
		s.crash(vfs.KeepNone)
	}
	s.do((*sim).append, (*sim).sync)
	s.crash(vfs.KeepNone)
}

func crashWhilePurging(s *sim) {
	for k := 1; k < 25; k++ {
		s.do((*sim).purgeAll, (*sim).append, (*sim).sync, func(s *sim) {
			s.crashAt(k, false, func(m *vfs.Mem) *vfs.Mem { return m.Crash(vfs.KeepRandom) })
			s.purgeAll()
			s.countdown = 0
		})
	}
}

// crashAfterRename kills the process when compaction has renamed a file, and cuts the power while the log is opened again.
func crashAfterRename(s *sim) {
	for k := 1; k < 25; k++ {
		for range 8 {
			s.do((*sim).append, (*sim).sync, (*sim).commitDurable)
		}
		s.do(func(s *sim) {
			s.disk.OnOp(func(op vfs.Op) error {
				if op.Kind == vfs.OpRename && strings.HasSuffix(op.NewName, ".seg") {
					s.countdown = 1
				}
				return nil
			})
			s.ending = func(disk *vfs.Mem) {
				s.killed, s.after, s.countdown = true, disk.Kill(), k
				s.ending = func(disk *vfs.Mem) { s.killed, s.ending, s.after = false, nil, disk.Crash(vfs.KeepRandom) }
			}
			s.compactAll()
			s.ending = nil
		})
		s.countdown = 0
	}
}

func startAboveEnd(s *sim) {
	s.do((*sim).append, (*sim).sync, (*sim).append, (*sim).commitAll)
	s.do(func(s *sim) {
		want := s.end().Offset
		s.most = want
		got, err := s.log.SetStart(want)
		s.started("set start", want, got, err)
	}, (*sim).flushMarks)
	s.crash(vfs.KeepNone)
	s.do((*sim).append, (*sim).append, (*sim).sync)
	s.crash(vfs.KeepNone)
}

// commitAboveEnd appends in the place of batches that were committed, as with one replica and sync=none, and lost.
func commitAboveEnd(s *sim) {
	s.do((*sim).append, (*sim).sync, (*sim).append, (*sim).append, (*sim).commitAll)
	s.do(func(s *sim) { // and the mark says so
		want := s.durable.Offset
		s.most = want
		got, err := s.log.SetStart(want)
		s.started("set start", want, got, err)
	}, (*sim).flushMarks)
	s.crash(vfs.KeepNone)
	s.do((*sim).append, (*sim).append, (*sim).append, (*sim).sync)
	s.crash(vfs.KeepNone)
}

func refuseThenCrash(s *sim) {
	s.do((*sim).append, (*sim).sync)
	s.do(func(s *sim) {
		space, err := s.disk.Space("/")
		if err != nil {
			s.fail("%v", err)
		}
		s.disk.SetCapacity(space.TotalBytes - space.FreeBytes + 4096)
		var run [][]byte
		for range 8 {
			var b batch.Builder
			b.Reset(nil)
			b.Append(&batch.Record{Value: make([]byte, 1500)})
			run = append(run, bytes.Clone(b.Finish(0)))
		}
		if _, err := s.log.Append(s.epoch, s.now, run...); !errors.Is(err, commitlog.ErrFull) {
			s.fail("a full disk takes more: %v", err)
		}
		s.disk.SetCapacity(0)
	})
	s.crash(vfs.KeepRandom)
}

func believeDisk(s *sim) {
	s.do((*sim).append, (*sim).sync, (*sim).append, func(s *sim) {
		s.failing++
		s.disk.FailNextSync("")
		s.ending = func(disk *vfs.Mem) { s.killed, s.ending, s.after = true, nil, disk.Kill() }
		s.sync()
	})
	s.crash(vfs.KeepNone)
}

func syncNothing(s *sim) {
	s.do((*sim).append, (*sim).sync, (*sim).purgeAll, (*sim).sync, (*sim).flushMarks)
	s.crash(vfs.KeepRandom)
	s.do((*sim).append)
	s.crash(vfs.KeepRandom)
}

func staleIndex(s *sim) {
	s.opts.SegmentBytes = 256 << 10
	s.do((*sim).closeLog)
	grow := func(batches, value int) {
		for range batches {
			s.largest = value
			s.do((*sim).appendLarge)
		}
		s.do((*sim).sync)
	}
	grow(30, 4000)
	s.crash(vfs.KeepAll)
	s.crash(vfs.KeepAll) // makes durable the index that the start before wrote
	s.do(func(s *sim) { s.truncateTo(s.base.Seq+4, s.log.TruncateUnclean) })
	for len(s.bases()) < 2 {
		grow(1, 3100)
	}
	s.crash(vfs.KeepNone)
	for range 40 {
		s.do((*sim).read)
	}
}

// appendLarge appends a batch with a value of the largest size.
func (s *sim) appendLarge() {
	var b batch.Builder
	b.Reset(nil)
	r := batch.Record{Value: bytes.Repeat([]byte{byte(s.rng.Uint32())}, s.largest)}
	b.Append(&r)
	d := simDraft{bytes: bytes.Clone(b.Finish(0)), records: []batch.Record{r}}
	end := s.end()
	appended, err := s.log.Append(s.epoch, s.now, d.bytes)
	if err != nil {
		s.fail("append: %v", err)
	}
	s.take([]simDraft{d}, end, appended.Time)
}

func readWithSmallBuffers(s *sim) {
	s.do((*sim).append, (*sim).append, (*sim).sync)
	for size := 1; size < 200; size += 7 {
		s.expect("all", s.drain(s.log.ReadFromPosition(s.base), s.end(), size), s.batches)
	}
}

package commitlog_test

import (
	"time"

	"github.com/trestlehq/trestle/commitlog"
)

// started takes note of a log start that was moved to want.
func (s *sim) started(what string, want, got int64, err error) bool {
	s.most = max(s.most, want)
	if !s.settle(what, err) {
		if s.after == nil {
			s.start = s.log.Start()
		}
		return false
	}
	if got != want || s.log.Start() != want {
		s.fail("%s: the log starts at %d (%d), want %d", what, got, s.log.Start(), want)
	}
	s.start = want
	if first := s.first(); first != s.opened { // files do not come back
		s.promised = max(s.promised, first.Offset)
	}
	return true
}

// clamp is where the log starts when that is asked for.
func (s *sim) clamp(offset int64) int64 { return max(s.start, min(offset, s.committed.Offset)) }

func (s *sim) setStart() {
	offset := s.start + s.rng.Int64N(s.end().Offset-s.start+2)
	want := s.clamp(offset)
	s.most = max(s.most, want)
	got, err := s.log.SetStart(offset)
	s.started("set start", want, got, err)
}

func (s *sim) purge() {
	offset := s.start + s.rng.Int64N(s.end().Offset-s.start+1)
	if s.rng.IntN(3) == 0 {
		offset = s.end().Offset
		s.log.Commit(s.end())
		s.committed = s.end()
	}
	s.purgeTo(offset)
}

func (s *sim) purgeTo(offset int64) {
	want := s.clamp(offset)
	s.most = max(s.most, want)
	s.note("    offset %d", offset)
	got, err := s.log.Purge(offset, s.now)
	if s.started("purge", want, got, err) && s.marks {
		s.promised = want
	}
}

func (s *sim) retain() {
	var r commitlog.Retention
	s.checkAll(nil) // gives the sizes
	want := s.start
	batches := s.from(s.first().Seq)
	switch s.rng.IntN(3) {
	case 0:
		r.Messages = 1 + s.rng.Int64N(60)
		want = max(want, s.committed.Offset-r.Messages)
	case 1:
		r.Age = time.Duration(1+s.rng.IntN(3000)) * time.Second
		want = max(want, s.firstSince(batches, s.now-int64(r.Age)).Offset)
	default:
		r.Bytes = 1 + s.rng.Int64N(20_000)
		want = max(want, s.offsetOfLast(s.span(s.first().Seq, s.committed.Seq), r.Bytes))
	}
	want = s.clamp(want)
	s.most = max(s.most, want)
	s.note("    %+v", r)
	got, err := s.log.Retain(r, s.now)
	if got < want && got >= s.start && s.compactedAway(got, want) {
		want = got
	}
	s.started("retain", want, got, err)
}

// compactedAway says whether no record is left between two offsets.
func (s *sim) compactedAway(from, to int64) bool {
	for i := range s.batches {
		for _, r := range s.batches[i].records {
			if !r.gone && r.offset >= from && r.offset < to {
				return false
			}
		}
	}
	return true
}

// offsetOfLast is the offset from which on at most n bytes of the batches are stored; 0 if there are no more.
func (s *sim) offsetOfLast(batches []simBatch, n int64) int64 {
	offset := s.committed.Offset
	for i := len(batches) - 1; i >= 0; i-- {
		b := &batches[i]
		if !b.visible() {
			continue
		}
		if n -= b.size; n < 0 {
			return offset
		}
		offset = b.at.Offset
	}
	return 0
}

// firstSince is the place of the first batch that was appended at that time or later.
func (s *sim) firstSince(batches []simBatch, time int64) commitlog.Position {
	for i := range batches {
		if batches[i].visible() && batches[i].time >= time {
			return batches[i].at
		}
	}
	return s.end()
}

func (s *sim) compact() {
	c := commitlog.Compaction{MemoryBytes: 1 + int64(s.rng.IntN(3000))}
	if s.rng.IntN(2) == 0 {
		c.MinLag = time.Duration(s.rng.IntN(600)) * time.Second
		c.TombstoneDelay = time.Duration(s.rng.IntN(600)) * time.Second
		c.MinDirtyRatio = s.rng.Float64()
	}
	s.compactWith(c)
}

func (s *sim) compactWith(c commitlog.Compaction) {
	s.note("    %+v", c)
	s.removing = &c
	for range 200 {
		done, err := s.log.Compact(simContext(), c, s.now)
		s.stats.compacted += done.Segments
		ok := s.settle("compact", err)
		if s.after != nil {
			return
		}
		s.checkAll(&c)
		if !ok || !done.More {
			s.removing = nil
			if ok && c.MinDirtyRatio == 0 && c.MinLag == 0 && s.rng.IntN(2) == 0 {
				s.checkCompacted()
			}
			return
		}
	}
	s.fail("compaction has more to do after 200 calls")
}

// checkCompacted checks that no key is left twice in what could be compacted.
func (s *sim) checkCompacted() {
	bases := s.bases()
	until := uint64(0)
	for _, base := range bases[min(1, len(bases)):] {
		if base <= s.committed.Seq && base < s.durable.Seq {
			until = base
		}
	}
	newest := map[string]int64{}
	for _, b := range s.from(s.first().Seq) {
		if b.at.Seq >= until {
			break
		}
		for _, r := range b.records {
			if r.gone || r.Key == nil {
				continue
			}
			if before, twice := newest[string(r.Key)]; twice {
				s.fail("%s is at offsets %d and %d after compaction up to seq %d", r.Key, before, r.offset, until)
			}
			newest[string(r.Key)] = r.offset
		}
	}
}

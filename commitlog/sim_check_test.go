package commitlog_test

import (
	"errors"
	"slices"
	"syscall"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

func isNoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// checkReport holds what Open says that it did against the files.
func (s *sim) checkReport(before map[string]int64) {
	if len(s.report.Damaged) > 0 || s.report.Lost != nil || len(s.report.Unknown) > 0 {
		s.fail("nothing was damaged, the log reports %v, lost %v, unknown %v", s.report.Damaged, s.report.Lost, s.report.Unknown)
	}
	after := s.sizes()
	for name, size := range before {
		now, there := after[name]
		if !there && !slices.Contains(s.report.Removed, name) {
			s.fail("%s is gone and not reported", name)
		}
		cut := slices.ContainsFunc(s.report.Cut, func(c commitlog.Cut) bool {
			return c.File == name && c.Position == now && c.Bytes == size-now && c.Reason != nil
		})
		if there && now < size && !cut {
			s.fail("%s was cut from %d to %d bytes and not reported: %v", name, size, now, s.report.Cut)
		}
	}
}

// checkPositions is made after every step.
func (s *sim) checkPositions() {
	defer s.unwatched()()
	if got := s.log.End(); got != s.end() {
		s.fail("end is %v, want %v", got, s.end())
	}
	durable := s.log.Durable()
	if durable.Before(s.durable) || s.end().Before(durable) || durable != s.at(durable.Seq) {
		s.fail("durable is %v, was %v, end %v", durable, s.durable, s.end())
	}
	s.durable, s.least = durable, s.firm(durable.Seq)
	s.shown = max2(s.shown, s.committed)
	if got := s.log.Committed(); got != s.committed {
		s.fail("committed is %v, want %v", got, s.committed)
	}
	if got := s.log.Start(); got != s.start {
		s.fail("start is %d, want %d", got, s.start)
	}
	s.most = s.start
}

// batch is one that was read.
type readBatch struct {
	header batch.Header
	bytes  []byte
}

// drain reads all that a reader gives up to until.
func (s *sim) drain(r *commitlog.Reader, until commitlog.Position, size int) []readBatch {
	var all []readBatch
	for {
		run, err := r.Read(s.buf[:size], until)
		var large *commitlog.TooLargeError
		if errors.As(err, &large) && size < len(s.buf) {
			size = min(len(s.buf), large.SizeBytes)
			continue
		}
		if err != nil {
			s.fail("reading up to %v: %v", until, err)
		}
		if len(run.Bytes) == 0 {
			return all
		}
		all = append(all, s.split(run)...)
	}
}

// split takes a run apart and checks what it says of itself.
func (s *sim) split(run commitlog.Run) []readBatch {
	b := slices.Clone(run.Bytes)
	var all []readBatch
	records := 0
	for len(b) > 0 {
		h, err := batch.Parse(b)
		if err != nil {
			s.fail("a batch was served that is not sound: %v", err)
		}
		all = append(all, readBatch{h, b[:h.Size]})
		records += int(h.RecordCount)
		b = b[h.Size:]
	}
	first, last := &all[0].header, &all[len(all)-1].header
	if run.First.Seq != first.Seq || run.First.Offset != first.BaseOffset || run.End.Seq != last.Seq+1 ||
		run.End.Offset != last.NextOffset() || run.Records != records {
		s.fail("a run says %v to %v, %d records, and holds seq %d to %d, %d records", run.First, run.End, run.Records,
			first.Seq, last.Seq, records)
	}
	return all
}

// expect holds batches that were read against those of the model, which all must be there; those before from are skipped.
func (s *sim) expect(what string, got []readBatch, want []simBatch) {
	i := 0
	for n := range want {
		b := &want[n]
		if !b.visible() {
			continue
		}
		if i == len(got) {
			s.fail("%s: %d batches, the one at %v is missing", what, len(got), b.at)
		}
		seen := map[int64]bool{}
		if err := b.compare(&got[i].header, got[i].bytes, s.opts.Codec, seen); err != nil {
			s.fail("%s: %v", what, err)
		}
		for r := range b.records {
			if rec := &b.records[r]; !rec.gone && !seen[rec.offset] {
				s.fail("%s: the record at offset %d is missing", what, rec.offset)
			}
		}
		b.size = int64(len(got[i].bytes))
		i++
	}
	if i < len(got) {
		s.fail("%s: seq %d is one too many", what, got[i].header.Seq)
	}
}

// checkAll reads the whole log. If it was compacted, records may be missing: those that may.
func (s *sim) checkAll(removing *commitlog.Compaction) {
	defer s.unwatched()()
	first := s.first()
	want := s.from(first.Seq)
	got := s.drain(s.log.ReadFromPosition(first), s.end(), len(s.buf))
	if removing != nil {
		s.takeRemoved(*removing, got, want)
	}
	s.expect("all", got, want)
}

// takeRemoved marks records that compaction removed and fails where it must not have.
func (s *sim) takeRemoved(c commitlog.Compaction, got []readBatch, want []simBatch) {
	seen := map[int64]bool{}
	for i, j := 0, 0; i < len(got) && j < len(want); j++ {
		b := &want[j]
		if got[i].header.Seq != b.at.Seq {
			continue
		}
		if err := b.compare(&got[i].header, got[i].bytes, s.opts.Codec, seen); err != nil {
			s.fail("compacted: %v", err)
		}
		i++
	}
	newest, survivor := map[string]int64{}, map[string]bool{}
	for i := range s.batches {
		if !s.batches[i].at.Before(s.committed) {
			break
		}
		for _, r := range s.batches[i].records {
			newest[string(r.Key)] = r.offset
		}
	}
	drop := s.now - int64(c.MinLag) - int64(c.TombstoneDelay)
	for i := range want {
		b := &want[i]
		for j := range b.records {
			r := &b.records[j]
			if r.gone || seen[r.offset] {
				survivor[string(r.Key)] = survivor[string(r.Key)] || !r.gone
				continue
			}
			key := string(r.Key)
			switch {
			case r.Key == nil:
				s.fail("compaction removed offset %d, which has no key", r.offset)
			case newest[key] > r.offset:
			case !r.Tombstone:
				s.fail("compaction removed offset %d, the newest of %s", r.offset, key)
			case b.time > drop:
				s.fail("compaction removed the tombstone at offset %d too early", r.offset)
			}
			if r.Tombstone && survivor[key] {
				s.fail("compaction removed the tombstone at offset %d, an older record of %s is back", r.offset, key)
			}
			r.gone = true
		}
	}
}

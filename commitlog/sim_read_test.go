package commitlog_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trestlehq/trestle/commitlog"
)

func simContext() context.Context { return context.Background() }

// bases are the seqs at which the segment files begin, in order.
func (s *sim) bases() []uint64 {
	var bases []uint64
	for name := range s.sizes() {
		var seq uint64
		if n, _ := fmt.Sscanf(filepath.Base(name), "%d-", &seq); n == 1 && strings.HasSuffix(name, ".seg") {
			bases = append(bases, seq)
		}
	}
	slices.Sort(bases)
	return slices.Compact(bases)
}

// read reads from a random place, by offset or by seq, with a buffer of random size.
func (s *sim) read() {
	defer s.unwatched()()
	until := s.end()
	if s.rng.IntN(2) == 0 {
		until = max2(s.committed, s.first())
	}
	size := 1 + s.rng.IntN(1<<s.rng.IntN(16))
	first := s.first()
	if s.rng.IntN(2) == 0 {
		from := first.Seq + s.rng.Uint64N(s.end().Seq-first.Seq+1)
		got := s.drain(s.log.ReadFromPosition(s.at(from)), until, size)
		s.expect("from a position", got, s.span(from, until.Seq))
		return
	}
	offset := s.start + s.rng.Int64N(s.end().Offset-s.start+1)
	got := s.drain(s.log.ReadFrom(offset), until, size)
	want := s.span(first.Seq, until.Seq)
	want = want[min(len(want), s.skipped(want, offset)):]
	s.expect(fmt.Sprintf("from offset %d", offset), got, want)
}

// skipped is how many batches come before what a reader from the offset gets.
func (s *sim) skipped(batches []simBatch, offset int64) int {
	for i := range batches {
		if b := &batches[i]; b.next > offset || b.control && b.next == offset {
			return i
		}
	}
	return len(batches)
}

// span is the batches from one seq to another, exclusive.
func (s *sim) span(from, to uint64) []simBatch {
	batches := s.from(from)
	return batches[:min(uint64(len(batches)), max(to, from)-max(from, s.base.Seq))]
}

// readBack reads from a random place to the start.
func (s *sim) readBack() {
	defer s.unwatched()()
	first := s.first()
	seq := first.Seq + s.rng.Uint64N(s.end().Seq-first.Seq+1)
	r := s.log.ReadBackFrom(s.at(seq))
	size := 1 + s.rng.IntN(1<<s.rng.IntN(16))
	var all []readBatch
	for {
		run, err := r.Read(s.buf[:size])
		var large *commitlog.TooLargeError
		if errors.As(err, &large) && size < len(s.buf) {
			size = min(len(s.buf), large.SizeBytes)
			continue
		}
		if err != nil {
			s.fail("reading back: %v", err)
		}
		if len(run.Bytes) == 0 {
			break
		}
		all = append(s.split(run), all...)
	}
	s.expect("reading back", all, s.span(first.Seq, seq))
}

func (s *sim) search() {
	defer s.unwatched()()
	batches := s.from(s.first().Seq)
	time := s.now - s.rng.Int64N(5_000_000_000_000)
	if len(batches) > 0 && s.rng.IntN(2) == 0 {
		time = batches[s.rng.IntN(len(batches))].time + s.rng.Int64N(2)
	}
	got, err := s.log.OffsetAt(time)
	if want := s.firstSince(batches, time).Offset; err != nil || got != want {
		s.fail("the offset at %d is %d, want %d: %v", time, got, want, err)
	}
	epoch := s.rng.Uint64N(s.epoch + 1)
	want := s.end()
	for i := range batches {
		if batches[i].visible() && batches[i].epoch > epoch {
			want = batches[i].at
			break
		}
	}
	if end, err := s.log.EpochEnd(epoch); err != nil || end != want {
		s.fail("epoch %d ends at %v, want %v: %v", epoch, end, want, err)
	}
}

// simReader is a reader that is read from now and then.
type simReader struct {
	*commitlog.Reader
	next uint64
}

// follow begins a reader, or reads on with one. It gets the next batch, or is told that the log has moved on.
func (s *sim) follow() {
	defer s.unwatched()()
	if len(s.readers) < 3 {
		first := s.first()
		seq := first.Seq + s.rng.Uint64N(s.end().Seq-first.Seq+1)
		s.readers = append(s.readers, &simReader{s.log.ReadFromPosition(s.at(seq)), seq})
		return
	}
	i := s.rng.IntN(len(s.readers))
	r := s.readers[i]
	until := s.at(max(r.next, s.first().Seq) + s.rng.Uint64N(9))
	for size := 1 + s.rng.IntN(4096); ; {
		run, err := r.Read(s.buf[:size], until)
		var large *commitlog.TooLargeError
		var gone *commitlog.RangeError
		switch {
		case errors.As(err, &large):
			size = large.SizeBytes
			continue
		case errors.As(err, &gone) && r.next < s.first().Seq:
			s.readers = slices.Delete(s.readers, i, i+1)
			return
		case err != nil:
			s.fail("reading on at seq %d: %v", r.next, err)
		case len(run.Bytes) == 0:
			s.expect("reading on", nil, s.span(r.next, until.Seq))
			return
		}
		s.expect("reading on", s.split(run), s.span(r.next, run.End.Seq))
		r.next = run.End.Seq
		return
	}
}

func (s *sim) readOutOfRange() {
	defer s.unwatched()()
	var gone *commitlog.RangeError
	for _, offset := range []int64{s.start - 1 - s.rng.Int64N(max(1, s.start)), s.end().Offset + 1 + s.rng.Int64N(9)} {
		if _, err := s.log.ReadFrom(offset).Read(s.buf, s.end()); !errors.As(err, &gone) {
			s.fail("offset %d of [%d, %d) is read: %v", offset, s.start, s.end().Offset, err)
		}
	}
	if first := s.first(); first.Seq > 1 {
		if _, err := s.log.ReadFromPosition(commitlog.Position{Seq: first.Seq - 1}).Read(s.buf, s.end()); !errors.As(err, &gone) {
			s.fail("seq %d is read, the log begins at %v: %v", first.Seq-1, first, err)
		}
	}
}

func (s *sim) wait() {
	ctx, cancel := context.WithCancel(simContext())
	cancel()
	if p, err := s.log.WaitCommitted(ctx, s.committed); !errors.Is(err, context.Canceled) && !errors.Is(err, commitlog.ErrFault) {
		s.fail("waiting for more than %v: %v, %v", s.committed, p, err)
	}
	if s.committed.Seq == 0 {
		return
	}
	if p, err := s.log.WaitCommitted(ctx, commitlog.Position{Seq: s.committed.Seq - 1}); err != nil || p != s.committed {
		s.fail("waiting for %v: %v, %v", s.committed, p, err)
	}
}

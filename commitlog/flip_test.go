package commitlog_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// rotted is a log at rest of which any byte may be flipped and any file cut short: what lies on the disk, and what the
// log held.
type rotted struct {
	*sim
	names  []string // of all files
	sizes  map[string]int64
	end    commitlog.Position
	last   string // the last segment
	marked uint64 // seq up to which the marks say that the log is durable
	most   int    // batches that the damage can hit
}

// newRotted makes a log of three segments. If asked for, it is compacted, or has a tail that is synced and not marked.
func newRotted(t *testing.T, marks, compacted, tail bool) *rotted {
	t.Helper()
	s := newSim(5)
	s.opts = commitlog.Options{Partition: goldenPartition, SegmentBytes: 900, SegmentAge: time.Hour}
	s.marks, s.keys, s.largest, s.calm, s.base = marks, 3, 40, true, commitlog.Origin
	r := &rotted{sim: s, sizes: map[string]int64{}}
	if err := s.caught(func() { s.prepare(); r.fill(compacted, tail) }); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{simDir, simRoot} {
		entries, err := s.disk.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			info, err := s.disk.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if e.IsDir() {
				continue
			}
			r.names = append(r.names, name)
			r.sizes[name] = info.Size()
			if strings.HasSuffix(name, ".seg") {
				r.last = name
			}
		}
	}
	return r
}

func (r *rotted) fill(compacted, tail bool) {
	for len(r.bases()) < 3 {
		r.step("append", (*sim).append)
	}
	r.step("sync", (*sim).sync)
	r.step("commit", (*sim).commitDurable)
	if compacted {
		r.step("compact", (*sim).compactAll)
	}
	r.step("append", (*sim).append)
	r.step("sync", (*sim).sync)
	r.step("flush", (*sim).flushMarks)
	if r.marks {
		r.marked = r.sim.end().Seq
	}
	if tail {
		r.step("append", (*sim).append)
		r.step("sync", (*sim).sync)
	}
	r.end = r.sim.end()
	disk := r.disk.CrashClone(vfs.KeepAll)
	if err := r.finish(); err != nil {
		r.fail("%v", err)
	}
	r.disk = disk
}

// TestFlippedBytes flips every byte of every file, in several ways, and reads everything.
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	rotTests(t, 1, func(t *testing.T, r *rotted, tally map[string]int) {
		t.Helper()
		for _, name := range r.names {
			for at := range r.sizes[name] {
				for _, flip := range []byte{0x01, contentFlip, 0x10, 0xff}[:flipsOfAByte] {
					what := fmt.Sprintf("%s byte %d xor %02x", filepath.Base(name), at, flip)
					r.try(t, what, name, tally, func(disk *vfs.Mem) { flipByte(t, disk, name, at, flip) })
				}
			}
		}
	})
}

// contentFlip makes a byte zero.
const contentFlip = 0

// TestCutFiles cuts every file at every length and reads everything.
func TestCutFiles(t *testing.T) {
	t.Parallel()
	rotTests(t, math.MaxInt, func(t *testing.T, r *rotted, tally map[string]int) {
		t.Helper()
		for _, name := range r.names {
			for size := range r.sizes[name] {
				what := fmt.Sprintf("%s cut at %d of %d", filepath.Base(name), size, r.sizes[name])
				r.try(t, what, name, tally, func(disk *vfs.Mem) { cutFile(t, disk, name, size) })
			}
		}
	})
}

func rotTests(t *testing.T, most int, test func(t *testing.T, r *rotted, tally map[string]int)) {
	t.Helper()
	cases := map[string]struct{ marks, compacted, tail bool }{
		"marked":                  {marks: true},
		"marked, with a tail":     {marks: true, tail: true},
		"marked and compacted":    {marks: true, compacted: true},
		"without marks":           {},
		"compacted without marks": {compacted: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tally := map[string]int{}
			r := newRotted(t, c.marks, c.compacted, c.tail)
			r.most = most
			test(t, r, tally)
			t.Logf("outcomes: %v", tally)
		})
	}
}

func flipByte(t *testing.T, disk *vfs.Mem, name string, at int64, flip byte) {
	t.Helper()
	if flip == contentFlip {
		if err := disk.ZeroRange(name, at, 1); err != nil {
			t.Fatal(err)
		}
		return
	}
	for bit := range 8 {
		if flip&(1<<bit) == 0 {
			continue
		}
		if err := disk.FlipBit(name, at, bit); err != nil {
			t.Fatal(err)
		}
	}
}

func cutFile(t *testing.T, disk *vfs.Mem, name string, size int64) {
	t.Helper()
	f, err := disk.OpenReadWrite(name)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.SyncData(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// try damages a copy of the disk and holds what the log does against what it may do.
func (r *rotted) try(t *testing.T, what, name string, tally map[string]int, damage func(*vfs.Mem)) {
	t.Helper()
	s := *r.sim
	s.disk, s.history = r.disk.CrashClone(vfs.KeepAll), nil
	damage(s.disk)
	copied := *r
	copied.sim = &s
	err := s.caught(func() { tally[copied.outcome(name)]++ })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// outcome opens the damaged log, reads all of it, and says what came of it.
func (r *rotted) outcome(damaged string) string {
	if err := r.open(); err != nil {
		r.fail("opening: %v", err)
	}
	got, reports := r.readPast()
	missing, first := r.missing(got)
	inLast := damaged == r.last
	cut := len(r.report.Cut) > 0
	report := len(r.report.Damaged) > 0 || r.report.Lost != nil || len(r.report.Removed) > 0
	end := r.log.End()
	if err := r.finish(); err != nil {
		r.fail("closing: %v", err)
	}
	switch {
	case !strings.HasSuffix(damaged, ".seg") && missing > 0:
		r.fail("%d batches are missing", missing)
	case missing == 0 && end.Before(r.end):
		r.fail("the log ends at %v, not at %v", end, r.end)
	case missing == 0 && reports > 0:
		return "all there, damage told"
	case missing == 0:
		return "all there"
	case reports > 0 && missing > r.most:
		r.fail("%d batches are missing, more than were damaged", missing)
	case reports > 0:
		return "damage told"
	case !inLast:
		r.fail("%d batches from seq %d on are missing and nobody says so", missing, first)
	case first < r.marked && !report:
		r.fail("%d batches from seq %d on are missing, not told, the mark is at seq %d", missing, first, r.marked)
	case end.Seq > first:
		r.fail("seq %d is missing below the end at %v", first, end)
	case !cut && !report && r.most == 1:
		r.fail("%d batches were cut and nothing is reported: %+v", missing, r.report)
	case !cut && !report: // the file was cut between two batches, and no mark knows of more
		return "shorter"
	}
	return "torn end cut"
}

// readPast reads the log from its beginning, past what is damaged, and counts how often it was.
func (r *rotted) readPast() (got []readBatch, reports int) {
	reader := r.log.ReadFromPosition(r.first())
	for {
		run, err := reader.Read(r.buf, r.log.End())
		var corrupt *commitlog.CorruptError
		switch {
		case errors.As(err, &corrupt):
			if corrupt.File == "" || corrupt.Err == nil {
				r.fail("damage without a place: %+v", corrupt)
			}
			if reports++; reports > 10 {
				r.fail("reading past damage does not come to an end: %v", err)
			}
			if _, err := reader.SkipDamage(); err != nil {
				r.fail("skipping %v: %v", corrupt, err)
			}
		case err != nil:
			r.fail("reading: %v", err)
		case len(run.Bytes) == 0:
			return got, reports
		default:
			got = append(got, r.split(run)...)
		}
	}
}

// missing compares what was read with what was written: all of it must be right and in order, and some may be missing.
func (r *rotted) missing(got []readBatch) (n int, first uint64) {
	i := 0
	for j := range r.batches {
		b := &r.batches[j]
		switch {
		case i < len(got) && got[i].header.Seq == b.at.Seq:
			seen := map[int64]bool{}
			if err := b.compare(&got[i].header, got[i].bytes, nil, seen); err != nil {
				r.fail("%v", err)
			}
			for k := range b.records {
				if rec := &b.records[k]; !rec.gone && !seen[rec.offset] {
					r.fail("the record at offset %d is missing in its batch", rec.offset)
				}
			}
			i++
		case b.visible():
			if n++; n == 1 {
				first = b.at.Seq
			}
		}
	}
	if i < len(got) {
		r.fail("seq %d was read and never written, or out of order", got[i].header.Seq)
	}
	return n, first
}

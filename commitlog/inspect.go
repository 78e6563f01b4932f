package commitlog

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// SegmentSummary is what a segment file holds, as found by reading all of it.
type SegmentSummary struct {
	File       string
	Partition  [16]byte
	LogID      uint32
	Base       Position
	End        Position // after the last sound batch; where a footer says so, of the segment as first written
	Generation uint32
	Created    int64 // unix nanoseconds
	SizeBytes  int64
	Sealed     bool
	Batches    int // control batches included
	Control    int
	Records    int64
	FirstTime  int64 // unix nanoseconds
	LastTime   int64 // unix nanoseconds
	LastEpoch  uint64
	// UnusedBytes are zeros at the end: space that was allocated ahead.
	UnusedBytes int64
	// IndexEntries that are right; -1: there is no index.
	IndexEntries int
	// Torn is where the last segment of a log ends in something that is not a whole batch and was not known to be durable:
	// a write that a crash cut short. The next start removes it. Nil: it does not.
	Torn *CorruptError
	// Faults are the places where the file is not what it should be.
	Faults []*CorruptError
}

// Visit is given each batch of a file that is sound, with its place in the file in bytes.
type Visit func(position int64, h *batch.Header, b []byte) error

// InspectLog reads all segments of the log in the folder dir, changing nothing, and calls each with what was found. A file
// that is being appended to at the time may look torn at its end. Visit may be nil, and so may marks, which ReadMarks
// gives: without them a damaged end of the last segment is taken for torn.
func InspectLog(fsys vfs.FS, dir string, marks map[LogName]Mark, visit Visit, each func(SegmentSummary) error) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("inspecting a log: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, _, ok := parseSegmentName(e.Name()); ok {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	in := inspection{fs: fsys, marks: marks, visit: visit}
	for i, name := range names {
		in.final = i == len(names)-1
		s, err := in.segment(name)
		if err != nil {
			return fmt.Errorf("inspecting %s: %w", name, err)
		}
		if err := each(s); err != nil {
			return err
		}
		in.before = &s
	}
	return nil
}

// inspection goes through the segments of a log in order.
type inspection struct {
	fs     vfs.FS
	marks  map[LogName]Mark
	visit  Visit
	final  bool            // the segment is the last one
	before *SegmentSummary // the segment before; nil: none
	last   lastBatch       // of the segment before, as its footer says
}

func (in *inspection) segment(name string) (SegmentSummary, error) {
	s := SegmentSummary{File: name, IndexEntries: -1}
	s.Base, s.Generation, _ = parseSegmentName(name)
	s.End = s.Base
	file, err := in.fs.Open(name)
	if err != nil {
		return s, err
	}
	if s.SizeBytes, err = file.Size(); err == nil {
		err = in.read(file, &s)
	}
	return s, errors.Join(err, file.Close())
}

func (in *inspection) read(file vfs.File, s *SegmentSummary) error {
	b := make([]byte, segmentHeaderSize)
	if _, err := file.ReadAt(b, 0); err != nil && !isEnd(err) {
		return err
	}
	h, _, err := parseSegmentHeader(b)
	s.Partition, s.LogID, s.Created = h.partition, h.logID, h.created
	if err == nil && (h.base != s.Base || h.generation != s.Generation) {
		err = fmt.Errorf("%w: the header says %v generation %d", batch.ErrCorrupt, h.base, h.generation)
	}
	if err != nil {
		s.fault(0, err)
	}
	if in.before != nil && in.before.End != s.Base {
		s.fault(0, fmt.Errorf("%w: the segment before ends at %v", errHole, in.before.End))
	}
	at := map[int64]batch.Header{}
	if err := in.batches(file, s, at); err != nil {
		return err
	}
	return in.index(s, at)
}

// batches reads the elements behind the header. at takes the headers of those that may be indexed.
func (in *inspection) batches(file vfs.File, s *SegmentSummary, at map[int64]batch.Header) error {
	sc := newScanner(file, s.File, segmentHeaderSize, s.SizeBytes)
	tag := batch.PartitionTag(s.Partition, s.LogID)
	state := Mark{Durable: s.Base, last: in.last}
	for {
		position := sc.position
		e, err := sc.next()
		var corrupt *CorruptError
		switch {
		case isEnd(err):
			in.last = state.last
			if !s.Sealed && !in.final {
				s.fault(position, errors.New("the footer is missing"))
			}
			return nil
		case errors.As(err, &corrupt):
			in.last = lastBatch{}
			in.stop(s, corrupt)
			return nil
		case err != nil:
			return err
		case e.footer != nil:
			in.footer(e.footer, position, s, &state)
			continue
		}
		h := &e.header
		expected := state.Durable
		if s.Generation > 0 { // seq may have holes, and the chain is broken at them
			expected, state.last.crc = Position{Seq: max(h.Seq, expected.Seq), Offset: max(h.BaseOffset, expected.Offset)}, 0
		}
		if err := follows(h, tag, expected, state.last); err != nil {
			s.fault(position, err)
		}
		s.count(h)
		at[position] = *h
		state.Durable = s.End
		state.last = lastBatch{crc: h.HeaderCRC, time: h.Time, epoch: h.LeaderEpoch}
		state.digest, state.records = updateDigest(state.digest, h.HeaderCRC), uint64(s.Records)
		if in.visit != nil {
			if err := in.visit(position, h, e.bytes); err != nil {
				return err
			}
		}
	}
}

// footer holds the footer against the batches before it.
func (in *inspection) footer(f *segmentFooter, position int64, s *SegmentSummary, state *Mark) {
	whole := f.bytes == position && f.digest == state.digest && f.records == state.records
	if s.Generation == 0 {
		whole = whole && f.end == s.End && (s.Batches == 0 || f.last.crc == state.last.crc)
	}
	if !whole {
		s.fault(position, fmt.Errorf("%w: the footer does not match the batches before it", batch.ErrCorrupt))
	}
	s.Sealed, s.End = true, f.end
	state.Durable, state.last = f.end, f.last
}

// index holds the index against the batches that it names.
func (in *inspection) index(s *SegmentSummary, at map[int64]batch.Header) error {
	name := strings.TrimSuffix(s.File, segmentSuffix) + indexSuffix
	file, err := in.fs.Open(name)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s.IndexEntries = 0
	size, err := file.Size()
	b := make([]byte, indexEntrySize)
	for pos := int64(0); err == nil && pos+indexEntrySize <= size; pos += indexEntrySize {
		if _, err = file.ReadAt(b, pos); err != nil && !errors.Is(err, io.EOF) {
			break
		}
		err = nil
		e, parseErr := parseIndexEntry(b, s.Base)
		h, ok := at[e.position]
		if parseErr != nil || !ok || h.Seq != e.seq || h.BaseOffset != e.offset || h.Time != e.time {
			s.Faults = append(s.Faults, &CorruptError{File: name, Position: pos, Err: errIndex})
			break
		}
		s.IndexEntries++
	}
	return errors.Join(err, file.Close())
}

func (s *SegmentSummary) count(h *batch.Header) {
	if s.Batches == 0 {
		s.FirstTime = h.Time
	}
	s.Batches++
	if h.Control() {
		s.Control++
	}
	s.Records += int64(h.RecordCount)
	s.LastTime, s.LastEpoch = h.Time, h.LeaderEpoch
	s.End = Position{Seq: h.Seq + 1, Offset: h.NextOffset()}
}

// stop takes note of where the file is not whole. Behind all that was durable in the last segment that is none of a fault.
func (in *inspection) stop(s *SegmentSummary, corrupt *CorruptError) {
	mark := in.marks[LogName{s.Partition, s.LogID}]
	switch {
	case !in.final || mark.Segment == s.Base && corrupt.Position < mark.FilePosition:
		s.Faults = append(s.Faults, corrupt)
	case errors.Is(corrupt.Err, errUnwritten):
		s.UnusedBytes = s.SizeBytes - corrupt.Position
	default:
		s.Torn = corrupt
	}
}

func (s *SegmentSummary) fault(position int64, err error) {
	s.Faults = append(s.Faults, &CorruptError{File: s.File, Position: position, Err: err})
}

package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Report says what opening a log found and did. It is a value so that the caller decides what to tell whom.
type Report struct {
	// Cut names the ends of files that were not whole batches and were cut off.
	Cut []Cut
	// Damaged names places where durable bytes are not what was written. They are left as they are and never served.
	Damaged []*CorruptError
	// Lost is the stretch of the log whose files are gone.
	Lost *Lost
	// Mended names files whose header was not whole and was not known to have been: it was written anew.
	Mended []string
	// Removed names files that held nothing yet or nothing to be believed, were never finished, or were replaced.
	Removed []string
	// Unknown names files in the log's folder that are not ours and were left alone.
	Unknown []string
	// Recovered is how many batches were read again, and checked, at the end of the log.
	Recovered int
}

// Cut is the end of a file that was cut off.
type Cut struct {
	File     string
	Position int64 // where the file ends now, bytes
	Bytes    int64 // that were cut off
	Reason   error
}

// Unused says whether what was cut off is space that had been allocated ahead and not written.
func (c *Cut) Unused() bool { return errors.Is(c.Reason, errUnwritten) }

// Lost is a stretch of a log.
type Lost struct{ From, To Position }

// Open opens the log in the folder dir, making an empty one if there is none. It reads what lies above the mark, or the
// whole last segment if there is none, cuts off what is not a whole batch, and makes the rest durable before it returns:
// what a process wrote and did not sync before it was killed is kept if it is whole.
func Open(dir string, opts Options) (*Log, Report, error) {
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = DefaultSegmentBytes
	}
	if opts.SegmentAge == 0 {
		opts.SegmentAge = DefaultSegmentAge
	}
	if opts.Base == (Position{}) {
		opts.Base = Origin
	}
	l := &Log{dir: dir, opts: opts, files: opts.Files, tag: partitionTag(&opts), lanes: make(chan struct{}, syncLanes)}
	var report Report
	var err error
	if l.keys, err = newKeyring(dir, &opts); err != nil {
		return nil, report, fmt.Errorf("opening the log in %s: %w", dir, err)
	}
	keys, err := l.openFolder(&report)
	if err != nil {
		return nil, report, fmt.Errorf("opening the log in %s: %w", dir, err)
	}
	r := recovery{Log: l, report: &report}
	if opts.Marks != nil {
		m, ok, err := opts.Marks.take(LogName{opts.Partition, opts.LogID})
		if err != nil {
			return nil, report, fmt.Errorf("opening the log in %s: %w", dir, err)
		}
		if ok {
			r.mark, l.start, l.compacted, l.committed = &m, m.Start, m.Compacted, m.Committed
		}
	}
	err = r.run()
	if l.end.Before(l.committed) {
		l.committed = l.end
	}
	if mutant("commitlog-commit-forgotten") {
		l.committed = Position{}
	}
	if err == nil {
		err = l.removeStrayKeys(keys, &report)
	}
	if err == nil && r.mark != nil {
		err = r.correctMark()
	}
	if err != nil {
		return nil, report, fmt.Errorf("opening the log in %s: %w", dir, err)
	}
	return l, report, nil
}

// openFolder makes the folder if need be and finds the segments in it, and the key files by the bases of theirs.
func (l *Log) openFolder(report *Report) (keys map[Position]string, err error) {
	fs := l.files.FS()
	entries, err := fs.ReadDir(l.dir)
	if isNotExist(err) {
		err = fs.MkdirAll(l.dir)
	}
	if err == nil && len(entries) == 0 { // the folder's own name may not be durable yet
		err = fs.SyncDir(filepath.Dir(l.dir))
	}
	if err != nil {
		return nil, err
	}
	indexes := map[string]bool{}
	keys = map[Position]string{}
	for _, e := range entries {
		name := filepath.Join(l.dir, e.Name())
		base, generation, ok := parseSegmentName(e.Name())
		switch {
		case ok:
			info, err := fs.Stat(name)
			if err != nil {
				return nil, err
			}
			l.segments = append(l.segments, &segment{name: name, base: base, generation: generation, size: info.Size(), sealed: true})
		case isIndexName(e.Name()):
			indexes[name] = true
		case isKeyName(e.Name()):
			keys[keyBase(e.Name())] = name
		case strings.HasSuffix(name, tempSuffix):
			if err := fs.Remove(name); err != nil {
				return nil, err
			}
			report.Removed = append(report.Removed, name)
		default:
			report.Unknown = append(report.Unknown, name)
		}
	}
	if err := l.orderSegments(report); err != nil {
		return nil, err
	}
	return keys, l.removeStrayIndexes(indexes, report)
}

// orderSegments sorts the segments, lets each end where the next begins, and removes those that were rewritten: the
// rewritten file gets its name once it is whole and durable.
func (l *Log) orderSegments(report *Report) error {
	slices.SortFunc(l.segments, func(a, b *segment) int { return strings.Compare(a.name, b.name) })
	kept := l.segments[:0]
	for i, s := range l.segments {
		if i > 0 && l.segments[i-1].base != s.base && !follow(l.segments[i-1].base, s.base) {
			return fmt.Errorf("%s and %s are not of one log; move the one away that does not belong here", l.segments[i-1].name, s.name)
		}
		if i+1 < len(l.segments) && l.segments[i+1].base == s.base {
			if err := l.FS().SyncDir(l.dir); err != nil { // the new one's name may not be durable yet
				return err
			}
			if err := l.removeSegmentFiles(s, report); err != nil {
				return err
			}
			continue
		}
		s.end = s.base
		if i+1 < len(l.segments) {
			s.end = l.segments[i+1].base
		}
		kept = append(kept, s)
	}
	l.segments = kept
	return nil
}

// follow says whether segments that begin at these places may be neighbours.
func follow(a, b Position) bool { return a.Before(b) && a.Offset <= b.Offset }

// removeStrayIndexes removes indexes of segments that are not there.
func (l *Log) removeStrayIndexes(indexes map[string]bool, report *Report) error {
	for _, s := range l.segments {
		delete(indexes, s.indexName())
	}
	for name := range indexes {
		if err := l.files.FS().Remove(name); isNotExist(err) {
			continue // it went with its segment
		} else if err != nil {
			return err
		}
		report.Removed = append(report.Removed, name)
	}
	return nil
}

func (l *Log) removeSegmentFiles(s *segment, report *Report) error {
	report.Removed = append(report.Removed, s.name)
	err := errors.Join(l.files.forget(s.indexName()), l.files.forget(s.name))
	if err != nil {
		return err
	}
	if err := l.files.FS().Remove(s.indexName()); err != nil && !isNotExist(err) {
		return err
	}
	return l.files.FS().Remove(s.name)
}

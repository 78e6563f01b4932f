package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Report says what opening a log found and did. It is a value so that the caller decides what to log.
type Report struct {
	// Cut names the ends of files that were not whole batches and were cut off.
	Cut []Cut
	// Removed names files that held nothing yet or were never finished.
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

// Open opens the log in the folder dir, making an empty one if there is none. It reads the last segment from its start,
// cuts off what is not a whole batch, and makes the rest durable before it returns: what a process wrote and did not
// sync before it was killed is kept if it is whole.
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
	l := &Log{dir: dir, opts: opts, files: opts.Files, tag: partitionTag(&opts)}
	var report Report
	if err := l.openFolder(&report); err != nil {
		return nil, report, fmt.Errorf("opening the log in %s: %w", dir, err)
	}
	if err := l.recover(&report); err != nil {
		return nil, report, fmt.Errorf("opening the log in %s: %w", dir, err)
	}
	return l, report, nil
}

// openFolder makes the folder if need be and finds the segments in it.
func (l *Log) openFolder(report *Report) error {
	fs := l.files.FS()
	if err := fs.MkdirAll(l.dir); err != nil {
		return err
	}
	if err := fs.SyncDir(filepath.Dir(l.dir)); err != nil {
		return err
	}
	entries, err := fs.ReadDir(l.dir)
	if err != nil {
		return err
	}
	indexes := map[string]bool{}
	for _, e := range entries {
		name := filepath.Join(l.dir, e.Name())
		base, ok := parseSegmentName(e.Name())
		switch {
		case ok:
			info, err := fs.Stat(name)
			if err != nil {
				return err
			}
			l.segments = append(l.segments, &segment{name: name, base: base, size: info.Size(), sealed: true})
		case strings.HasSuffix(name, indexSuffix):
			indexes[name] = true
		case strings.HasSuffix(name, tempSuffix):
			if err := fs.Remove(name); err != nil {
				return err
			}
			report.Removed = append(report.Removed, name)
		default:
			report.Unknown = append(report.Unknown, name)
		}
	}
	l.orderSegments()
	return l.removeStrayIndexes(indexes, report)
}

// orderSegments sorts the segments and lets each end where the next begins.
func (l *Log) orderSegments() {
	slices.SortFunc(l.segments, func(a, b *segment) int {
		if a.base.Before(b.base) {
			return -1
		}
		return 1
	})
	for i, s := range l.segments {
		s.end = s.base
		if i+1 < len(l.segments) {
			s.end = l.segments[i+1].base
		}
	}
}

// removeStrayIndexes removes indexes of segments that are not there.
func (l *Log) removeStrayIndexes(indexes map[string]bool, report *Report) error {
	for _, s := range l.segments {
		delete(indexes, s.indexName())
	}
	for name := range indexes {
		if err := l.files.FS().Remove(name); err != nil {
			return err
		}
		report.Removed = append(report.Removed, name)
	}
	return nil
}

// recover reads the last segment, cuts its end where it is not whole, and takes up the log from there.
func (l *Log) recover(report *Report) error {
	for len(l.segments) > 0 {
		s := l.segments[len(l.segments)-1]
		t, err := l.recoverSegment(s, report)
		if err != nil {
			return err
		}
		if t != nil {
			return l.resume(t)
		}
		// The header was not written: the file holds nothing, and the segment before it is whole.
		if err := l.removeSegmentFiles(s, report); err != nil {
			return err
		}
		l.segments = l.segments[:len(l.segments)-1]
		l.opts.Base = s.base
	}
	l.end, l.durable = l.opts.Base, l.opts.Base
	return l.files.FS().SyncDir(l.dir)
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

// resume takes up the log at the end of its last segment.
func (l *Log) resume(t *tail) error {
	l.last, l.end, l.durable = t.last, t.segment.end, t.segment.end
	if t.footer == nil {
		l.active = &activeSegment{
			segment: t.segment, file: t.file, index: t.index, users: 1, created: t.header.created,
			written: t.segment.size, records: t.records, digest: t.digest,
		}
		t.segment.sealed = false
		return l.files.FS().SyncDir(l.dir)
	}
	return errors.Join(l.files.release(t.file), l.files.release(t.index.file), l.files.FS().SyncDir(l.dir))
}

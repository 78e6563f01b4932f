package commitlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// LogName names a log for ever.
type LogName struct {
	Partition [16]byte
	LogID     uint32
}

// Mark is what a broker remembers of a log besides the log: how far it is durable, and what is needed to go on from there
// without reading what lies before. Below a mark damage is rot, which is reported and never cut; at or above it, the log
// ends where the damage is.
type Mark struct {
	LogName
	// Durable is the end of what was synced when the mark was made.
	Durable Position
	// Segment is the base of the segment in which Durable lies, and FilePosition its place in that file in bytes, behind
	// the footer if there is one.
	Segment      Position
	FilePosition int64
	// Suspect means that a sync failed after the mark was made: what lies above it is to be cut, whatever it looks like.
	Suspect bool
	// Committed is the commit position when the mark was made.
	Committed Position
	// Start is the offset below which nothing is served.
	Start int64
	// Compacted is the seq up to which, exclusive, the log is compacted.
	Compacted uint64

	settled    bool      // what the folder shows is on the disk, if the log ends here; what changes that says so in a mark first
	sealed     bool      // FilePosition is behind a footer
	generation uint32    // of the file that FilePosition is a place in
	last       lastBatch // before Durable
	records    uint64    // in the segment before FilePosition
	digest     uint32    // of the segment before FilePosition
}

// markSize is the size of an entry of the marks file.
const markSize = 136

const markMagic = "TM\x88\x01" // the third byte is the size

// Flags of an entry. The generation stands above them.
const (
	markSuspect = 1 << iota
	markSealed
	markSettled

	markGenerationShift = 8
)

// append appends the entry of m: fixed width, little endian.
//
//	0 magic 4   4 uuid 16   20 log id 4   24 durable 16   40 segment 16   56 file position 8   64 flags 4   68 last crc 4
//	72 last time 8   80 last epoch 8   88 records 8   96 digest 4   100 committed 16   116 start 8   124 compacted 8
//	132 crc-32c of all before it 4
func (m *Mark) append(dst []byte) []byte {
	at, le := len(dst), binary.LittleEndian
	flags := m.generation << markGenerationShift
	if m.Suspect {
		flags |= markSuspect
	}
	if m.sealed {
		flags |= markSealed
	}
	if m.settled {
		flags |= markSettled
	}
	dst = append(append(dst, markMagic...), m.Partition[:]...)
	dst = le.AppendUint32(dst, m.LogID)
	dst = m.Segment.append(m.Durable.append(dst))
	dst = le.AppendUint64(dst, uint64(m.FilePosition))
	dst = le.AppendUint32(dst, flags)
	dst = le.AppendUint32(dst, m.last.crc)
	dst = le.AppendUint64(dst, uint64(m.last.time))
	dst = le.AppendUint64(dst, m.last.epoch)
	dst = le.AppendUint64(dst, m.records)
	dst = le.AppendUint32(dst, m.digest)
	dst = m.Committed.append(dst)
	dst = le.AppendUint64(dst, uint64(m.Start))
	dst = le.AppendUint64(dst, m.Compacted)
	return le.AppendUint32(dst, batch.Checksum(dst[at:]))
}

// forgets says that the entry names a log of which there is no mark any more: it says nothing else.
func (m *Mark) forgets() bool { return *m == Mark{LogName: m.LogName} }

func (p Position) append(dst []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, p.Seq), uint64(p.Offset))
}

// parseMark reads one entry; ok is false if it is not whole.
func parseMark(b []byte) (m Mark, ok bool) {
	le := binary.LittleEndian
	if len(b) < markSize || string(b[:4]) != markMagic || batch.Checksum(b[:132]) != le.Uint32(b[132:]) {
		return m, false
	}
	position := func(at int) Position {
		return Position{Seq: le.Uint64(b[at:]), Offset: int64(le.Uint64(b[at+8:]))}
	}
	copy(m.Partition[:], b[4:])
	m.LogID = le.Uint32(b[20:])
	m.Durable, m.Segment, m.FilePosition = position(24), position(40), int64(le.Uint64(b[56:]))
	flags := le.Uint32(b[64:])
	m.Suspect, m.sealed, m.settled = flags&markSuspect != 0, flags&markSealed != 0, flags&markSettled != 0
	m.generation = flags >> markGenerationShift
	m.last = lastBatch{crc: le.Uint32(b[68:]), time: int64(le.Uint64(b[72:])), epoch: le.Uint64(b[80:])}
	m.records, m.digest = le.Uint64(b[88:]), le.Uint32(b[96:])
	m.Committed, m.Start, m.Compacted = position(100), int64(le.Uint64(b[116:])), le.Uint64(b[124:])
	return m, true
}

// Marks keeps the marks of all logs of a data folder in one file, which is appended to and now and then written anew. Put
// is cheap; Flush makes what was put durable, for all logs at once. It is safe for concurrent use.
type Marks struct {
	fs   vfs.FS
	name string

	flushing sync.Mutex // held across I/O
	file     vfs.File   // guarded by flushing
	size     int64      // bytes of the file; guarded by flushing
	dirtyDir bool       // the file's name is not durable yet; guarded by flushing
	buf      []byte     // guarded by flushing

	mu        sync.Mutex
	marks     map[LogName]Mark
	dirty     map[LogName]bool // put or forgotten, and not flushed
	forgotten map[LogName]bool // the file may hold marks of them
	settled   map[LogName]bool // said to be when the file was opened, and not opened since
}

// OpenMarks reads the marks file, making an empty one if there is none. Entries that are not whole are passed over: an
// older mark of the same log, or none, is as safe, and only makes the next start read more.
func OpenMarks(fsys vfs.FS, name string) (*Marks, error) {
	m := &Marks{
		fs: fsys, name: name, marks: map[LogName]Mark{}, dirty: map[LogName]bool{}, forgotten: map[LogName]bool{}, settled: map[LogName]bool{},
	}
	if err := m.read(); err != nil {
		return nil, fmt.Errorf("reading marks: %w", err)
	}
	m.unsettle()
	if err := m.rewrite(); err != nil {
		return nil, fmt.Errorf("writing marks: %w", err)
	}
	return m, nil
}

// ReadMarks reads the newest mark of each log from a marks file, changing nothing. Without a file there are none.
func ReadMarks(fsys vfs.FS, name string) (map[LogName]Mark, error) {
	m := &Marks{fs: fsys, name: name, marks: map[LogName]Mark{}}
	if err := m.read(); err != nil {
		return nil, fmt.Errorf("reading marks: %w", err)
	}
	return m.marks, nil
}

func (m *Marks) read() error {
	file, err := m.fs.Open(m.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	size, err := file.Size()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	r := io.NewSectionReader(file, 0, size)
	b := make([]byte, markSize)
	for {
		if _, err = io.ReadFull(r, b); err != nil {
			break
		}
		mark, ok := parseMark(b)
		switch {
		case ok && mark.forgets():
			delete(m.marks, mark.LogName)
		case ok:
			m.marks[mark.LogName] = mark
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return errors.Join(err, file.Close())
}

// rewrite replaces the file by one with the newest mark of each log. After a crash there is the old or the new one. The
// caller holds flushing, or is the only one who knows m.
func (m *Marks) rewrite() error {
	temp := m.name + tempSuffix
	if err := m.fs.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := m.fs.Create(temp)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.buf = m.buf[:0]
	for _, name := range sortedNames(m.marks) {
		mark := m.marks[name]
		m.buf = mark.append(m.buf)
	}
	clear(m.dirty)
	clear(m.forgotten)
	m.mu.Unlock()
	if len(m.buf) > 0 {
		_, err = file.WriteAt(m.buf, 0)
	}
	if err == nil {
		err = file.SyncData()
	}
	if err == nil {
		err = m.fs.Rename(temp, m.name)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	old := m.file
	m.file, m.size, m.dirtyDir = file, int64(len(m.buf)), true
	if old != nil {
		err = old.Close()
	}
	return errors.Join(err, m.syncName())
}

// syncName makes the name of the file durable. The caller holds flushing, or is the only one who knows m.
func (m *Marks) syncName() error {
	if !m.dirtyDir {
		return nil
	}
	err := m.fs.SyncDir(filepath.Dir(m.name))
	m.dirtyDir = err != nil
	return err
}

// Get returns the newest mark of a log.
func (m *Marks) Get(name LogName) (Mark, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mark, ok := m.marks[name]
	return mark, ok
}

// unsettle takes the word that logs are settled out of the marks. It holds for whoever opens them next, once: opening changes what
// the folder shows, and may be broken off.
func (m *Marks) unsettle() {
	for name, mark := range m.marks {
		if mark.settled {
			m.settled[name], mark.settled = true, mutant("commitlog-settled-for-ever")
			m.marks[name] = mark
		}
	}
}

// take is Get for whoever opens the log. Settled says that what its folder shows is on the disk, if the log ends at the mark. After
// that no mark says so until the next Put: durably, when it returns.
func (m *Marks) take(name LogName) (mark Mark, ok bool, err error) {
	m.mu.Lock()
	mark, ok = m.marks[name]
	again := mark.settled // opened, and closed, before, since the file was opened
	mark.settled = false
	if again {
		m.marks[name], m.dirty[name] = mark, true
	}
	mark.settled = m.settled[name]
	delete(m.settled, name)
	m.mu.Unlock()
	if again {
		err = m.Flush()
	}
	return mark, ok, err
}

// Put remembers the mark until the next Flush.
func (m *Marks) Put(mark Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marks[mark.LogName] = mark
	m.dirty[mark.LogName] = true
	delete(m.forgotten, mark.LogName)
	delete(m.settled, mark.LogName)
}

// Forget drops the mark of a log that is about to be deleted. Once that is flushed, another log may take its place.
func (m *Marks) Forget(name LogName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.marks, name)
	delete(m.settled, name)
	m.dirty[name], m.forgotten[name] = true, true
}

// Flush makes durable what was put. Nobody's ack waits for it: a mark that is late makes the next start read more. After
// a failure the next one writes all marks again.
func (m *Marks) Flush() error {
	m.flushing.Lock()
	defer m.flushing.Unlock()
	err := m.flush()
	if err != nil {
		m.again()
	}
	return err
}

func (m *Marks) flush() error {
	m.mu.Lock()
	m.buf = m.buf[:0]
	for _, name := range sortedNames(m.dirty) {
		mark, ok := m.marks[name]
		if !ok {
			mark.LogName = name
		}
		m.buf = mark.append(m.buf)
	}
	clear(m.dirty)
	live := len(m.marks)
	m.mu.Unlock()
	if len(m.buf) == 0 {
		return nil
	}
	if m.size > int64(4*live*markSize+1<<20) {
		return m.rewrite()
	}
	if _, err := m.file.WriteAt(m.buf, m.size); err != nil {
		return fmt.Errorf("writing marks: %w", fullOr(err))
	}
	m.size += int64(len(m.buf))
	if err := m.file.SyncData(); err != nil {
		return fmt.Errorf("syncing marks: %w", err)
	}
	return m.syncName()
}

// again makes the next flush write every mark: this one did not, and what an earlier one wrote is of unknown fate.
func (m *Marks) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.marks {
		m.dirty[name] = true
	}
	for name := range m.forgotten {
		m.dirty[name] = true
	}
}

// sortedNames are the keys of a map in an order that depends on nothing else.
func sortedNames[V any](of map[LogName]V) []LogName {
	return slices.SortedFunc(maps.Keys(of), func(a, b LogName) int {
		return cmp.Or(bytes.Compare(a.Partition[:], b.Partition[:]), cmp.Compare(a.LogID, b.LogID))
	})
}

// Close flushes and closes the file.
func (m *Marks) Close() error {
	err := m.Flush()
	m.flushing.Lock()
	defer m.flushing.Unlock()
	return errors.Join(err, m.file.Close())
}

package commitlog

import "github.com/trestlehq/trestle/commitlog/vfs"

// What follows is for the tests of parsers, which are given arbitrary bytes.

// IndexEntrySize is the size of an entry of an index, in bytes.
const IndexEntrySize = indexEntrySize

// IndexEntry is an entry of an index.
type IndexEntry struct {
	Seq      uint64
	Offset   int64
	Time     int64
	Position int64
}

// AppendIndexEntry appends an entry of the index of a segment that begins at base.
func AppendIndexEntry(dst []byte, base Position, e IndexEntry) []byte {
	return appendIndexEntry(dst, base, indexEntry{seq: e.Seq, offset: e.Offset, time: e.Time, position: e.Position})
}

// SearchIndex finds the last entry whose seq is at most seq.
func SearchIndex(f vfs.File, base Position, seq uint64) (IndexEntry, error) {
	e, err := searchIndex(f, base, func(e indexEntry) bool { return e.seq <= seq })
	return IndexEntry{Seq: e.seq, Offset: e.offset, Time: e.time, Position: e.position}, err
}

// LastIndexed finds the last entry below the position until, and how many there are up to it.
func LastIndexed(f vfs.File, base Position, until int64) (IndexEntry, int64, error) {
	size, err := f.Size()
	if err != nil {
		return IndexEntry{}, 0, err
	}
	e, n, err := lastIndexed(&handle{File: f}, size, base, until)
	return IndexEntry{Seq: e.seq, Offset: e.offset, Time: e.time, Position: e.position}, n, err
}

// ParseAgain reads a segment header, writes what it read, and returns that and the size of what was read.
func ParseAgain(b []byte) (again []byte, size int, err error) {
	h, size, err := parseSegmentHeader(b)
	return h.encode(), size, err
}

// ParseFooterAgain is ParseAgain for a segment footer.
func ParseFooterAgain(b []byte) ([]byte, error) {
	f, err := parseSegmentFooter(b)
	return f.encode(), err
}

// ParseName reads the name of a segment file and returns what it would be called.
func ParseName(name string) (string, bool) {
	base, generation, ok := parseSegmentName(name)
	return segmentName("", base, generation), ok
}

// KeyMap is the memory of a compaction.
type KeyMap struct{ keys *keyMap }

// NewKeyMap returns a map that takes about so many bytes.
func NewKeyMap(bytes int64) KeyMap { return KeyMap{newKeyMap(bytes)} }

// Put says that the record at the offset has the key; false: the map is full.
func (m KeyMap) Put(key []byte, offset int64) bool { return m.keys.put(key, offset) }

// Superseded says whether a newer record than the one at the offset has the key.
func (m KeyMap) Superseded(key []byte, offset int64) bool { return m.keys.superseded(key, offset) }

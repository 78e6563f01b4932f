package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// The index of a segment is a file of entries, each naming a batch and where it lies; all four columns only grow, so
// one file serves seq, offset and time. It is derived: whatever is wrong with it is mended by reading the segment.

// indexInterval is how many bytes of batches one entry covers.
const indexInterval = 16 << 10

const indexEntrySize = 36

// errIndex means that an index cannot be used and is to be made anew.
var errIndex = errors.New("index is damaged")

// indexEntry names a batch of a segment.
type indexEntry struct {
	seq      uint64
	offset   int64 // base offset of the batch
	time     int64 // unix nanoseconds
	position int64 // in the segment file, bytes
}

// appendIndexEntry appends e as it stands in the index of the segment with that base. Its CRC covers the base too, so
// that the index of another segment is not believed.
func appendIndexEntry(dst []byte, base Position, e indexEntry) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, e.seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.offset))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.time))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.position))
	return binary.LittleEndian.AppendUint32(dst, indexChecksum(base, dst[at:]))
}

func indexChecksum(base Position, entry []byte) uint32 {
	var seed [8]byte
	binary.LittleEndian.PutUint64(seed[:], base.Seq)
	return batch.UpdateChecksum(batch.Checksum(seed[:]), entry)
}

func parseIndexEntry(b []byte, base Position) (indexEntry, error) {
	if indexChecksum(base, b[:indexEntrySize-4]) != binary.LittleEndian.Uint32(b[indexEntrySize-4:]) {
		return indexEntry{}, errIndex
	}
	return indexEntry{
		seq:      binary.LittleEndian.Uint64(b),
		offset:   int64(binary.LittleEndian.Uint64(b[8:])),
		time:     int64(binary.LittleEndian.Uint64(b[16:])),
		position: int64(binary.LittleEndian.Uint64(b[24:])),
	}, nil
}

// searchIndex finds the last entry for which before is true; before is true up to some entry and false from there on.
// Without such an entry it returns one with position 0. It reads a logarithmic number of entries.
func searchIndex(f vfs.File, base Position, before func(indexEntry) bool) (indexEntry, error) {
	size, err := f.Size()
	if err != nil {
		return indexEntry{}, err
	}
	var best indexEntry
	var buf [indexEntrySize]byte
	low, high := int64(0), size/indexEntrySize // best is entry low-1; entries from high on are not before
	for low < high {
		mid := low + (high-low)/2
		if _, err := f.ReadAt(buf[:], mid*indexEntrySize); err != nil && !errors.Is(err, io.EOF) {
			return indexEntry{}, fmt.Errorf("index: %w", err)
		}
		e, err := parseIndexEntry(buf[:], base)
		if err != nil {
			return indexEntry{}, err
		}
		if before(e) {
			best, low = e, mid+1
		} else {
			high = mid
		}
	}
	return best, nil
}

// indexWriter appends entries to the index of the active segment as it grows. When the file cannot be written, the
// index stays as it is, and searches begin at its last entry: nothing depends on it but speed.
type indexWriter struct {
	file    *handle
	base    Position
	size    int64 // bytes of the file
	covered int64 // position in the segment up to which no further entry is needed
	broken  bool
	buf     []byte
}

// add offers a batch to the index.
func (w *indexWriter) add(e indexEntry) {
	if e.position < w.covered || w.broken {
		return
	}
	w.buf = appendIndexEntry(w.buf[:0], w.base, e)
	if _, err := w.file.WriteAt(w.buf, w.size); err != nil {
		w.broken = true
		return
	}
	w.size += indexEntrySize
	w.covered = e.position + indexInterval
}

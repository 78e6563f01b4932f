package commitlog

import (
	"crypto/sha256"
	"encoding/binary"
)

// keyMap remembers the newest offset of each key, in bounded memory: open addressing over entries of 24 bytes, which become
// more as they fill. A key is known by 128 bits of its SHA-256, so that no two keys are ever taken for one.
type keyMap struct {
	entries []keyEntry // a power of two of them
	limit   int        // that there may be
	used    int
}

// keyEntry is one key. next is the offset of its newest record plus one; 0: the entry is free.
type keyEntry struct {
	high, low uint64
	next      int64
}

const keyEntrySize = 24

// minKeyMemory is the size in bytes of the smallest map.
const minKeyMemory = 16 * keyEntrySize

// firstKeys is how many entries a map begins with, if it may have so many.
const firstKeys = 1 << 10

// newKeyMap returns a map that comes to take at most so many bytes, or those of a few keys; half as much again for the moment
// in which it grows to that.
func newKeyMap(bytes int64) *keyMap {
	n := 16
	for int64(2*n*keyEntrySize) <= bytes {
		n *= 2
	}
	return &keyMap{entries: make([]keyEntry, min(n, firstKeys)), limit: n}
}

func keyHash(key []byte) (high, low uint64) {
	sum := sha256.Sum256(key)
	return binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])
}

// find returns the entry of the key, or the free one where it belongs.
func (m *keyMap) find(key []byte) (e *keyEntry, high, low uint64) {
	high, low = keyHash(key)
	return m.place(high, low), high, low
}

func (m *keyMap) place(high, low uint64) *keyEntry {
	mask := uint64(len(m.entries) - 1)
	for i := low & mask; ; i = (i + 1) & mask {
		e := &m.entries[i]
		if e.next == 0 || e.high == high && e.low == low {
			return e
		}
	}
}

// grow doubles the entries.
func (m *keyMap) grow() {
	old := m.entries
	m.entries = make([]keyEntry, 2*len(old))
	for _, e := range old {
		if e.next != 0 {
			*m.place(e.high, e.low) = e
		}
	}
}

// put says that the record at the offset, which is above those of all records before it, has the key. It is false, and
// nothing is remembered, if the map is full and the key is new.
func (m *keyMap) put(key []byte, offset int64) bool {
	e, high, low := m.find(key)
	if e.next == 0 {
		if m.used == len(m.entries)-len(m.entries)/4 {
			if len(m.entries) == m.limit {
				return false
			}
			m.grow()
			e = m.place(high, low)
		}
		m.used++
	}
	*e = keyEntry{high: high, low: low, next: offset + 1}
	return true
}

// superseded says whether a newer record than the one at the offset has the key.
func (m *keyMap) superseded(key []byte, offset int64) bool {
	e, _, _ := m.find(key)
	return e.next > offset+1
}

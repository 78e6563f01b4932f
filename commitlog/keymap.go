package commitlog

import (
	"crypto/sha256"
	"encoding/binary"
)

// keyMap remembers the newest offset of each key, in a fixed amount of memory: open addressing over entries of 24 bytes.
// A key is known by 128 bits of its SHA-256, so that no two keys are ever taken for one.
type keyMap struct {
	entries []keyEntry // a power of two of them
	used    int
	most    int // entries that may be used
}

// keyEntry is one key. next is the offset of its newest record plus one; 0: the entry is free.
type keyEntry struct {
	high, low uint64
	next      int64
}

const keyEntrySize = 24

// minKeyMemory is the size in bytes of the smallest map.
const minKeyMemory = 16 * keyEntrySize

// newKeyMap returns a map that takes about so many bytes, at least those of a few keys.
func newKeyMap(bytes int64) *keyMap {
	n := 16
	for int64(2*n*keyEntrySize) <= bytes {
		n *= 2
	}
	return &keyMap{entries: make([]keyEntry, n), most: n - n/4}
}

func keyHash(key []byte) (high, low uint64) {
	sum := sha256.Sum256(key)
	return binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])
}

// find returns the entry of the key, or the free one where it belongs.
func (m *keyMap) find(key []byte) (e *keyEntry, high, low uint64) {
	high, low = keyHash(key)
	mask := uint64(len(m.entries) - 1)
	for i := low & mask; ; i = (i + 1) & mask {
		e := &m.entries[i]
		if e.next == 0 || e.high == high && e.low == low {
			return e, high, low
		}
	}
}

// put says that the record at the offset, which is above those of all records before it, has the key. It is false, and
// nothing is remembered, if the map is full and the key is new.
func (m *keyMap) put(key []byte, offset int64) bool {
	e, high, low := m.find(key)
	if e.next == 0 {
		if m.used == m.most {
			return false
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

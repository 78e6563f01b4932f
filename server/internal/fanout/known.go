package fanout

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// knownMarkers is how many markers are kept: more than messages are on their way through NATS, there and back.
const knownMarkers = 1 << 16

// Known are the markers that this process made last, with the messages that they were made for. To look one up costs a tenth of
// computing it again, and a broker hears most of its own messages. What it keeps is a sum of 64 bits, whose seed
// nobody else knows: a message that has the sum of another by chance is one in 2⁶⁴. The zero Known is ready to use and safe
// for concurrent use; it takes its memory, 512 KiB, with the first marker.
type Known struct {
	made  sync.Once
	seed  maphash.Seed
	slots atomic.Pointer[[knownMarkers]atomic.Uint64]
}

// add keeps a sum, in the place of one that is older or not.
func (k *Known) add(sum uint64) {
	k.slots.Load()[sum%knownMarkers].Store(sum)
}

// has says whether the sum is one that was added; false: not, or it has been forgotten.
func (k *Known) has(sum uint64) bool {
	slots := k.slots.Load()
	return slots[sum%knownMarkers].Load() == sum && sum != 0
}

// sumOf is the sum of a message with its marker, the mac included.
func (k *Known) sumOf(marker, subject, key, value []byte) uint64 {
	if mutant("fanout-known-without-value") {
		value = nil
	}
	k.made.Do(func() {
		k.seed = maphash.MakeSeed()
		k.slots.Store(new([knownMarkers]atomic.Uint64))
	})
	var h maphash.Hash
	h.SetSeed(k.seed)
	var size [8]byte
	for _, part := range [...][]byte{marker, subject, key, value} {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = h.Write(size[:])
		_, _ = h.Write(part)
	}
	return h.Sum64()
}

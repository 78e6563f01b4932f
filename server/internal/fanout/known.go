package fanout

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// knownMarkers is how many markers are kept: more than messages are on their way through NATS, there and back.
const knownMarkers = 1 << 16

// Known are the markers that this process made last, with the messages that they were made for. To look one up costs a tenth of
// computing it again, and a broker hears most of its own messages. What it keeps is a sum of 64 bits, whose seeds
// nobody else knows: a message that has the sum of another by chance is one in 2⁶⁴. The zero Known is ready to use and safe
// for concurrent use; it takes its memory, 512 KiB, with the first marker.
type Known struct {
	made  sync.Once
	seeds [3]maphash.Seed
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

// sumOf is the sum of a message with its mac: what the mac is over but for the value, the mac, and the value.
func (k *Known) sumOf(over, mac, value []byte) uint64 {
	if mutant("fanout-known-without-value") {
		value = nil
	}
	k.made.Do(func() {
		for i := range k.seeds {
			k.seeds[i] = maphash.MakeSeed()
		}
		k.slots.Store(new([knownMarkers]atomic.Uint64))
	})
	return maphash.Bytes(k.seeds[0], over) ^ maphash.Bytes(k.seeds[1], mac) ^ maphash.Bytes(k.seeds[2], value)
}

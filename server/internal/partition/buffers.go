package partition

import (
	"math/bits"
	"sync"
)

// Buffers are memory that readers share: one that waits has none. The zero Buffers are ready to use, and safe for concurrent
// use; a nil Buffers gives each chunk memory of its own. Nothing is kept that nobody has used for two garbage collections.
type Buffers struct {
	pools [bufferSizes]sync.Pool // of *[]byte; that of number i has smallestChunk<<i bytes
}

// bufferSizes is how many sizes there are: smallestChunk, each twice the one before, up to DefaultChunk. What is larger is not
// shared.
const bufferSizes = 9

// sizeOf is the number of the smallest size that has so many bytes; shared is false where none has.
func sizeOf(bytes int) (number int, shared bool) {
	number = bits.Len(uint(max(bytes-1, 0) / smallestChunk))
	return number, number < bufferSizes
}

// take returns size bytes: those of held, if there are as many, else others in their place.
func (b *Buffers) take(held **[]byte, size int) []byte {
	if b == nil {
		return make([]byte, size)
	}
	if *held != nil && cap(**held) >= size {
		return (**held)[:size]
	}
	b.giveBack(held)
	number, shared := sizeOf(size)
	if !shared {
		*held = new(make([]byte, size))
		return **held
	}
	if *held, _ = b.pools[number].Get().(*[]byte); *held == nil {
		*held = new(make([]byte, smallestChunk<<number))
	}
	return (**held)[:size]
}

// giveBack lets others have held.
func (b *Buffers) giveBack(held **[]byte) {
	if *held != nil {
		b.GiveBack(*held)
	}
	*held = nil
}

// GiveBack lets others have what a reader gave away (Reader.Give): once, and when nobody reads it any more. It may be left out.
func (b *Buffers) GiveBack(memory *[]byte) {
	number, shared := sizeOf(cap(*memory))
	if shared && cap(*memory) == smallestChunk<<number {
		b.pools[number].Put(memory)
	}
}

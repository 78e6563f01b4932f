package partition

import "sync"

// Buffers are memory that readers share: one that waits has none. The zero Buffers are ready to use, and safe for concurrent
// use; a nil Buffers gives each chunk memory of its own.
type Buffers struct{ pool sync.Pool }

// take returns size bytes: those of held, if there are as many, else others in their place.
func (b *Buffers) take(held **[]byte, size int) []byte {
	if b == nil {
		return make([]byte, size)
	}
	if *held == nil {
		*held, _ = b.pool.Get().(*[]byte)
	}
	if *held == nil || cap(**held) < size {
		*held = new(make([]byte, size))
	}
	return (**held)[:size]
}

// giveBack lets others have held, unless it is larger than most need.
func (b *Buffers) giveBack(held **[]byte) {
	if *held != nil && cap(**held) <= DefaultChunk {
		b.pool.Put(*held)
	}
	*held = nil
}

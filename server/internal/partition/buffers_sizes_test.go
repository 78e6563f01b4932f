package partition

import "testing"

// A buffer has room for what is asked and less than twice that, and what is given back to is asked for by its size alone.
func TestSizesOfBuffers(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1 << 10, smallestChunk - 1, smallestChunk, smallestChunk + 1, 70_000, DefaultChunk - 1, DefaultChunk, DefaultChunk + 1, 3 * DefaultChunk} {
		var b Buffers
		var held *[]byte
		got := b.take(&held, size)
		if len(got) != size || cap(*held) >= 2*max(size, smallestChunk) {
			t.Errorf("asked for %d bytes: got %d in a buffer of %d", size, len(got), cap(*held))
		}
		if again := b.take(&held, size/2); size > 1 && &again[0] != &got[0] {
			t.Errorf("asked for %d bytes while holding %d: another buffer", size/2, size)
		}
		b.giveBack(&held)
		b.GiveBack(new(make([]byte, size+1))) // of no size that is shared
		for number := range b.pools {
			for n := smallestChunk << number; ; {
				left, ok := b.pools[number].Get().(*[]byte)
				if !ok {
					break
				}
				if cap(*left) != n {
					t.Errorf("a buffer of %d bytes is kept among those of %d", cap(*left), n)
				}
			}
		}
	}
}

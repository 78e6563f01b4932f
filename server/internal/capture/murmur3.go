package capture

import (
	"encoding/binary"
	"math/bits"
)

// murmur3Seed is that of the clients' partitioners: publishers that hash by themselves find the same partition.
const murmur3Seed = 31

// murmur3 is MurmurHash3_x86_32 by Austin Appleby, with murmur3Seed.
func murmur3(b []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	mix := func(k uint32) uint32 { return bits.RotateLeft32(k*c1, 15) * c2 }
	h := uint32(murmur3Seed)
	size := uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		h ^= mix(binary.LittleEndian.Uint32(b))
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	var tail uint32
	for i := range b {
		tail |= uint32(b[i]) << (8 * i)
	}
	h ^= mix(tail)
	h ^= size
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

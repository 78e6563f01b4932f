package client

import (
	"encoding/binary"
	"math/bits"
)

// murmurSeed is the seed by which keys find partitions, the same in every client and in the broker.
const murmurSeed = 31

// murmur3 is MurmurHash3_x86_32 by Austin Appleby (public domain) of key, with murmurSeed.
func murmur3(key []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	h := uint32(murmurSeed)
	rest := key
	for ; len(rest) >= 4; rest = rest[4:] {
		k := binary.LittleEndian.Uint32(rest) * c1
		h ^= bits.RotateLeft32(k, 15) * c2
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	var tail uint32
	for i := len(rest) - 1; i >= 0; i-- {
		tail = tail<<8 | uint32(rest[i])
	}
	h ^= bits.RotateLeft32(tail*c1, 15) * c2
	h ^= uint32(len(key))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

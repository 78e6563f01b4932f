// Package keyhash is the hashes by which keys find partitions. It is a leaf: brokers and clients share it, so that
// whoever hashes by itself finds the same partition. A stream keeps the hash that it was made with for ever.
package keyhash

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// Seed of Murmur3, the same in all clients that hash by themselves.
const Seed = 31

// Murmur3 is MurmurHash3_x86_32 by Austin Appleby (public domain, smhasher/src/MurmurHash3.cpp) of the key, with Seed.
// It allocates nothing.
func Murmur3(key []byte) uint32 { return murmur3(Seed, key) }

func murmur3(seed uint32, key []byte) uint32 {
	h, size := seed, uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		h = bits.RotateLeft32(h^scramble(binary.LittleEndian.Uint32(key)), 13)*5 + 0xe6546b64
	}
	var tail uint32
	for i := range key {
		tail |= uint32(key[i]) << (8 * i)
	}
	h ^= scramble(tail) ^ size
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

func scramble(k uint32) uint32 { return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593 }

// CRC32 is the CRC-32 of IEEE 802.3 of the key, as clients of Liftbridge hash. It allocates nothing.
func CRC32(key []byte) uint32 { return crc32.ChecksumIEEE(key) }

// Partition is the partition of a hash in a stream that has so many, which is at least one.
func Partition(hash uint32, partitions int) int { return int(hash % uint32(partitions)) }

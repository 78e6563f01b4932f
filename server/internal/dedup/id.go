package dedup

import (
	"encoding/binary"
	"math/bits"
)

// ID stands for a message id: its 128-bit hash under the stream's Key. The zero ID says that a record has none.
type ID [16]byte

// Key is the secret of a stream under which its message ids are hashed: the same on every replica for the life of the
// stream, and unknown to publishers, who could otherwise choose an id that makes another's message a duplicate.
type Key [16]byte

// ID hashes a message id: SipHash-2-4 with an output of 128 bits (Aumasson and Bernstein, "SipHash: a fast short-input
// PRF", 2012, and its reference implementation). An empty message id is no id: the zero ID.
func (k Key) ID(message []byte) (id ID) {
	if len(message) == 0 {
		return id
	}
	hash := k.hash(message)
	if hash == (ID{}) {
		hash[0] = 1 // the zero ID is taken
	}
	return hash
}

func (k Key) hash(message []byte) (hash ID) {
	k0, k1 := binary.LittleEndian.Uint64(k[:8]), binary.LittleEndian.Uint64(k[8:])
	s := sip{
		k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573,
	}
	rest := message
	for ; len(rest) >= 8; rest = rest[8:] {
		s.word(binary.LittleEndian.Uint64(rest))
	}
	var last [8]byte
	copy(last[:], rest)
	last[7] = byte(len(message))
	s.word(binary.LittleEndian.Uint64(last[:]))

	s[2] ^= 0xee
	s.rounds(4)
	binary.LittleEndian.PutUint64(hash[:8], s[0]^s[1]^s[2]^s[3])
	s[1] ^= 0xdd
	s.rounds(4)
	binary.LittleEndian.PutUint64(hash[8:], s[0]^s[1]^s[2]^s[3])
	return hash
}

type sip [4]uint64

func (s *sip) word(m uint64) {
	s[3] ^= m
	s.rounds(2)
	s[0] ^= m
}

func (s *sip) rounds(n int) {
	v0, v1, v2, v3 := s[0], s[1], s[2], s[3]
	for range n {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	s[0], s[1], s[2], s[3] = v0, v1, v2, v3
}

// bucket is the part of the hash that finds a place in a table.
func (id *ID) bucket() uint64 { return binary.LittleEndian.Uint64(id[:8]) }

package keyhash_test

import (
	"testing"

	"github.com/trestlehq/trestle/metadata/keyhash"
)

// The hashes of these keys are those that other clients of NATS logs were seen to make; keys of every length modulo four.
func TestHashes(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		key         string
		murmur, crc uint32
		tenth       int // of murmur
	}{
		{"", 1257683291, 0, 1},
		{"key", 2580712894, 2324736937, 4},
		{"2ndPartition", 122197930, 2737369385, 0},
		{"user-1", 3441879530, 2116437524, 0},
		{"order:42", 224452362, 1319023403, 2},
		{"hello", 168865661, 907060870, 1},
	} {
		key := []byte(v.key)
		if m, c := keyhash.Murmur3(key), keyhash.CRC32(key); m != v.murmur || c != v.crc {
			t.Errorf("%q: got murmur3 %d and crc32 %d, want %d and %d", v.key, m, c, v.murmur, v.crc)
		}
		if got := keyhash.Partition(v.murmur, 10); got != v.tenth {
			t.Errorf("%q: partition %d of 10, want %d", v.key, got, v.tenth)
		}
	}
}

// Vectors with other seeds, of the reference implementation.
func TestMurmur3OfOtherSeeds(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		seed uint32
		key  string
		want uint32
	}{
		{0, "", 0},
		{1, "", 0x514e28b7},
		{0xffffffff, "", 0x81f16f39},
		{0, "\xff\xff\xff\xff", 0x76293b50},
		{0, "\x21\x43\x65\x87", 0xf55b516b},
		{0x5082edee, "\x21\x43\x65\x87", 0x2362f9de},
		{0, "\x21\x43\x65", 0x7e4a8634},
		{0, "\x21\x43", 0xa0f7b07a},
		{0, "\x21", 0x72661cf4},
	} {
		if got := keyhash.Seeded(v.seed, []byte(v.key)); got != v.want {
			t.Errorf("seed %#x of %q: got %#x, want %#x", v.seed, v.key, got, v.want)
		}
	}
}

func TestHashesAllocateNothing(t *testing.T) {
	key := []byte("a key of some length")
	if n := testing.AllocsPerRun(100, func() { _ = keyhash.Murmur3(key) + keyhash.CRC32(key) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

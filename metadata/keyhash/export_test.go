package keyhash

// Seeded is Murmur3 with another seed.
func Seeded(seed uint32, key []byte) uint32 { return murmur3(seed, key) }

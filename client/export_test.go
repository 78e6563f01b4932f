package client

// KindOfReason is for tests to compare with the server's table.
var KindOfReason = kindOfReason

// Murmur3 is for tests to compare with known hashes.
func Murmur3(key []byte) uint32 { return murmur3(key) }

package shadow

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/minio/highwayhash"

	"github.com/trestlehq/trestle/proto/batch"
)

// Fingerprint stands for a record, or for a message id, in a ring. The zero Fingerprint stands for no message id.
type Fingerprint [16]byte

// What is hashed in place of a field: a field of up to inlineMax bytes itself, a longer one by its own hash.
const (
	inlineMax    = 64
	usualRecord  = 1024 // bytes of fields that are hashed without allocating
	usualHeaders = 32   // headers that are sorted without allocating
)

// Marks of a record that are part of what it says.
const (
	hasKey = 1 << iota
	hasValue
	isTombstone
)

// FingerprintOf hashes what two replicas that heard the same message agree on: subject, reply, key, plain value and
// headers sorted by name, values of one name in their order (protocol.md 2.4). The schema id is not part of it: that is
// the leader's to judge. It does not allocate for records of usual size.
//
// HighwayHash-128 under a key: whoever publishes chooses the records, and must not be able to make two that look alike,
// because then one of them would vanish; it is a keyed function made for that, and SIMD on amd64 and arm64.
func FingerprintOf(secret *[32]byte, r *batch.Record) Fingerprint {
	var room [usualRecord]byte
	var marks byte
	if r.Key != nil {
		marks |= hasKey
	}
	if r.Value != nil {
		marks |= hasValue
	}
	if r.Tombstone {
		marks |= isTombstone
	}
	b := append(room[:0], marks)
	b = appendField(b, secret, r.Subject)
	b = appendField(b, secret, r.Reply)
	b = appendField(b, secret, r.Key)
	b = appendField(b, secret, r.Value)
	b = appendHeaders(b, secret, r.Headers)
	return highwayhash.Sum128(b, secret[:])
}

// IDFingerprint stands for a message id; the zero Fingerprint for none.
func IDFingerprint(secret *[32]byte, id []byte) Fingerprint {
	if len(id) == 0 {
		return Fingerprint{}
	}
	return highwayhash.Sum128(id, secret[:])
}

// appendField appends a field so that no two lists of fields come to the same bytes: its length, then itself or its hash.
func appendField(b []byte, secret *[32]byte, field []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(field)))
	if len(field) <= inlineMax {
		return append(b, field...)
	}
	hash := highwayhash.Sum128(field, secret[:])
	return append(b, hash[:]...)
}

func appendHeaders(b []byte, secret *[32]byte, headers []batch.HeaderField) []byte {
	byName := func(x, y batch.HeaderField) int { return bytes.Compare(x.Name, y.Name) }
	if !slices.IsSortedFunc(headers, byName) {
		var room [usualHeaders]batch.HeaderField
		headers = append(room[:0], headers...)
		slices.SortStableFunc(headers, byName)
	}
	for i := range headers {
		b = appendField(b, secret, headers[i].Name)
		b = appendField(b, secret, headers[i].Value)
	}
	return b
}

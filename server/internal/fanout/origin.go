// Package fanout publishes on NATS what was published over gRPC, for those who only listen there: after commit, in the
// order of offsets, at most once (protocol.md 2.1). Each message carries a marker by which the stream that it came from
// knows it again.
package fanout

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"

	"github.com/google/uuid"
)

// Names of the headers of a fanned out message. Any publisher may use the last two.
const (
	OriginName = "Trestle-Origin"
	KeyName    = "Trestle-Key" // base64
	// TombstoneName with the value 1 makes the record a tombstone (protocol.md 1.15).
	TombstoneName = "Trestle-Tombstone"
)

// Secret authenticates markers. All brokers of a cluster have the same.
type Secret [32]byte

// SecretOf derives the secret of markers from that of the cluster.
func SecretOf(cluster [32]byte) (s Secret) {
	mac := hmac.New(sha256.New, cluster[:])
	mac.Write([]byte("fanout"))
	copy(s[:], mac.Sum(nil))
	return s
}

// Origin is where a fanned out message is stored.
type Origin struct {
	Stream    uuid.UUID
	Group     string // queue group of the stream; "": none
	Partition int32
	Offset    int64
}

// macBytes is how much of the HMAC-SHA-256 a marker carries.
const macBytes = 16

// Mark returns the value of the header OriginName: v1 <stream> <group or -> <partition> <offset> <mac>. The mac is over
// those fields, the subject, the key and the value.
func (s *Secret) Mark(o *Origin, subject, key, value []byte) string {
	fields := o.fields()
	return fields + " " + base64.RawURLEncoding.EncodeToString(s.sum(fields, subject, key, value))
}

func (o *Origin) fields() string {
	group := "-"
	if o.Group != "" {
		group = base64.RawURLEncoding.EncodeToString([]byte(o.Group))
	}
	return fmt.Sprintf("v1 %s %s %d %d", o.Stream, group, o.Partition, o.Offset)
}

// Verify says where the message with that marker comes from, and false if the marker is not one that this cluster made for
// it. It reads no number: which of the cluster's records it is does not matter to anyone.
func (s *Secret) Verify(marker string, subject, key, value []byte) (o Origin, ok bool) {
	at := strings.LastIndexByte(marker, ' ')
	if at < 0 {
		return Origin{}, false
	}
	said, err := base64.RawURLEncoding.DecodeString(marker[at+1:])
	if !mutant("fanout-marker-without-mac") && (err != nil || !hmac.Equal(said, s.sum(marker[:at], subject, key, value))) {
		return Origin{}, false
	}
	fields := strings.Split(marker[:at], " ")
	if len(fields) != 5 || fields[0] != "v1" {
		return Origin{}, false
	}
	if o.Stream, err = uuid.Parse(fields[1]); err != nil {
		return Origin{}, false
	}
	if fields[2] != "-" {
		group, err := base64.RawURLEncoding.DecodeString(fields[2])
		if err != nil {
			return Origin{}, false
		}
		o.Group = string(group)
	}
	return o, true
}

func (s *Secret) sum(fields string, subject, key, value []byte) []byte {
	mac := hmac.New(sha256.New, s[:])
	writeSized(mac, []byte(fields))
	writeSized(mac, subject)
	writeSized(mac, key)
	writeSized(mac, value)
	return mac.Sum(nil)[:macBytes]
}

func writeSized(mac hash.Hash, b []byte) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(b)))
	mac.Write(size[:])
	mac.Write(b)
}

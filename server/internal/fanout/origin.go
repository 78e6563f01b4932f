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
	"strconv"
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

// Marker makes markers and knows them again. It is not safe for concurrent use: what a message costs is in great part what it
// uses again.
type Marker struct {
	mac  hash.Hash
	size [8]byte
	sum  [sha256.Size]byte
	text []byte
	same []byte // the text of the last marker up to its offset
	last Origin
}

// NewMarker makes one for a cluster.
func NewMarker(s *Secret) *Marker { return &Marker{mac: hmac.New(sha256.New, s[:])} }

// Mark returns the value of the header OriginName: v1 <stream> <group or -> <partition> <offset> <mac>. The mac is over
// those fields, the subject, the key and the value.
func (m *Marker) Mark(o *Origin, subject, key, value []byte) string {
	if m.last.Stream != o.Stream || m.last.Group != o.Group || m.last.Partition != o.Partition || m.same == nil {
		m.last, m.same = *o, o.appendPlace(m.same[:0])
	}
	m.text = strconv.AppendInt(append(m.text[:0], m.same...), o.Offset, 10)
	mac := m.over(m.text, subject, key, value)
	m.text = base64.RawURLEncoding.AppendEncode(append(m.text, ' '), mac)
	return string(m.text)
}

// appendPlace appends the fields before the offset.
func (o *Origin) appendPlace(b []byte) []byte {
	group := "-"
	if o.Group != "" {
		group = base64.RawURLEncoding.EncodeToString([]byte(o.Group))
	}
	return fmt.Appendf(b, "v1 %s %s %d ", o.Stream, group, o.Partition)
}

// Verify says where the message with that marker comes from, and false if the marker is not one that this cluster made for
// it. It reads no number: which of the cluster's records it is does not matter to anyone.
func (m *Marker) Verify(marker string, subject, key, value []byte) (o Origin, ok bool) {
	at := strings.LastIndexByte(marker, ' ')
	if at < 0 {
		return Origin{}, false
	}
	m.text = append(m.text[:0], marker[:at]...)
	mac := m.over(m.text, subject, key, value)
	said, err := base64.RawURLEncoding.DecodeString(marker[at+1:])
	if !mutant("fanout-marker-without-mac") && (err != nil || !hmac.Equal(said, mac)) {
		return Origin{}, false
	}
	version, rest, _ := strings.Cut(marker[:at], " ")
	stream, rest, _ := strings.Cut(rest, " ")
	group, rest, _ := strings.Cut(rest, " ")
	if version != "v1" || strings.Count(rest, " ") != 1 { // partition and offset
		return Origin{}, false
	}
	if o.Stream, err = uuid.Parse(stream); err != nil {
		return Origin{}, false
	}
	if group != "-" {
		name, err := base64.RawURLEncoding.DecodeString(group)
		if err != nil {
			return Origin{}, false
		}
		o.Group = string(name)
	}
	return o, true
}

// over is the mac, good until the next call.
func (m *Marker) over(fields, subject, key, value []byte) []byte {
	m.mac.Reset()
	for _, part := range [...][]byte{fields, subject, key, value} {
		binary.BigEndian.PutUint64(m.size[:], uint64(len(part)))
		m.mac.Write(m.size[:])
		m.mac.Write(part)
	}
	return m.mac.Sum(m.sum[:0])[:macBytes]
}

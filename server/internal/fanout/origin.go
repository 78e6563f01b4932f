// Package fanout publishes on NATS what was published over gRPC, for those who only listen there: after commit, in the
// order of offsets, at most once (protocol.md 2.1). Each message carries a marker by which the stream that it came from
// knows it again.
package fanout

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"

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
	mac   hash.Hash
	known *Known
	sum   [sha256.Size]byte
	text  []byte // what the mac is over, but for the value, each part after its length
	same  []byte // the text of the last marker up to its offset
	last  Origin
}

// NewMarker makes one for a cluster. Markers with the same Known know each other's without computing them again; nil: they do not.
func NewMarker(s *Secret, known *Known) *Marker {
	return &Marker{mac: hmac.New(sha256.New, s[:]), known: known}
}

// Append appends the value of the header OriginName: v1 <stream> <group or -> <partition> <offset> <mac>. The mac is over
// those fields, the subject, the key and the value.
func (m *Marker) Append(dst []byte, o *Origin, subject, key, value []byte) []byte {
	if m.last.Stream != o.Stream || m.last.Group != o.Group || m.last.Partition != o.Partition || m.same == nil {
		m.last, m.same = *o, o.appendPlace(m.same[:0])
	}
	at := len(dst)
	dst = strconv.AppendInt(append(dst, m.same...), o.Offset, 10)
	m.gather(dst[at:], subject, key, value)
	dst = append(dst, ' ')
	at = len(dst)
	dst = base64.RawURLEncoding.AppendEncode(dst, m.compute(value))
	if m.known != nil {
		m.known.add(m.known.sumOf(m.text, dst[at:], value))
	}
	return dst
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
func (m *Marker) Verify(marker, subject, key, value []byte) (o Origin, ok bool) {
	at := bytes.LastIndexByte(marker, ' ')
	if at < 0 || !m.made(marker, at, subject, key, value) {
		return Origin{}, false
	}
	version, rest, _ := bytes.Cut(marker[:at], space)
	stream, rest, _ := bytes.Cut(rest, space)
	group, rest, _ := bytes.Cut(rest, space)
	if string(version) != "v1" || bytes.Count(rest, space) != 1 { // partition and offset
		return Origin{}, false
	}
	var err error
	if o.Stream, err = uuid.ParseBytes(stream); err != nil {
		return Origin{}, false
	}
	if string(group) != "-" {
		name, err := base64.RawURLEncoding.AppendDecode(nil, group)
		if err != nil {
			return Origin{}, false
		}
		o.Group = string(name)
	}
	return o, true
}

var space = []byte(" ")

// made says whether this cluster made the marker, whose mac comes after at, for that message.
func (m *Marker) made(marker []byte, at int, subject, key, value []byte) bool {
	mac := marker[at+1:]
	m.gather(marker[:at], subject, key, value)
	if m.known != nil && m.known.has(m.known.sumOf(m.text, mac, value)) {
		return true
	}
	var said [sha256.Size]byte
	if base64.RawURLEncoding.DecodedLen(len(mac)) > len(said) {
		return false
	}
	n, err := base64.RawURLEncoding.Decode(said[:], mac)
	return mutant("fanout-marker-without-mac") || err == nil && hmac.Equal(said[:n], m.compute(value))
}

// gather puts what the mac is over, but for the value, into text.
func (m *Marker) gather(fields, subject, key, value []byte) {
	if m.text = m.text[:0]; cap(m.text) > keptBytes {
		m.text = nil
	}
	for _, part := range [...][]byte{fields, subject, key} {
		m.text = append(binary.BigEndian.AppendUint64(m.text, uint64(len(part))), part...)
	}
	m.text = binary.BigEndian.AppendUint64(m.text, uint64(len(value)))
}

// compute is the mac over text and the value, good until the next call.
func (m *Marker) compute(value []byte) []byte {
	m.mac.Reset()
	m.mac.Write(m.text)
	m.mac.Write(value)
	return m.mac.Sum(m.sum[:0])[:macBytes]
}

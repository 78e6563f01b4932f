package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Wire types of protobuf that occur in what we read.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C of b.
func Checksum(b []byte) uint32 { return crc32.Update(0, castagnoli, b) }

// UpdateChecksum is the CRC-32C of the bytes that gave crc followed by b.
func UpdateChecksum(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }

// paddedLen is the width of the varints that we pad.
const paddedLen = 4

// MaxPaddedLength is the largest number that fits a varint of four bytes.
const MaxPaddedLength = 1<<28 - 1

// PutPaddedLength writes n, at most MaxPaddedLength, as a varint of exactly four bytes.
func PutPaddedLength(b []byte, n int) {
	b[0] = byte(n) | 0x80
	b[1] = byte(n>>7) | 0x80
	b[2] = byte(n>>14) | 0x80
	b[3] = byte(n>>21) & 0x7f
}

// PaddedLength reads what PutPaddedLength wrote. It is false for a varint that is shorter or longer.
func PaddedLength(b []byte) (int, bool) {
	if len(b) < paddedLen || b[0] < 0x80 || b[1] < 0x80 || b[2] < 0x80 || b[3] >= 0x80 {
		return 0, false
	}
	return int(b[0]&0x7f) | int(b[1]&0x7f)<<7 | int(b[2]&0x7f)<<14 | int(b[3])<<21, true
}

// field is one protobuf field as it lies in a message: number, wire type and content. The content of a varint is in
// number form, that of the other types a slice of the message.
type field struct {
	num     uint32
	wire    uint8
	varint  uint64 // with wireVarint; left over from before with the other types
	content []byte // with the other types; left over from before with wireVarint
}

// read sets f to the first field of b and says how many bytes that took.
func (f *field) read(b []byte) (n int, err error) {
	// Nearly all fields are bytes with a number below 16, and shorter than 16 KiB: those are read here.
	if len(b) < 3 || b[0] >= 0x80 || b[0]&7 != wireBytes || b[0] < 1<<3 {
		return f.readAny(b)
	}
	size, from := int(b[1]), 2
	if size >= 0x80 {
		if b[2] >= 0x80 {
			return f.readAny(b)
		}
		size, from = size&0x7f|int(b[2])<<7, 3
	}
	end := from + size
	if end > len(b) {
		return f.readAny(b)
	}
	f.num, f.wire, f.content = uint32(b[0]>>3), wireBytes, b[from:end:end]
	return end, nil
}

// readAny is read for all fields.
func (f *field) readAny(b []byte) (n int, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 >= 1<<29 || n > 1 && b[n-1] == 0 { // the last: longer than it need be
		return 0, fmt.Errorf("%w: bad tag", ErrCorrupt)
	}
	f.num, f.wire = uint32(tag>>3), uint8(tag&7)
	rest := b[n:]
	switch f.wire {
	case wireVarint:
		v, m := binary.Uvarint(rest)
		if m <= 0 {
			return 0, fmt.Errorf("%w: bad varint in field %d", ErrCorrupt, f.num)
		}
		f.varint = v
		return n + m, nil
	case wireFixed64:
		return f.take(rest, n, 0, 8)
	case wireFixed32:
		return f.take(rest, n, 0, 4)
	case wireBytes:
		size, m := binary.Uvarint(rest)
		if m <= 0 || size > uint64(len(rest)-m) {
			return 0, fmt.Errorf("%w: field %d is longer than what holds it", ErrCorrupt, f.num)
		}
		return f.take(rest, n, m, int(size))
	default:
		return 0, fmt.Errorf("%w: field %d has wire type %d", ErrCorrupt, f.num, f.wire)
	}
}

// take sets the content to size bytes of rest from skip on; before is what the tag took.
func (f *field) take(rest []byte, before, skip, size int) (int, error) {
	if len(rest)-skip < size {
		return 0, fmt.Errorf("%w: field %d is longer than what holds it", ErrCorrupt, f.num)
	}
	f.content = rest[skip : skip+size : skip+size]
	return before + skip + size, nil
}

func uvarintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// bytesFieldLen is the size of a field below 16 with content b.
func bytesFieldLen(b []byte) int { return 1 + uvarintLen(uint64(len(b))) + len(b) }

// appendBytesField appends a field below 16 with content b.
func appendBytesField(dst []byte, num uint32, b []byte) []byte {
	dst = append(dst, byte(num<<3|wireBytes))
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func appendVarintField(dst []byte, num uint32, v uint64) []byte {
	dst = append(dst, byte(num<<3|wireVarint))
	return binary.AppendUvarint(dst, v)
}

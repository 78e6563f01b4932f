package envelope

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxSize is the length in bytes of the largest frame that is written or read: the largest message that a stream takes.
const MaxSize = 64 << 20

const (
	magic   = "\xB9\x0E\x43\xB4"
	version = 0

	atVersion      = 4
	atHeaderLength = 5
	atFlags        = 6
	atType         = 7
	atCRC          = 8

	plainHeader   = 8
	checkedHeader = 12

	flagCRC = 1 << 0
)

// frameType is what the payload of a frame is. Liftbridge's brokers use further types among themselves.
type frameType byte

const (
	typeMessage frameType = 0
	typeAck     frameType = 1
)

func (t frameType) String() string {
	switch t {
	case typeMessage:
		return "a message"
	case typeAck:
		return "an ack"
	default:
		return fmt.Sprintf("what only brokers read (type %d)", byte(t))
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openFrame returns the payload of a frame of type want, and whether a CRC covers it. Flags other than the CRC's and
// header bytes behind the eighth are passed over, as Liftbridge does.
func openFrame(frame []byte, want frameType) (payload []byte, checked bool, err error) {
	if len(frame) < len(magic) || string(frame[:len(magic)]) != magic {
		return nil, false, ErrNotEnvelope
	}
	if len(frame) < plainHeader {
		return nil, false, fmt.Errorf("%w: %d bytes, a header has %d", ErrMalformed, len(frame), plainHeader)
	}
	if len(frame) > MaxSize {
		return nil, false, fmt.Errorf("%w: a frame of %d bytes, the limit is %d", ErrTooLarge, len(frame), MaxSize)
	}
	if frame[atVersion] != version && !mutant("envelope-version-unchecked") {
		return nil, false, fmt.Errorf("%w: version %d, known is %d", ErrUnsupported, frame[atVersion], version)
	}
	if got := frameType(frame[atType]); got != want && !mutant("envelope-type-unchecked") {
		return nil, false, fmt.Errorf("%w: it holds %v, wanted is %v", ErrUnsupported, got, want)
	}
	length := int(frame[atHeaderLength])
	if (length < plainHeader || length > len(frame)) && !mutant("envelope-header-length-unchecked") {
		return nil, false, fmt.Errorf("%w: a header of %d bytes in a frame of %d", ErrMalformed, length, len(frame))
	}
	payload = frame[length:]
	if frame[atFlags]&flagCRC == 0 {
		return payload, false, nil
	}
	if length != checkedHeader {
		return nil, false, fmt.Errorf("%w: a header of %d bytes, with a CRC it has %d", ErrMalformed, length, checkedHeader)
	}
	said, is := binary.BigEndian.Uint32(frame[atCRC:]), crc32.Checksum(payload, castagnoli)
	if said != is && !mutant("envelope-checksum-unchecked") {
		return nil, false, fmt.Errorf("%w: the header says %08x, the payload has %08x: damaged on its way, publish it again",
			ErrChecksum, said, is)
	}
	return payload, true, nil
}

// beginFrame appends a header to dst and makes room for a payload of size bytes behind it.
func beginFrame(dst []byte, t frameType, checked bool, size int) ([]byte, error) {
	length, flags := plainHeader, byte(0)
	if checked {
		length, flags = checkedHeader, flagCRC
	}
	if size > MaxSize-length {
		return dst, fmt.Errorf("%w: a frame of %d bytes, the limit is %d: send less", ErrTooLarge, length+size, MaxSize)
	}
	if dst == nil {
		dst = make([]byte, 0, length+size)
	}
	dst = slices.Grow(dst, length+size)
	dst = append(dst, magic...)
	dst = append(dst, version, byte(length), flags, byte(t))
	if checked {
		dst = append(dst, 0, 0, 0, 0)
	}
	return dst, nil
}

// sealFrame writes the CRC of a whole frame into it, if it has room for one.
func sealFrame(frame []byte) {
	if frame[atFlags]&flagCRC != 0 {
		binary.BigEndian.PutUint32(frame[atCRC:], crc32.Checksum(frame[checkedHeader:], castagnoli))
	}
}

// field is one protobuf field as it lies in a message. Its tag is number and wire type together, so that a known number
// with a foreign wire type is an unknown field, as protobuf has it. Only the content of varints and byte fields is kept.
type field struct {
	tag     uint64
	varint  uint64
	content []byte
}

// nextField takes the first field off b and returns how many bytes it took.
func nextField(b []byte) (f field, n int, err error) {
	num, wire, n := protowire.ConsumeTag(b)
	if n < 0 {
		return field{}, 0, fmt.Errorf("%w: bad tag: %w", ErrMalformed, protowire.ParseError(n))
	}
	if num > protowire.MaxValidNumber { // protowire lets these through, generated code does not
		return field{}, 0, fmt.Errorf("%w: field number %d", ErrMalformed, num)
	}
	f.tag = protowire.EncodeTag(num, wire)
	var size int
	switch wire {
	case protowire.VarintType:
		f.varint, size = protowire.ConsumeVarint(b[n:])
	case protowire.BytesType:
		f.content, size = protowire.ConsumeBytes(b[n:])
		f.content = slices.Clip(f.content)
	default:
		size = protowire.ConsumeFieldValue(num, wire, b[n:])
	}
	if size < 0 {
		return field{}, 0, fmt.Errorf("%w: field %d: %w", ErrMalformed, num, protowire.ParseError(size))
	}
	return f, n + size, nil
}

// size returns how many bytes append writes.
func (f field) size() int {
	switch {
	case f.absent():
		return 0
	case f.tag&7 == uint64(protowire.VarintType):
		return protowire.SizeVarint(f.tag) + protowire.SizeVarint(f.varint)
	default:
		return protowire.SizeVarint(f.tag) + protowire.SizeBytes(len(f.content))
	}
}

func (f field) append(dst []byte) []byte {
	if f.absent() {
		return dst
	}
	dst = protowire.AppendVarint(dst, f.tag)
	if f.tag&7 == uint64(protowire.VarintType) {
		return protowire.AppendVarint(dst, f.varint)
	}
	return protowire.AppendBytes(dst, f.content)
}

// absent says that the field is not written: a varint of 0, bytes that are nil.
func (f field) absent() bool { return f.varint == 0 && f.content == nil }

// nonEmpty returns b, or nil for an empty b.
func nonEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version of the batch layout that is written here.
const Version = 1

// HeaderSize is the length in bytes of the header that is written here: all that stands before the body's content.
const HeaderSize = 106

// MaxSize is the size in bytes that no batch exceeds.
const MaxSize = MaxPaddedLength

// Places in the header, in bytes from the element's tag. Each is that of the value; its tag is the byte before.
const (
	atLength           = 1
	atMagic            = 6
	atHeaderCRC        = 11
	atBodyCRC          = 16
	atAttributes       = 21
	atRecordCount      = 26
	atLastOffsetDelta  = 31
	atSeq              = 36
	atBaseOffset       = 45
	atLeaderEpoch      = 54
	atTime             = 63
	atPreviousCRC      = 72
	atPartitionTag     = 77
	atProducerID       = 82
	atProducerEpoch    = 91
	atProducerSequence = 96
	atExtension        = 100 // where fields of later versions begin, and the body tag of this one stands
)

// elementPrefix is the size of the tag and the length of an element of a file.
const elementPrefix = 1 + paddedLen

// bodyPrefix is the size of the tag and the length of the body.
const bodyPrefix = 2 + paddedLen

// Tag of a batch in trestle.v1.Batches.
const Tag = 0x0a

// headerTemplate is a header with every tag in its place and every value zero but the magic.
var headerTemplate = func() (h [HeaderSize]byte) {
	h[0] = Tag
	for num, at := range map[byte]int{
		1: atMagic, 2: atHeaderCRC, 3: atBodyCRC, 4: atAttributes, 5: atRecordCount, 6: atLastOffsetDelta,
		11: atPreviousCRC, 12: atPartitionTag, 14: atProducerEpoch, 15: atProducerSequence,
	} {
		h[at-1] = num<<3 | wireFixed32
	}
	for num, at := range map[byte]int{7: atSeq, 8: atBaseOffset, 9: atLeaderEpoch, 10: atTime, 13: atProducerID} {
		h[at-1] = num<<3 | wireFixed64
	}
	copy(h[atMagic:], []byte{'T', 'R', HeaderSize, Version})
	return h
}()

// Attributes of a batch.
type Attributes uint32

// Bits of Attributes. The lowest two hold the codec.
const (
	CodecMask     Attributes = 1<<2 - 1
	Zstd          Attributes = 1
	IsControl     Attributes = 1 << 2
	Captured      Attributes = 1 << 3 // came from a NATS subject
	Recovered     Attributes = 1 << 4 // captured, and appended by a new leader after a failover
	HasMessageIDs Attributes = 1 << 5
	Encrypted     Attributes = 1 << 6

	mustUnderstand Attributes = 0xff << 24
)

// Errors of reading. What is returned wraps one of them and says more.
var (
	// ErrCorrupt means that the bytes are not, or no longer, what was written.
	ErrCorrupt = errors.New("corrupt batch")
	// ErrShort means that the bytes end before the batch does.
	ErrShort = errors.New("batch cut short")
	// ErrVersion means that the batch was written by a later version and cannot be understood by this one.
	ErrVersion = errors.New("batch of an unknown version")
)

// BodyKind says what the body of a batch is. Its values are the numbers of the body's fields.
type BodyKind uint8

// Kinds of body.
const (
	BodyRecords BodyKind = 16
	BodyPacked  BodyKind = 17
	BodyControl BodyKind = 18
)

// Header is what a batch says of itself before its body.
type Header struct {
	Attributes       Attributes
	RecordCount      uint32
	LastOffsetDelta  int32
	Seq              uint64
	BaseOffset       int64
	LeaderEpoch      uint64
	Time             int64 // unix nanoseconds
	PreviousCRC      uint32
	PartitionTag     uint32
	ProducerID       uint64
	ProducerEpoch    uint32
	ProducerSequence uint32

	HeaderCRC  uint32
	BodyCRC    uint32
	Body       BodyKind
	HeaderSize int // bytes before the body's content
	Size       int // bytes of the whole batch
}

// NextOffset is the offset that follows the batch. A control batch takes none.
func (h *Header) NextOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) + 1 }

// Control says whether the batch has no records and takes no offset.
func (h *Header) Control() bool { return h.Attributes&IsControl != 0 }

// Codec of the body.
func (h *Header) Codec() Attributes { return h.Attributes & CodecMask }

// Size reads from the first bytes of a batch, at least five, how many bytes it has. Nothing is checked but the tag
// and the form of the length.
func Size(b []byte) (int, error) {
	if len(b) < elementPrefix {
		return 0, fmt.Errorf("%w: %d bytes", ErrShort, len(b))
	}
	n, ok := PaddedLength(b[atLength:])
	if b[0] != Tag || !ok {
		return 0, fmt.Errorf("%w: no batch begins here", ErrCorrupt)
	}
	return elementPrefix + n, nil
}

// ParseHeader reads the header at the start of b, which needs to hold the header only. The header has passed its CRC
// when there is no error; the body has not been looked at.
func ParseHeader(b []byte) (Header, error) {
	size, err := Size(b)
	if err != nil {
		return Header{}, err
	}
	if size < HeaderSize {
		return Header{}, fmt.Errorf("%w: a batch of %d bytes", ErrCorrupt, size)
	}
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes of header", ErrShort, len(b))
	}
	if b[atMagic] != 'T' || b[atMagic+1] != 'R' {
		return Header{}, fmt.Errorf("%w: magic missing", ErrCorrupt)
	}
	headerSize, version := int(b[atMagic+2]), b[atMagic+3]
	if headerSize < HeaderSize || size < headerSize {
		return Header{}, fmt.Errorf("%w: header of %d bytes in a batch of %d", ErrCorrupt, headerSize, size)
	}
	if len(b) < headerSize {
		return Header{}, fmt.Errorf("%w: %d of %d bytes of header", ErrShort, len(b), headerSize)
	}
	if got, want := headerChecksum(b[:headerSize]), le32(b[atHeaderCRC:]); got != want {
		return Header{}, fmt.Errorf("%w: header crc is %08x, header says %08x", ErrCorrupt, got, want)
	}
	if version != Version {
		return Header{}, fmt.Errorf("%w: batch version %d, this program knows %d", ErrVersion, version, Version)
	}
	h := decodeHeader(b)
	h.HeaderSize, h.Size = headerSize, size
	return h, h.check(b)
}

func decodeHeader(b []byte) Header {
	return Header{
		HeaderCRC:        le32(b[atHeaderCRC:]),
		BodyCRC:          le32(b[atBodyCRC:]),
		Attributes:       Attributes(le32(b[atAttributes:])),
		RecordCount:      le32(b[atRecordCount:]),
		LastOffsetDelta:  int32(le32(b[atLastOffsetDelta:])),
		Seq:              le64(b[atSeq:]),
		BaseOffset:       int64(le64(b[atBaseOffset:])),
		LeaderEpoch:      le64(b[atLeaderEpoch:]),
		Time:             int64(le64(b[atTime:])),
		PreviousCRC:      le32(b[atPreviousCRC:]),
		PartitionTag:     le32(b[atPartitionTag:]),
		ProducerID:       le64(b[atProducerID:]),
		ProducerEpoch:    le32(b[atProducerEpoch:]),
		ProducerSequence: le32(b[atProducerSequence:]),
	}
}

// check looks at what the CRC cannot: that a header whose bytes are as they were written makes sense.
func (h *Header) check(b []byte) error {
	if unknown := h.Attributes & mustUnderstand; unknown != 0 {
		return fmt.Errorf("%w: attribute bits %08x must be understood and are not", ErrVersion, uint32(unknown))
	}
	for at := range atExtension {
		if isTag[at] && b[at] != headerTemplate[at] {
			return fmt.Errorf("%w: tag %02x at byte %d of the header", ErrCorrupt, b[at], at)
		}
	}
	body := b[h.HeaderSize-bodyPrefix : h.HeaderSize]
	length, ok := PaddedLength(body[2:])
	num := int(body[0]&0x7f)>>3 | int(body[1])<<4
	if !ok || h.HeaderSize+length != h.Size || body[0]&0x87 != 0x80|wireBytes || num < int(BodyRecords) || num > int(BodyControl) {
		return fmt.Errorf("%w: body tag or length", ErrCorrupt)
	}
	h.Body = BodyKind(num)
	return h.checkKind()
}

func (h *Header) checkKind() error {
	switch {
	case h.Control() != (h.Body == BodyControl), h.Control() && (h.RecordCount != 0 || h.LastOffsetDelta != -1):
		return fmt.Errorf("%w: control batch with records, or records in a control batch", ErrCorrupt)
	case h.Control():
		return nil
	case h.RecordCount == 0, h.LastOffsetDelta < 0, int64(h.RecordCount) > int64(h.LastOffsetDelta)+1:
		return fmt.Errorf("%w: %d records, last offset delta %d", ErrCorrupt, h.RecordCount, h.LastOffsetDelta)
	case h.BaseOffset < 0, h.NextOffset() < h.BaseOffset:
		return fmt.Errorf("%w: base offset %d", ErrCorrupt, h.BaseOffset)
	case (h.Codec() != 0) != (h.Body == BodyPacked):
		return fmt.Errorf("%w: codec %d with body field %d", ErrCorrupt, h.Codec(), h.Body)
	case h.Codec() > Zstd:
		return fmt.Errorf("%w: codec %d is not known", ErrVersion, h.Codec())
	}
	return nil
}

var isTag = func() (tags [atExtension]bool) {
	for at := range tags {
		tags[at] = at == 0
	}
	for _, at := range []int{
		atMagic, atHeaderCRC, atBodyCRC, atAttributes, atRecordCount, atLastOffsetDelta, atSeq, atBaseOffset,
		atLeaderEpoch, atTime, atPreviousCRC, atPartitionTag, atProducerID, atProducerEpoch, atProducerSequence,
	} {
		tags[at-1] = true
	}
	return tags
}()

// Parse reads the batch at the start of b, which may go on after it. Header and body have passed their CRCs when there
// is no error; the records have not been looked at.
func Parse(b []byte) (Header, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return h, err
	}
	if len(b) < h.Size {
		return h, fmt.Errorf("%w: %d of %d bytes", ErrShort, len(b), h.Size)
	}
	if got := Checksum(h.BodyOf(b)); got != h.BodyCRC {
		return h, fmt.Errorf("%w: body crc is %08x, header says %08x", ErrCorrupt, got, h.BodyCRC)
	}
	return h, nil
}

// BodyOf is the body's content in b, which begins with the batch that gave h.
func (h *Header) BodyOf(b []byte) []byte { return b[h.HeaderSize:h.Size:h.Size] }

// Stamp is what a leader gives to a batch when it appends it.
type Stamp struct {
	Seq          uint64
	BaseOffset   int64
	LeaderEpoch  uint64
	Time         int64 // unix nanoseconds
	PreviousCRC  uint32
	PartitionTag uint32
}

// Put stamps s into the batch b, in place, and returns the new header CRC. Only the header of b is read.
func (s *Stamp) Put(b []byte) uint32 {
	put64(b[atSeq:], s.Seq)
	put64(b[atBaseOffset:], uint64(s.BaseOffset))
	put64(b[atLeaderEpoch:], s.LeaderEpoch)
	put64(b[atTime:], uint64(s.Time))
	put32(b[atPreviousCRC:], s.PreviousCRC)
	put32(b[atPartitionTag:], s.PartitionTag)
	return seal(b)
}

// seal computes the header CRC of b and puts it in its place.
func seal(b []byte) uint32 {
	crc := headerChecksum(b[:b[atMagic+2]])
	put32(b[atHeaderCRC:], crc)
	return crc
}

func headerChecksum(header []byte) uint32 {
	crc := Checksum(header[:atHeaderCRC-1])
	return UpdateChecksum(crc, header[atHeaderCRC+4:])
}

// putHeader writes h over the first HeaderSize bytes of b, a batch of len(b) bytes whose body is in place, and seals it.
// The lengths and the header CRC are those of b, whatever h says.
func putHeader(b []byte, h *Header) {
	copy(b, headerTemplate[:])
	PutPaddedLength(b[atLength:], len(b)-elementPrefix)
	put32(b[atBodyCRC:], h.BodyCRC)
	put32(b[atAttributes:], uint32(h.Attributes))
	put32(b[atRecordCount:], h.RecordCount)
	put32(b[atLastOffsetDelta:], uint32(h.LastOffsetDelta))
	put64(b[atProducerID:], h.ProducerID)
	put32(b[atProducerEpoch:], h.ProducerEpoch)
	put32(b[atProducerSequence:], h.ProducerSequence)
	b[atExtension] = byte(h.Body)<<3&0x7f | 0x80 | wireBytes
	b[atExtension+1] = byte(h.Body) >> 4
	PutPaddedLength(b[atExtension+2:], len(b)-HeaderSize)
	s := Stamp{
		Seq: h.Seq, BaseOffset: h.BaseOffset, LeaderEpoch: h.LeaderEpoch, Time: h.Time,
		PreviousCRC: h.PreviousCRC, PartitionTag: h.PartitionTag,
	}
	s.Put(b)
}

// PartitionTag is the tag that the batches of a log carry.
func PartitionTag(partitionUUID [16]byte, logID uint32) uint32 {
	return UpdateChecksum(Checksum(partitionUUID[:]), binary.LittleEndian.AppendUint32(nil, logID))
}

func le32(b []byte) uint32     { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64     { return binary.LittleEndian.Uint64(b) }
func put32(b []byte, v uint32) { binary.LittleEndian.PutUint32(b, v) }
func put64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }

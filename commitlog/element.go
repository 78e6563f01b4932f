package commitlog

import (
	"encoding/binary"
	"fmt"

	"github.com/trestlehq/trestle/proto/batch"
)

// The elements of a segment file besides batches. Layouts are drawn in DESIGN.md and declared in
// proto/trestle/v1/log.proto; every field is written, so each has its place.

const (
	headerTag     = 0x12 // field 2 of Batches
	footerTag     = 0x1a // field 3 of Batches
	prefixSize    = 5    // tag and padded length of an element
	formatVersion = 1

	segmentHeaderSize = 75
	segmentFooterSize = 74
)

// Places in a segment header.
const (
	headerAtMagic      = 6
	headerAtFormat     = 11
	headerAtUUID       = 17
	headerAtLogID      = 34
	headerAtBaseSeq    = 39
	headerAtBaseOffset = 48
	headerAtCreated    = 57
	headerAtGeneration = 66
	headerAtCRC        = 71
)

// segmentHeader is the first element of a segment file.
type segmentHeader struct {
	partition  [16]byte
	logID      uint32
	base       Position
	created    int64 // unix nanoseconds
	generation uint32
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderSize)
	b[0] = headerTag
	batch.PutPaddedLength(b[1:], segmentHeaderSize-prefixSize)
	for at, tag := range map[int]byte{
		headerAtMagic: 0x0d, headerAtFormat: 0x15, headerAtLogID: 0x25, headerAtBaseSeq: 0x29, headerAtBaseOffset: 0x31,
		headerAtCreated: 0x39, headerAtGeneration: 0x45, headerAtCRC: 0x4d,
	} {
		b[at-1] = tag
	}
	copy(b[headerAtMagic:], []byte{'T', 'S', segmentHeaderSize, formatVersion})
	binary.LittleEndian.PutUint32(b[headerAtFormat:], formatVersion)
	b[headerAtUUID-2], b[headerAtUUID-1] = 0x1a, byte(len(h.partition))
	copy(b[headerAtUUID:], h.partition[:])
	binary.LittleEndian.PutUint32(b[headerAtLogID:], h.logID)
	binary.LittleEndian.PutUint64(b[headerAtBaseSeq:], h.base.Seq)
	binary.LittleEndian.PutUint64(b[headerAtBaseOffset:], uint64(h.base.Offset))
	binary.LittleEndian.PutUint64(b[headerAtCreated:], uint64(h.created))
	binary.LittleEndian.PutUint32(b[headerAtGeneration:], h.generation)
	binary.LittleEndian.PutUint32(b[headerAtCRC:], batch.Checksum(b[:headerAtCRC]))
	return b
}

// parseSegmentHeader reads the header at the start of b and the number of bytes it takes, which a later version may
// have made larger.
func parseSegmentHeader(b []byte) (segmentHeader, int, error) {
	var h segmentHeader
	size, err := elementSize(b, headerTag, segmentHeaderSize)
	if err != nil {
		return h, 0, fmt.Errorf("segment header: %w", err)
	}
	if string(b[headerAtMagic:headerAtMagic+2]) != "TS" {
		return h, 0, fmt.Errorf("segment header: %w: magic missing", batch.ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint32(b[headerAtFormat:]); v != formatVersion {
		return h, 0, fmt.Errorf("segment header: %w: format %d, this program knows %d", ErrNewer, v, formatVersion)
	}
	copy(h.partition[:], b[headerAtUUID:])
	h.logID = binary.LittleEndian.Uint32(b[headerAtLogID:])
	h.base.Seq = binary.LittleEndian.Uint64(b[headerAtBaseSeq:])
	h.base.Offset = int64(binary.LittleEndian.Uint64(b[headerAtBaseOffset:]))
	h.created = int64(binary.LittleEndian.Uint64(b[headerAtCreated:]))
	h.generation = binary.LittleEndian.Uint32(b[headerAtGeneration:])
	return h, size, nil
}

// Places in a segment footer.
const (
	footerAtLastSeq    = 6
	footerAtNextOffset = 15
	footerAtLastTime   = 24
	footerAtLastEpoch  = 33
	footerAtBytes      = 42
	footerAtRecords    = 51
	footerAtDigest     = 60
	footerAtLastCRC    = 65
	footerAtCRC        = 70
)

// segmentFooter is the last element of a sealed segment file.
type segmentFooter struct {
	end     Position  // after the last batch, as first written
	last    lastBatch // of the segment, as first written
	bytes   int64     // of the file before the footer
	records uint64
	digest  uint32 // CRC-32C over the header CRCs of all batches
}

func (f *segmentFooter) encode() []byte {
	b := make([]byte, segmentFooterSize)
	b[0] = footerTag
	batch.PutPaddedLength(b[1:], segmentFooterSize-prefixSize)
	for at, tag := range map[int]byte{
		footerAtLastSeq: 0x09, footerAtNextOffset: 0x11, footerAtLastTime: 0x19, footerAtLastEpoch: 0x21,
		footerAtBytes: 0x29, footerAtRecords: 0x31, footerAtDigest: 0x3d, footerAtLastCRC: 0x45, footerAtCRC: 0x4d,
	} {
		b[at-1] = tag
	}
	binary.LittleEndian.PutUint64(b[footerAtLastSeq:], f.end.Seq-1)
	binary.LittleEndian.PutUint64(b[footerAtNextOffset:], uint64(f.end.Offset))
	binary.LittleEndian.PutUint64(b[footerAtLastTime:], uint64(f.last.time))
	binary.LittleEndian.PutUint64(b[footerAtLastEpoch:], f.last.epoch)
	binary.LittleEndian.PutUint64(b[footerAtBytes:], uint64(f.bytes))
	binary.LittleEndian.PutUint64(b[footerAtRecords:], f.records)
	binary.LittleEndian.PutUint32(b[footerAtDigest:], f.digest)
	binary.LittleEndian.PutUint32(b[footerAtLastCRC:], f.last.crc)
	binary.LittleEndian.PutUint32(b[footerAtCRC:], batch.Checksum(b[:footerAtCRC]))
	return b
}

// parseSegmentFooter reads the footer at the start of b.
func parseSegmentFooter(b []byte) (segmentFooter, error) {
	if _, err := elementSize(b, footerTag, segmentFooterSize); err != nil {
		return segmentFooter{}, fmt.Errorf("segment footer: %w", err)
	}
	return segmentFooter{
		end: Position{
			Seq:    binary.LittleEndian.Uint64(b[footerAtLastSeq:]) + 1,
			Offset: int64(binary.LittleEndian.Uint64(b[footerAtNextOffset:])),
		},
		last: lastBatch{
			crc:   binary.LittleEndian.Uint32(b[footerAtLastCRC:]),
			time:  int64(binary.LittleEndian.Uint64(b[footerAtLastTime:])),
			epoch: binary.LittleEndian.Uint64(b[footerAtLastEpoch:]),
		},
		bytes:   int64(binary.LittleEndian.Uint64(b[footerAtBytes:])),
		records: binary.LittleEndian.Uint64(b[footerAtRecords:]),
		digest:  binary.LittleEndian.Uint32(b[footerAtDigest:]),
	}, nil
}

// elementSize checks tag, length and CRC of the element at the start of b and returns its size in bytes, at least
// least: a later version may have added fields. The last four bytes are the CRC of all before them.
func elementSize(b []byte, tag byte, least int) (int, error) {
	if len(b) < least {
		return 0, fmt.Errorf("%w: %d of %d bytes", batch.ErrShort, len(b), least)
	}
	n, ok := batch.PaddedLength(b[1:])
	size := n + prefixSize
	if b[0] != tag || !ok || size < least {
		return 0, fmt.Errorf("%w: tag %02x, length %d", batch.ErrCorrupt, b[0], n)
	}
	if len(b) < size {
		return 0, fmt.Errorf("%w: %d of %d bytes", batch.ErrShort, len(b), size)
	}
	crc := binary.LittleEndian.Uint32(b[size-4:])
	if got := batch.Checksum(b[:size-4]); got != crc {
		return 0, fmt.Errorf("%w: crc is %08x, file says %08x", batch.ErrCorrupt, got, crc)
	}
	return size, nil
}

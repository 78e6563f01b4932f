package commitlog

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// valueChange encodes records anew with other values. All else stays as it is, what is unknown included.
type valueChange struct {
	grows  int // bytes by which a value becomes longer
	change func(dst, key, value []byte) ([]byte, error)
}

// batch appends the batch b, which gave h, to dst with other values and those attributes. It is not larger than MaxSize, or
// size has said so.
func (c *valueChange) batch(dst []byte, h *batch.Header, b []byte, attributes batch.Attributes) ([]byte, error) {
	from := h.BodyOf(b)
	size, err := c.size(from)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = slices.Grow(dst, batch.HeaderSize+size)
	// The body is written where it will stand behind the header.
	at := start + batch.HeaderSize
	body := dst[at:at:cap(dst)]
	for err == nil && len(from) > 0 {
		var f field
		if f, err = readField(from); err != nil {
			break
		}
		if f.number == fieldRecord && f.wire == wireBytes {
			body, err = c.record(body, f.content)
		} else {
			body = append(body, f.bytes...)
		}
		from = from[len(f.bytes):]
	}
	if err != nil {
		return dst, err
	}
	changed := *h
	changed.Attributes, changed.BodyCRC = attributes, batch.Checksum(body)
	return batch.Append(dst, &changed, body), nil
}

// size is how many bytes change makes of the encoded Records.
func (c *valueChange) size(records []byte) (int, error) {
	n := 0
	for len(records) > 0 {
		f, err := readField(records)
		if err != nil {
			return 0, err
		}
		records = records[len(f.bytes):]
		if f.number != fieldRecord || f.wire != wireBytes {
			n += len(f.bytes)
			continue
		}
		content, _, err := c.recordSize(f.content)
		if err != nil {
			return 0, err
		}
		n += 1 + uvarintLen(content) + content
	}
	return n, nil
}

// recordSize is how many bytes change makes of an encoded Record, and its key.
func (c *valueChange) recordSize(record []byte) (n int, key []byte, err error) {
	for len(record) > 0 {
		f, err := readField(record)
		if err != nil {
			return 0, nil, err
		}
		record = record[len(f.bytes):]
		if (f.number == fieldKey || f.number == fieldValue) && f.wire != wireBytes {
			return 0, nil, fmt.Errorf("record: %w: field %d has wire type %d", batch.ErrCorrupt, f.number, f.wire)
		}
		if f.number != fieldValue {
			n += len(f.bytes)
			if f.number == fieldKey {
				key = f.content
			}
			continue
		}
		value := len(f.content) + c.grows
		if value < 0 {
			return 0, nil, fmt.Errorf("record: %w: %d bytes are too few for an encrypted value", batch.ErrCorrupt, len(f.content))
		}
		n += 1 + uvarintLen(value) + value
	}
	return n, key, nil
}

// record appends an encoded Record, as a field of Records, with another value.
func (c *valueChange) record(dst, record []byte) ([]byte, error) {
	size, key, err := c.recordSize(record)
	if err != nil {
		return dst, err
	}
	dst = append(dst, fieldRecord<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(size))
	for len(record) > 0 {
		f, err := readField(record)
		if err != nil {
			return dst, err
		}
		record = record[len(f.bytes):]
		if f.number != fieldValue {
			dst = append(dst, f.bytes...)
			continue
		}
		dst = append(dst, fieldValue<<3|wireBytes)
		dst = binary.AppendUvarint(dst, uint64(len(f.content)+c.grows))
		if dst, err = c.change(dst, key, f.content); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// Wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// field is a protobuf field as it lies in a message.
type field struct {
	number  uint64
	wire    uint8
	bytes   []byte // all of it, with its tag
	content []byte // of a field of wireBytes
}

// readField reads the first field of b.
func readField(b []byte) (field, error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 >= 1<<29 {
		return field{}, fmt.Errorf("%w: bad tag", batch.ErrCorrupt)
	}
	f := field{number: tag >> 3, wire: uint8(tag & 7)}
	end := n
	switch f.wire {
	case wireVarint:
		_, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return field{}, fmt.Errorf("%w: bad varint in field %d", batch.ErrCorrupt, f.number)
		}
		end += m
	case wireFixed64:
		end += 8
	case wireFixed32:
		end += 4
	case wireBytes:
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || length > uint64(len(b)-n-m) {
			return field{}, fmt.Errorf("%w: field %d is longer than what holds it", batch.ErrCorrupt, f.number)
		}
		end += m + int(length)
		f.content = b[n+m : end : end]
	default:
		return field{}, fmt.Errorf("%w: field %d has wire type %d", batch.ErrCorrupt, f.number, f.wire)
	}
	if end > len(b) {
		return field{}, fmt.Errorf("%w: field %d is longer than what holds it", batch.ErrCorrupt, f.number)
	}
	f.bytes = b[:end:end]
	return f, nil
}

// uvarintLen is the size in bytes of n, which is not negative, as a varint.
func uvarintLen(n int) int {
	size := 1
	for n >= 0x80 {
		n >>= 7
		size++
	}
	return size
}

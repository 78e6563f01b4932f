package batch

import (
	"bytes"
	"slices"
)

// Append appends a batch with the given body to dst. Of h it takes all but the sizes and the header CRC, which it finds
// out; h.BodyCRC is taken as it is, so that a checksum made by whoever made the body goes with it end to end. Header and
// body together may not exceed MaxSize.
func Append(dst []byte, h *Header, body []byte) []byte {
	start := len(dst)
	dst = append(dst, headerTemplate[:]...)
	dst = append(dst, body...)
	putHeader(dst[start:], h)
	return dst
}

// Frame is Append in place: b has the body behind HeaderSize bytes of any content, and is the batch afterwards.
func Frame(b []byte, h *Header) {
	copy(b, headerTemplate[:])
	putHeader(b, h)
}

// Builder gathers single records into a batch. The zero value is ready after Reset. It is not safe for concurrent use.
type Builder struct {
	buf        []byte // header, then body
	subject    []byte // default subject, as it stands in buf
	count      uint32
	attributes Attributes
}

// Reset begins a new batch whose records share the subject unless they name another; nil for none. Memory is kept, so
// what Finish returned before is overwritten.
func (b *Builder) Reset(subject []byte) {
	b.buf = append(b.buf[:0], headerTemplate[:]...)
	b.count, b.attributes = 0, 0
	b.subject = append(b.subject[:0], subject...)
	if len(subject) > 0 {
		b.buf = appendBytesField(b.buf, recordsSubject, subject)
	}
}

// Grow makes room for a batch of that size in bytes. It is called before Reset.
func (b *Builder) Grow(size int) { b.buf = slices.Grow(b.buf[:0], size) }

// Append adds a record. The bytes are copied. The caller sees to it that the batch does not exceed MaxSize.
func (b *Builder) Append(r *Record) {
	stored := *r
	if bytes.Equal(stored.Subject, b.subject) {
		stored.Subject = nil
	}
	b.buf = AppendRecord(b.buf, &stored)
	b.count++
	if stored.MessageID() != nil {
		b.attributes |= HasMessageIDs
	}
}

// Count is the number of records appended since Reset.
func (b *Builder) Count() int { return int(b.count) }

// Size is the size in bytes that the batch would have now.
func (b *Builder) Size() int { return len(b.buf) }

// Finish returns the batch, complete but for what a leader stamps into it. It holds at least one record and aliases
// the builder until the next Reset.
func (b *Builder) Finish(attributes Attributes) []byte {
	h := Header{
		Attributes:      attributes | b.attributes,
		RecordCount:     b.count,
		LastOffsetDelta: int32(b.count) - 1,
		BodyCRC:         Checksum(b.buf[HeaderSize:]),
		Body:            BodyRecords,
	}
	putHeader(b.buf, &h)
	return b.buf
}

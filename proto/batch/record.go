package batch

import (
	"fmt"
	"math"
)

// Numbers of the fields of Records.
const (
	recordsRecord  = 1
	recordsDeltas  = 2
	recordsSubject = 3
	recordsReply   = 4
)

// Numbers of the fields of Record and of its headers.
const (
	recordKey       = 1
	recordValue     = 2
	recordHeader    = 3
	recordSubject   = 4
	recordReply     = 5
	recordTombstone = 6
	recordSchemaID  = 7

	headerName  = 1
	headerValue = 2
)

// MessageIDHeader names the header by which a message is stored once within a stream's dedup window.
const MessageIDHeader = "Nats-Msg-Id"

// Record is one message as it is stored. Key and Value are nil when absent and empty when empty. Read from a batch,
// all its slices alias the batch.
type Record struct {
	Key       []byte
	Value     []byte
	Headers   []HeaderField
	Subject   []byte
	Reply     []byte
	Tombstone bool
	SchemaID  uint32
}

// HeaderField is one header of a record. Names may repeat; neither part needs to be text.
type HeaderField struct {
	Name  []byte
	Value []byte
}

// Size is the number of bytes that AppendRecord appends for r.
func (r *Record) Size() int {
	n := r.contentSize()
	return 1 + uvarintLen(uint64(n)) + n
}

func (r *Record) contentSize() int {
	n := 0
	if r.Key != nil {
		n += bytesFieldLen(r.Key)
	}
	if r.Value != nil {
		n += bytesFieldLen(r.Value)
	}
	for i := range r.Headers {
		inner := r.Headers[i].size()
		n += 1 + uvarintLen(uint64(inner)) + inner
	}
	if len(r.Subject) > 0 {
		n += bytesFieldLen(r.Subject)
	}
	if len(r.Reply) > 0 {
		n += bytesFieldLen(r.Reply)
	}
	if r.Tombstone {
		n += 2
	}
	if r.SchemaID != 0 {
		n += 1 + uvarintLen(uint64(r.SchemaID))
	}
	return n
}

func (f *HeaderField) size() int {
	return bytesFieldLen(f.Name) + bytesFieldLen(f.Value)
}

// AppendRecord appends r to the encoded Records in dst.
func AppendRecord(dst []byte, r *Record) []byte {
	dst = appendLength(append(dst, recordsRecord<<3|wireBytes), r.contentSize())
	if r.Key != nil {
		dst = appendBytesField(dst, recordKey, r.Key)
	}
	if r.Value != nil {
		dst = appendBytesField(dst, recordValue, r.Value)
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = appendLength(append(dst, recordHeader<<3|wireBytes), h.size())
		dst = appendBytesField(dst, headerName, h.Name)
		dst = appendBytesField(dst, headerValue, h.Value)
	}
	if len(r.Subject) > 0 {
		dst = appendBytesField(dst, recordSubject, r.Subject)
	}
	if len(r.Reply) > 0 {
		dst = appendBytesField(dst, recordReply, r.Reply)
	}
	if r.Tombstone {
		dst = appendVarintField(dst, recordTombstone, 1)
	}
	if r.SchemaID != 0 {
		dst = appendVarintField(dst, recordSchemaID, uint64(r.SchemaID))
	}
	return dst
}

func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// Parse sets r to the record whose encoded content is b. The slice of headers is used again.
func (r *Record) Parse(b []byte) error { return r.parse(b, nil) }

// parse is Parse. Unknown, unless it is nil, is set to the number of the first field that is not known here, if there is one.
func (r *Record) parse(b []byte, unknown *uint32) error {
	*r = Record{Headers: r.Headers[:0]}
	var f field
	for len(b) > 0 {
		n, err := f.read(b)
		if err != nil {
			return fmt.Errorf("record: %w", err)
		}
		b = b[n:]
		if f.num == recordValue && f.wire == wireBytes { // which each has
			r.Value = f.content
			continue
		}
		if err := r.set(&f, unknown); err != nil {
			return err
		}
	}
	return nil
}

func (r *Record) set(f *field, unknown *uint32) error {
	want := uint8(wireBytes)
	if f.num == recordTombstone || f.num == recordSchemaID {
		want = wireVarint
	}
	if f.num <= recordSchemaID && f.wire != want {
		return fmt.Errorf("record: %w: field %d has wire type %d", ErrCorrupt, f.num, f.wire)
	}
	switch f.num {
	case recordKey:
		r.Key = f.content
	case recordValue:
		r.Value = f.content
	case recordHeader:
		h, err := parseHeaderField(f.content, unknown)
		if err != nil {
			return fmt.Errorf("record: %w", err)
		}
		r.Headers = append(r.Headers, h)
	case recordSubject:
		r.Subject = f.content
	case recordReply:
		r.Reply = f.content
	case recordTombstone:
		r.Tombstone = f.varint != 0
	case recordSchemaID:
		if f.varint > math.MaxUint32 {
			return fmt.Errorf("record: %w: schema id %d", ErrCorrupt, f.varint)
		}
		r.SchemaID = uint32(f.varint)
	default:
		f.noteUnknown(unknown)
	}
	return nil
}

func (f *field) noteUnknown(unknown *uint32) {
	if unknown != nil && *unknown == 0 {
		*unknown = f.num
	}
}

func parseHeaderField(b []byte, unknown *uint32) (h HeaderField, err error) {
	var f field
	for len(b) > 0 {
		n, err := f.read(b)
		if err != nil {
			return h, fmt.Errorf("header: %w", err)
		}
		if f.num <= headerValue && f.wire != wireBytes {
			return h, fmt.Errorf("header: %w: field %d has wire type %d", ErrCorrupt, f.num, f.wire)
		}
		switch f.num {
		case headerName:
			h.Name = f.content
		case headerValue:
			h.Value = f.content
		default:
			f.noteUnknown(unknown)
		}
		b = b[n:]
	}
	return h, nil
}

// MessageID is the value of the first header that names the message; nil if there is none, or it is empty: messages
// without a name are not each other's duplicates.
func (r *Record) MessageID() []byte {
	for i := range r.Headers {
		h := &r.Headers[i]
		if string(h.Name) != MessageIDHeader {
			continue
		}
		if len(h.Value) == 0 {
			return nil
		}
		return h.Value
	}
	return nil
}

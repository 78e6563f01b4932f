package envelope

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxHeaders is the largest number of headers of a message that is written or read. It bounds what a small frame can
// make its reader allocate.
const MaxHeaders = 4096

// Message is what a publisher says. The zero Message is valid: it asks for nothing.
type Message struct {
	// Key is what compaction and partitioning go by. nil: none, which differs from an empty one.
	Key []byte
	// Value is the payload. nil: none, which differs from an empty one. Liftbridge's clients make no difference and leave
	// an empty key or value out.
	Value []byte
	// Headers stand in the order of the frame. A name may be empty and may repeat, though Liftbridge keeps only the
	// last of a name.
	Headers []Header
	// AckInbox is the literal NATS subject that the ack is sent to; empty: no ack, not even a negative one.
	AckInbox []byte
	// CorrelationID comes back in the ack; the publisher chooses it.
	CorrelationID []byte
	// AckPolicy says when the ack is sent. The zero value is AckLeader.
	AckPolicy AckPolicy
	// Expect is heeded by streams with optimistic concurrency alone. The zero value: any offset.
	Expect Expectation
	// Checksum puts a CRC-32C into the frame, which then is four bytes longer. After reading: the frame had one and
	// it was right.
	Checksum bool
}

// Header is a name and a value. A value that is nil and an empty one are the same.
type Header struct {
	Name, Value []byte
}

// AckPolicy says when a message is acknowledged. Other numbers than those named here can come off the wire.
type AckPolicy int32

const (
	// AckLeader asks for an ack when the leader has the message.
	AckLeader AckPolicy = 0
	// AckAll asks for an ack when the message is committed.
	AckAll AckPolicy = 1
	// AckNone asks for no ack. A negative one is sent even so, if there is an inbox.
	AckNone AckPolicy = 2
)

// Expectation is the offset that a message has to get, or else be refused with IncorrectOffset. The zero Expectation is
// content with any. Expectations can be compared with ==.
type Expectation struct {
	// next is the offset plus one, wrapping, so that the zero value is the wire's -1: any.
	next int64
}

// ExpectOffset expects that offset, from 0. ExpectOffset(-1) is the zero Expectation.
func ExpectOffset(offset int64) Expectation { return Expectation{next: offset + 1} }

// Offset returns the offset expected, and false if any will do. An offset below zero can come off the wire: no message
// gets it. A frame that says nothing expects offset 0, as protobuf does not tell a zero from nothing.
func (e Expectation) Offset() (offset int64, ok bool) {
	return e.wire(), e != Expectation{}
}

func (e Expectation) wire() int64 { return e.next - 1 }

// Tags of the fields of a Liftbridge Message that a publisher sets: number and wire type. What it holds besides is known
// from where the message was published: timestamp (4), stream (5), partition (6), subject (7) and reply subject (8).
const (
	tagOffset        = 1<<3 | uint64(protowire.VarintType)
	tagKey           = 2<<3 | uint64(protowire.BytesType)
	tagValue         = 3<<3 | uint64(protowire.BytesType)
	tagHeader        = 9<<3 | uint64(protowire.BytesType)
	tagAckInbox      = 10<<3 | uint64(protowire.BytesType)
	tagCorrelationID = 11<<3 | uint64(protowire.BytesType)
	tagAckPolicy     = 12<<3 | uint64(protowire.VarintType)

	tagHeaderName  = 1<<3 | uint64(protowire.BytesType)
	tagHeaderValue = 2<<3 | uint64(protowire.BytesType)
)

// Marshal returns the frame of the message; see Append.
func (m *Message) Marshal() ([]byte, error) { return m.Append(nil) }

// Append appends the frame of the message to dst. It fails with ErrTooLarge, and then returns dst as it was.
func (m *Message) Append(dst []byte) ([]byte, error) {
	if len(m.Headers) > MaxHeaders {
		return dst, fmt.Errorf("%w: %d headers, the limit is %d: send fewer", ErrTooLarge, len(m.Headers), MaxHeaders)
	}
	start := len(dst)
	dst, err := beginFrame(dst, typeMessage, m.Checksum, m.payloadSize())
	if err != nil {
		return dst, err
	}
	dst = m.appendPayload(dst)
	sealFrame(dst[start:])
	return dst, nil
}

func (m *Message) payloadSize() int {
	before, after := m.fields()
	size := 0
	for _, f := range before {
		size += f.size()
	}
	for _, h := range m.Headers {
		size += protowire.SizeVarint(tagHeader) + protowire.SizeBytes(h.size())
	}
	for _, f := range after {
		size += f.size()
	}
	return size
}

func (m *Message) appendPayload(dst []byte) []byte {
	before, after := m.fields()
	for _, f := range before {
		dst = f.append(dst)
	}
	for _, h := range m.Headers {
		dst = protowire.AppendVarint(dst, tagHeader)
		dst = protowire.AppendVarint(dst, uint64(h.size()))
		for _, f := range h.fields() {
			dst = f.append(dst)
		}
	}
	for _, f := range after {
		dst = f.append(dst)
	}
	return dst
}

// fields returns those that stand before the headers and those that stand after them: in the order of their numbers, as
// Liftbridge's clients write them.
func (m *Message) fields() (before, after [3]field) {
	before = [...]field{
		{tag: tagOffset, varint: uint64(m.Expect.wire())},
		{tag: tagKey, content: m.Key},
		{tag: tagValue, content: m.Value},
	}
	after = [...]field{
		{tag: tagAckInbox, content: nonEmpty(m.AckInbox)},
		{tag: tagCorrelationID, content: nonEmpty(m.CorrelationID)},
		{tag: tagAckPolicy, varint: uint64(m.AckPolicy)},
	}
	return before, after
}

// fields returns name and value, which are written even when empty, as in every protobuf map.
func (h Header) fields() [2]field {
	if h.Name == nil {
		h.Name = []byte{}
	}
	if h.Value == nil {
		h.Value = []byte{}
	}
	return [...]field{{tag: tagHeaderName, content: h.Name}, {tag: tagHeaderValue, content: h.Value}}
}

func (h Header) size() int {
	fields := h.fields()
	return fields[0].size() + fields[1].size()
}

// Parse reads a frame. What it returns lies in the frame. It allocates for headers alone, and once. It fails with
// ErrNotEnvelope, ErrUnsupported, ErrChecksum, ErrMalformed or ErrTooLarge; a broker then stores the frame as the value
// of a plain message.
func Parse(frame []byte) (Message, error) {
	var m Message
	if err := m.Unmarshal(frame); err != nil {
		return Message{}, err
	}
	return m, nil
}

// Unmarshal is Parse into a Message that was used before: the room of m.Headers is used again, so reading one frame
// after another allocates nothing. After an error m is the zero Message but for that room.
func (m *Message) Unmarshal(frame []byte) error {
	clear(m.Headers)
	*m = Message{Headers: m.Headers[:0]}
	payload, checked, err := openFrame(frame, typeMessage)
	if err != nil {
		return err
	}
	m.Checksum = checked
	m.Expect = ExpectOffset(0)
	for len(payload) > 0 {
		f, n, err := nextField(payload)
		if err == nil {
			err = m.set(f, payload)
		}
		if err != nil {
			clear(m.Headers)
			*m = Message{Headers: m.Headers[:0]}
			return err
		}
		payload = payload[n:]
	}
	return nil
}

// set takes one field over; rest is the payload from that field on.
func (m *Message) set(f field, rest []byte) error {
	switch f.tag {
	case tagOffset:
		m.Expect = ExpectOffset(int64(f.varint))
	case tagKey:
		m.Key = f.content
	case tagValue:
		m.Value = f.content
	case tagHeader:
		return m.addHeader(f.content, rest)
	case tagAckInbox:
		m.AckInbox = f.content
	case tagCorrelationID:
		m.CorrelationID = f.content
	case tagAckPolicy:
		m.AckPolicy = AckPolicy(f.varint)
	}
	return nil
}

func (m *Message) addHeader(entry, rest []byte) error {
	if len(m.Headers) == MaxHeaders && !mutant("envelope-headers-unbounded") {
		return fmt.Errorf("%w: more than %d headers", ErrTooLarge, MaxHeaders)
	}
	if cap(m.Headers) == 0 {
		m.Headers = make([]Header, 0, countHeaders(rest))
	}
	var h Header
	for len(entry) > 0 {
		f, n, err := nextField(entry)
		if err != nil {
			return fmt.Errorf("header %d: %w", len(m.Headers), err)
		}
		switch f.tag {
		case tagHeaderName:
			h.Name = f.content
		case tagHeaderValue:
			h.Value = f.content
		}
		entry = entry[n:]
	}
	m.Headers = append(m.Headers, h)
	return nil
}

// countHeaders returns how many headers there are in payload, up to MaxHeaders; it stops at what is malformed.
func countHeaders(payload []byte) int {
	count := 0
	for len(payload) > 0 && count < MaxHeaders {
		f, n, err := nextField(payload)
		if err != nil {
			break
		}
		if f.tag == tagHeader {
			count++
		}
		payload = payload[n:]
	}
	return count
}

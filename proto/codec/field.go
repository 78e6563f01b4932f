package codec

import (
	"errors"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

var errFieldNumber = errors.New("invalid field number")

// place is what the tag of a field says.
type place struct {
	number protowire.Number
	wire   protowire.Type
}

// field is one field of a message as it lies on the wire.
type field struct {
	place
	value []byte // what follows the tag; a valid value of its wire type
}

// nextField takes the first field off b and says how many bytes it has.
func nextField(b []byte) (field, int, error) {
	number, wire, n := protowire.ConsumeTag(b)
	switch {
	case n < 0:
		return field{}, 0, protowire.ParseError(n)
	case !number.IsValid():
		return field{}, 0, errFieldNumber
	}
	m := protowire.ConsumeFieldValue(number, wire, b[n:])
	if m < 0 {
		return field{}, 0, protowire.ParseError(m)
	}
	return field{place{number, wire}, b[n : n+m]}, n + m, nil
}

// checkFields says whether b is a run of whole fields.
func checkFields(b []byte) error {
	for len(b) > 0 {
		_, n, err := nextField(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// varint is the value of a field of protowire.VarintType.
func (f *field) varint() uint64 {
	v, _ := protowire.ConsumeVarint(f.value)
	return v
}

// fixed32 is the value of a field of protowire.Fixed32Type.
func (f *field) fixed32() uint32 {
	v, _ := protowire.ConsumeFixed32(f.value)
	return v
}

// bytes is the content of a field of protowire.BytesType. It aliases the message and has no room to grow in it.
func (f *field) bytes() []byte {
	v, _ := protowire.ConsumeBytes(f.value)
	return slices.Clip(v)
}

// varintFieldLimit is as many bytes as a field below 16 of protowire.VarintType can have.
const varintFieldLimit = 1 + 10

// appendVarint appends a field of protowire.VarintType.
func appendVarint(b []byte, number protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, number, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

// appendNonZero appends a field of protowire.VarintType that is absent when it is zero.
func appendNonZero(b []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return appendVarint(b, number, v)
}

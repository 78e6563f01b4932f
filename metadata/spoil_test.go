package metadata

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

// spoil makes one part of a command up, somewhere in it.
func (c *chaos) spoil(m protoreflect.Message) {
	var fields []protoreflect.FieldDescriptor
	for i := range m.Descriptor().Fields().Len() {
		fields = append(fields, m.Descriptor().Fields().Get(i))
	}
	if len(fields) == 0 {
		return
	}
	field := fields[c.IntN(len(fields))]
	switch {
	case field.IsMap():
	case field.IsList():
		c.spoilList(m, field)
	case field.Message() != nil:
		if c.IntN(4) == 0 {
			m.Clear(field)
		} else if m.Has(field) {
			c.spoil(m.Mutable(field).Message())
		}
	default:
		if value, ok := c.madeUp(field, m.Get(field)); ok {
			m.Set(field, value)
		}
	}
}

func (c *chaos) spoilList(m protoreflect.Message, field protoreflect.FieldDescriptor) {
	list := m.Mutable(field).List()
	if list.Len() == 0 || c.IntN(3) == 0 {
		switch {
		case list.Len() > 0 && c.IntN(2) == 0:
			list.Truncate(c.IntN(list.Len()))
		case list.Len() > 0:
			list.Append(list.Get(c.IntN(list.Len())))
		case field.Message() != nil:
			list.AppendMutable()
		}
		return
	}
	at := c.IntN(list.Len())
	if field.Message() != nil {
		c.spoil(list.Get(at).Message())
	} else if value, ok := c.madeUp(field, list.Get(at)); ok {
		list.Set(at, value)
	}
}

// madeUp returns a value near the one that is, or far from it.
func (c *chaos) madeUp(field protoreflect.FieldDescriptor, is protoreflect.Value) (protoreflect.Value, bool) {
	p := c.onePartition()
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(!is.Bool()), true
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(c.IntN(field.Enum().Values().Len()))), true
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "a", "b", "z", "__cursors", "\x00", is.String() + "x"}[c.IntN(7)]), true
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([][]byte{nil, {1}, make([]byte, 16), c.uuid(), p.ID[:]}[c.IntN(5)]), true
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64([]uint64{0, 1, 1<<64 - 1, is.Uint() + 1, is.Uint() - 1}[c.IntN(5)]), true
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32([]uint32{0, 1, 1<<32 - 1, uint32(is.Uint() + 1)}[c.IntN(4)]), true
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64([]int64{0, -1, 1<<63 - 1, -1 << 63, is.Int() + 1}[c.IntN(5)]), true
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32([]int32{0, -1, 1<<31 - 1, -1 << 31, int32(is.Int() + 1)}[c.IntN(5)]), true
	default:
		return protoreflect.Value{}, false
	}
}

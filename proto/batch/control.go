package batch

import (
	"encoding/binary"
	"fmt"
)

// ControlKind says what a control batch records. Its values are the numbers of the fields of trestle.v1.Control.
type ControlKind uint8

// Kinds of control batch. A reader skips those that it does not know.
const (
	ControlUnknown ControlKind = 0
	ControlEpoch   ControlKind = 1
	ControlGap     ControlKind = 2
	ControlUnclean ControlKind = 3
)

// Control is the body of a control batch. The field that Kind names is set.
type Control struct {
	Kind    ControlKind
	Epoch   uint64 // leader epoch that begins
	Gap     Gap
	Unclean Unclean
}

// Gap stands where messages are missing that were published but could not be recorded.
type Gap struct {
	Cause    GapCause
	FromTime int64 // unix nanoseconds
	ToTime   int64 // unix nanoseconds
	AtLeast  uint64
	Counted  bool // AtLeast is known
}

// Unclean says that committed records may have been lost in an election.
type Unclean struct {
	LeaderEpoch    uint64
	LostFromOffset int64
}

// GapCause says why messages are missing. Its values are those of trestle.v1.GapCause.
type GapCause int32

// Causes of gaps.
const (
	GapRingOverflow     GapCause = 1
	GapNATSDropped      GapCause = 2
	GapNATSDisconnected GapCause = 3
	GapNoReplica        GapCause = 4
	GapRestart          GapCause = 5
	GapPaused           GapCause = 6
	GapDiskFull         GapCause = 7
	GapTooLarge         GapCause = 8
	GapHeardElsewhere   GapCause = 9
)

// AppendControl appends a control batch to dst, complete but for what a leader stamps into it.
func AppendControl(dst []byte, c *Control) []byte {
	body := c.encode()
	h := Header{Attributes: IsControl, LastOffsetDelta: -1, Body: BodyControl, BodyCRC: Checksum(body)}
	return Append(dst, &h, body)
}

func (c *Control) encode() []byte {
	var inner []byte
	switch c.Kind {
	case ControlEpoch:
		inner = appendVarintField(nil, 1, c.Epoch)
	case ControlGap:
		inner = appendVarintField(nil, 1, uint64(c.Gap.Cause))
		inner = appendVarintField(inner, 2, uint64(c.Gap.FromTime))
		inner = appendVarintField(inner, 3, uint64(c.Gap.ToTime))
		if c.Gap.Counted {
			inner = appendVarintField(inner, 4, c.Gap.AtLeast)
		}
	case ControlUnclean:
		inner = appendVarintField(nil, 1, c.Unclean.LeaderEpoch)
		inner = appendVarintField(inner, 2, uint64(c.Unclean.LostFromOffset))
	case ControlUnknown:
		return nil
	}
	return appendBytesField(nil, uint32(c.Kind), inner)
}

// ParseControl reads the body of a control batch. One of a kind that is not known here is no error.
func ParseControl(body []byte) (Control, error) {
	var c Control
	var f field
	for len(body) > 0 {
		n, err := f.read(body)
		if err != nil {
			return c, fmt.Errorf("control: %w", err)
		}
		if f.num >= uint32(ControlEpoch) && f.num <= uint32(ControlUnclean) {
			if f.wire != wireBytes {
				return c, fmt.Errorf("control: %w: field %d has wire type %d", ErrCorrupt, f.num, f.wire)
			}
			if err := c.parseKind(ControlKind(f.num), f.content); err != nil {
				return c, err
			}
		}
		body = body[n:]
	}
	return c, nil
}

// controlFields is how many fields of each kind are known, all of them varints.
var controlFields = [...]uint32{ControlEpoch: 1, ControlGap: 4, ControlUnclean: 2}

func (c *Control) parseKind(kind ControlKind, b []byte) error {
	*c = Control{Kind: kind}
	var f field
	for len(b) > 0 {
		n, err := f.read(b)
		if err != nil {
			return fmt.Errorf("control: %w", err)
		}
		if f.num <= controlFields[kind] && f.wire != wireVarint {
			return fmt.Errorf("control: %w: field %d has wire type %d", ErrCorrupt, f.num, f.wire)
		}
		c.setVarint(f.num, f.varint)
		b = b[n:]
	}
	return nil
}

func (c *Control) setVarint(num uint32, v uint64) {
	type place struct {
		kind ControlKind
		num  uint32
	}
	switch (place{c.Kind, num}) {
	case place{ControlEpoch, 1}:
		c.Epoch = v
	case place{ControlGap, 1}:
		c.Gap.Cause = GapCause(int32(v))
	case place{ControlGap, 2}:
		c.Gap.FromTime = int64(v)
	case place{ControlGap, 3}:
		c.Gap.ToTime = int64(v)
	case place{ControlGap, 4}:
		c.Gap.AtLeast, c.Gap.Counted = v, true
	case place{ControlUnclean, 1}:
		c.Unclean.LeaderEpoch = v
	case place{ControlUnclean, 2}:
		c.Unclean.LostFromOffset = int64(v)
	}
}

// appendDeltas appends offset deltas, one per record, as the field of Records.
func appendDeltas(dst []byte, deltas []int32) []byte {
	size := 0
	for _, d := range deltas {
		size += uvarintLen(uint64(d))
	}
	dst = appendLength(append(dst, recordsDeltas<<3|wireBytes), size)
	for _, d := range deltas {
		dst = binary.AppendUvarint(dst, uint64(d))
	}
	return dst
}

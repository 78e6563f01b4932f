package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Records is the body of a batch, seen through: how many records it holds, what they have in common and where each
// begins. It aliases the body. Read the records with Next.
type Records struct {
	// Count of records.
	Count int
	// Subject and Reply of the records that name none.
	Subject, Reply []byte

	body   []byte
	next   int    // where in body the next field is looked for
	deltas []byte // packed offset deltas; nil: dense
	delta  int32  // of the record that Next returned last
	last   int32  // largest offset delta that a record may have
	index  int    // of the record that Next will return

	unknown uint32 // number of a field that is not known here; 0: none
}

// ParseRecords looks through the encoded Records in body: the form of its top level is checked, that of each record
// is when Next reads it.
func ParseRecords(body []byte) (Records, error) {
	r := Records{body: body, last: math.MaxInt32}
	var f field
	for at := 0; at < len(body); {
		n, err := f.read(body[at:])
		if err != nil {
			return Records{}, fmt.Errorf("records: %w", err)
		}
		if f.num <= recordsReply && f.wire != wireBytes {
			return Records{}, fmt.Errorf("records: %w: field %d has wire type %d", ErrCorrupt, f.num, f.wire)
		}
		switch f.num {
		case recordsRecord:
			r.Count++
		case recordsDeltas:
			if r.deltas != nil {
				return Records{}, fmt.Errorf("records: %w: offset deltas occur twice", ErrCorrupt)
			}
			r.deltas = f.content
		case recordsSubject:
			r.Subject = f.content
		case recordsReply:
			r.Reply = f.content
		default:
			r.unknown = f.num
		}
		at += n
	}
	return r, nil
}

// Dense says whether the records have the offsets base, base + 1, base + 2 …
func (r *Records) Dense() bool { return r.deltas == nil }

// Next reads the next record into rec, with the defaults of the batch filled in, and returns its offset less the
// batch's base offset. ok is false when there is none left.
func (r *Records) Next(rec *Record) (offsetDelta int32, ok bool, err error) {
	content, offsetDelta, ok, err := r.NextRaw()
	if !ok || err != nil {
		return 0, false, err
	}
	if err := r.parse(content, rec, nil); err != nil {
		return 0, false, err
	}
	return offsetDelta, true, nil
}

// parse reads the record that NextRaw returned last into rec, with the defaults of the batch filled in. Unknown is that of
// Record.parse.
func (r *Records) parse(content []byte, rec *Record, unknown *uint32) error {
	if err := rec.parse(content, unknown); err != nil {
		return fmt.Errorf("record %d: %w", r.index-1, err)
	}
	if len(rec.Subject) == 0 {
		rec.Subject = r.Subject
	}
	if len(rec.Reply) == 0 {
		rec.Reply = r.Reply
	}
	return nil
}

// NextRaw is Next without decoding: content is the encoded Record.
func (r *Records) NextRaw() (content []byte, offsetDelta int32, ok bool, err error) {
	var f field
	for r.next < len(r.body) {
		n, err := f.read(r.body[r.next:])
		if err != nil {
			return nil, 0, false, fmt.Errorf("records: %w", err)
		}
		r.next += n
		if f.num != recordsRecord {
			continue
		}
		if offsetDelta, err = r.nextDelta(); err != nil {
			return nil, 0, false, err
		}
		return f.content, offsetDelta, true, nil
	}
	if len(r.deltas) > 0 {
		return nil, 0, false, fmt.Errorf("records: %w: offset deltas for more than %d records", ErrCorrupt, r.index)
	}
	return nil, 0, false, nil
}

func (r *Records) nextDelta() (int32, error) {
	r.index++
	if r.deltas == nil {
		return int32(r.index - 1), nil
	}
	v, n := binary.Uvarint(r.deltas)
	if n <= 0 || v > uint64(r.last) || (r.index > 1 && int32(v) <= r.delta) {
		return 0, fmt.Errorf("records: %w: offset delta of record %d", ErrCorrupt, r.index-1)
	}
	r.deltas, r.delta = r.deltas[n:], int32(v)
	return r.delta, nil
}

// RecordsOf looks through the records of the batch at the start of b, which gave h and is not packed.
func (h *Header) RecordsOf(b []byte) (Records, error) {
	if h.Body != BodyRecords {
		return Records{}, fmt.Errorf("%w: body field %d is not records", ErrCorrupt, h.Body)
	}
	r, err := ParseRecords(h.BodyOf(b))
	if err != nil {
		return r, err
	}
	if r.Count != int(h.RecordCount) {
		return r, fmt.Errorf("%w: %d records, header says %d", ErrCorrupt, r.Count, h.RecordCount)
	}
	if r.Dense() != (int64(h.RecordCount) == int64(h.LastOffsetDelta)+1) {
		return r, fmt.Errorf("%w: %d records up to offset delta %d", ErrCorrupt, r.Count, h.LastOffsetDelta)
	}
	r.last = h.LastOffsetDelta
	return r, nil
}

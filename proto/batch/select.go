package batch

import "fmt"

// Select appends to dst a copy of the batch at the start of b, which gave h, with only those records for which keep
// says so; it is given the offset and the encoded Record. The copy keeps seq, base offset, last offset delta, epoch
// and time, so it stands for the same stretch of the log; records that are left out are holes in its offsets. It
// appends nothing when no record is kept. The batch must not be packed, and must have passed Parse: the copy gets CRCs of
// its own.
func Select(dst []byte, h *Header, b []byte, keep func(offset int64, record []byte) bool) ([]byte, error) {
	if h.Control() {
		return append(dst, b[:h.Size]...), nil
	}
	records, err := h.RecordsOf(b)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, headerTemplate[:]...)
	dst = records.appendDefaults(dst)
	var deltas []int32
	for {
		content, delta, ok, err := records.NextRaw()
		if err != nil {
			return dst[:start], err
		}
		if !ok {
			break
		}
		if keep(h.BaseOffset+int64(delta), content) {
			dst = appendBytesField(dst, recordsRecord, content)
			deltas = append(deltas, delta)
		}
	}
	if len(deltas) == 0 {
		return dst[:start], nil
	}
	if len(deltas) <= int(h.LastOffsetDelta) {
		dst = appendDeltas(dst, deltas)
	}
	return finishSelection(dst, start, h, len(deltas))
}

func finishSelection(dst []byte, start int, h *Header, count int) ([]byte, error) {
	if len(dst)-start > MaxSize {
		return dst[:start], fmt.Errorf("batch of %d bytes: the largest is %d", len(dst)-start, MaxSize)
	}
	selected := *h
	selected.RecordCount = uint32(count)
	selected.BodyCRC = Checksum(dst[start+HeaderSize:])
	putHeader(dst[start:], &selected)
	return dst, nil
}

// Cut is Select for the offsets from (inclusive) to to (exclusive). The copy begins and ends with a record that it
// holds: base offset and last offset delta are those of what is left.
func Cut(dst []byte, h *Header, b []byte, from, to int64) ([]byte, error) {
	if h.Control() {
		return append(dst, b[:h.Size]...), nil
	}
	records, err := h.RecordsOf(b)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, headerTemplate[:]...)
	dst = records.appendDefaults(dst)
	var deltas []int32
	for {
		content, delta, ok, err := records.NextRaw()
		if err != nil {
			return dst[:start], err
		}
		offset := h.BaseOffset + int64(delta)
		if !ok || offset >= to {
			break
		}
		if offset >= from {
			dst = appendBytesField(dst, recordsRecord, content)
			deltas = append(deltas, delta)
		}
	}
	if len(deltas) == 0 {
		return dst[:start], nil
	}
	first := deltas[0]
	for i := range deltas {
		deltas[i] -= first
	}
	cut := *h
	cut.BaseOffset += int64(first)
	cut.LastOffsetDelta = deltas[len(deltas)-1]
	if len(deltas) <= int(cut.LastOffsetDelta) {
		dst = appendDeltas(dst, deltas)
	}
	return finishSelection(dst, start, &cut, len(deltas))
}

func (r *Records) appendDefaults(dst []byte) []byte {
	if len(r.Subject) > 0 {
		dst = appendBytesField(dst, recordsSubject, r.Subject)
	}
	if len(r.Reply) > 0 {
		dst = appendBytesField(dst, recordsReply, r.Reply)
	}
	return dst
}

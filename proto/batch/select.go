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
	dst = append(dst, b[:h.HeaderSize]...)
	dst = records.appendCommon(dst)
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

// finishSelection completes the batch from start on, whose header is a copy of that of the batch it was selected from, with
// whatever a later version has put into it. Of h it takes what a selection changes.
func finishSelection(dst []byte, start int, h *Header, count int) ([]byte, error) {
	b := dst[start:]
	if len(b) > MaxSize {
		return dst[:start], fmt.Errorf("batch of %d bytes: the largest is %d", len(b), MaxSize)
	}
	PutPaddedLength(b[atLength:], len(b)-elementPrefix)
	PutPaddedLength(b[h.HeaderSize-paddedLen:], len(b)-h.HeaderSize)
	put32(b[atBodyCRC:], Checksum(b[h.HeaderSize:]))
	put32(b[atRecordCount:], uint32(count))
	put32(b[atLastOffsetDelta:], uint32(h.LastOffsetDelta))
	put64(b[atBaseOffset:], uint64(h.BaseOffset))
	seal(b)
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
	dst = append(dst, b[:h.HeaderSize]...)
	dst = records.appendCommon(dst)
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

// appendCommon appends what the records of a batch have in common: all fields but the records and their offsets, also
// those that are not known here.
func (r *Records) appendCommon(dst []byte) []byte {
	var f field
	for at := 0; at < len(r.body); {
		n, err := f.read(r.body[at:])
		if err != nil { // ParseRecords has read all of them
			return dst
		}
		if f.num != recordsRecord && f.num != recordsDeltas {
			dst = append(dst, r.body[at:at+n]...)
		}
		at += n
	}
	return dst
}

package batch

// Without appends the batch b, which is not packed, to dst without the records that drop names by their index, and with the
// offsets of those that stay moved up: nothing of it was stored yet. The rest of the body is as it was, byte for byte. H is
// the header of b.
func Without(dst []byte, h *Header, b []byte, drop func(index int) bool) ([]byte, error) {
	stays := *h
	body := make([]byte, 0, len(b))
	index := 0
	var f field
	for rest := h.BodyOf(b); len(rest) > 0; {
		n, err := f.read(rest)
		if err != nil {
			return dst, err
		}
		field := rest[:n]
		rest = rest[n:]
		if f.num == 1 && f.wire == wireBytes { // records
			index++
			if drop(index - 1) {
				stays.RecordCount--
				stays.LastOffsetDelta--
				continue
			}
		}
		body = append(body, field...)
	}
	stays.BodyCRC = Checksum(body)
	return Append(dst, &stays, body), nil
}

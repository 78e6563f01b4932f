package batch

import "fmt"

// Summary is what a broker needs to know of encoded Records that a client sent.
type Summary struct {
	Count         int
	HasMessageIDs bool
	LargestRecord int // bytes of the largest encoded record, without its tag and length
}

// CheckRecords looks through encoded Records that a client sent, down to the last header, and refuses what may not be
// stored as a batch's body, fields that are not known here among it: what they will mean one day must not be stored today.
// It calls each, unless that is nil, with every record, defaults filled in, and refuses what each refuses; the record is
// each's until it returns.
func CheckRecords(body []byte, each func(*Record) error) (Summary, error) {
	var s Summary
	records, err := ParseRecords(body)
	switch {
	case err != nil:
		return s, err
	case records.Count == 0:
		return s, fmt.Errorf("records: %w: there is no record", ErrCorrupt)
	case !records.Dense():
		return s, fmt.Errorf("records: %w: offset deltas are set by compaction only", ErrCorrupt)
	case records.unknown != 0:
		return s, fmt.Errorf("records: %w: field %d is not known", ErrVersion, records.unknown)
	}
	s.Count = records.Count
	var rec Record
	var unknown uint32
	for {
		content, _, ok, err := records.NextRaw()
		if err != nil || !ok {
			return s, err
		}
		if err := records.parse(content, &rec, &unknown); err != nil {
			return s, err
		}
		if unknown != 0 {
			return s, fmt.Errorf("record %d: %w: field %d is not known", records.index-1, ErrVersion, unknown)
		}
		s.HasMessageIDs = s.HasMessageIDs || rec.MessageID() != nil
		s.LargestRecord = max(s.LargestRecord, len(content))
		if each == nil {
			continue
		}
		if err := each(&rec); err != nil {
			return s, fmt.Errorf("record %d: %w", records.index-1, err)
		}
	}
}

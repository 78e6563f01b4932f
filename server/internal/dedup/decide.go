package dedup

// Request is a batch that someone wants to be stored.
type Request struct {
	IDs   []ID   // one a record, the zero ID for a record without; nil if no record has one
	Count uint32 // of records

	Producer         uint64 // 0: none
	ProducerEpoch    uint32
	ProducerSequence uint32

	ExpectedOffset *int64 // of the first record; nil: any
}

// Action is what is to be done with a batch.
type Action uint8

// Actions.
const (
	// Store appends the records that are no duplicates.
	Store Action = iota + 1
	// Answer appends nothing: all was stored before. The ack waits until that is committed.
	Answer
	// Refuse appends nothing; the verdict, or a wrong expected offset, says why.
	Refuse
)

// Duplicate is a record of a batch that was stored before, or earlier in the batch.
type Duplicate struct {
	Index  int   // in the batch as it came
	Offset int64 // under which the message was first stored; -1, in a repeated batch: the window does not know any more
}

// Decision is what is to be done with a batch, and what the ack will say.
type Decision struct {
	Action     Action
	Verdict    Verdict     // of its producer; Fresh if it has none
	BaseOffset int64       // of the first record stored; with none stored, that of record 0 if it is a duplicate, else -1
	Count      uint32      // of records stored, now or before
	Duplicates []Duplicate // records left out, by rising index
	// DuplicatesUnknown says that a repeated batch was stored with BaseOffset and Count, but which of its records were
	// left out cannot be said any more.
	DuplicatesUnknown bool

	ExpectedSequence uint32 // Verdict Gap: the sequence that comes next
	WrongOffset      bool   // refused for its ExpectedOffset: the offset that comes next is another
}

// Decide judges a batch on the leader, which would store it from offset next on at the append time now. Duplicates use
// the memory of into, which may be nil. The leader appends what it decided to store before it decides on the next batch.
// First comes the producer's sequence, then the ids, then the expected offset: where records before the first new one
// are duplicates, that one must stand as far behind the expected offset as it stands behind the batch's first.
func (s *State) Decide(r Request, next, now int64, into []Duplicate) Decision {
	d := Decision{Verdict: Fresh}
	if r.Producer != 0 {
		standing := s.producers.Check(r.Producer, r.ProducerEpoch, r.ProducerSequence, now)
		d.Verdict, d.ExpectedSequence = standing.Verdict, standing.Expected
		switch standing.Verdict {
		case Fresh:
		case Repeated:
			if mutant("dedup-repeat-renumbered") {
				standing.Offset = next
			}
			return s.repeat(r, d, standing, now, into)
		default:
			d.Action = Refuse
			return d
		}
	}
	if mutant("dedup-expected-first") && r.ExpectedOffset != nil && *r.ExpectedOffset != next {
		d.Action, d.WrongOffset = Refuse, true
		return d
	}
	first := s.filter(r, next, now, into, &d)
	switch {
	case d.Count == 0 && r.Count > 0:
		d.Action = Answer
		d.BaseOffset = d.Duplicates[0].Offset
		if r.Producer != 0 {
			s.producers.Answered(r.Producer, r.ProducerEpoch, r.ProducerSequence, now)
		}
	case r.ExpectedOffset != nil && *r.ExpectedOffset+int64(first) != next:
		return Decision{Action: Refuse, Verdict: d.Verdict, WrongOffset: true}
	default:
		d.Action, d.BaseOffset = Store, next
	}
	return d
}

// filter finds the duplicates of a batch and returns the index of the first record that is none.
func (s *State) filter(r Request, next, now int64, into []Duplicate, d *Decision) (first int) {
	d.Duplicates, d.Count = into[:0], r.Count
	if s.window.nanos <= 0 {
		return 0
	}
	first = -1
	s.twins.begin(len(r.IDs))
	for i := range r.IDs {
		kept := next + int64(i-len(d.Duplicates))
		if offset, duplicate := s.seen(r.IDs, i, kept, now); duplicate {
			d.Duplicates = append(d.Duplicates, Duplicate{Index: i, Offset: offset})
			d.Count--
		} else if first < 0 {
			first = i
		}
	}
	return max(first, 0)
}

// seen says whether a record's id is in the window or earlier in the batch. If not, the record will get the offset kept.
func (s *State) seen(ids []ID, i int, kept, now int64) (offset int64, duplicate bool) {
	if ids[i] == (ID{}) {
		return 0, false
	}
	if offset, found := s.window.Lookup(ids[i], now); found {
		return offset, true
	}
	return s.twins.add(ids, i, kept)
}

// Kept appends to into the ids of the records that a decision stores, each with its offset: what Append wants.
func (d *Decision) Kept(ids []ID, into []Stored) []Stored {
	offset, duplicates := d.BaseOffset, d.Duplicates
	for i := range ids {
		if len(duplicates) > 0 && duplicates[0].Index == i {
			duplicates = duplicates[1:]
			continue
		}
		if ids[i] != (ID{}) {
			into = append(into, Stored{Offset: offset, ID: ids[i]})
		}
		offset++
	}
	return into
}

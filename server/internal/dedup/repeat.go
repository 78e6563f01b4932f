package dedup

// repeat answers a batch that was stored before as it was answered then, as far as its ids are still known.
func (s *State) repeat(r Request, d Decision, stored Standing, now int64, into []Duplicate) Decision {
	if stored.Count == 0 {
		return s.repeatUnstored(r, d, now, into)
	}
	d.Action, d.BaseOffset, d.Count, d.Duplicates = Answer, stored.Offset, stored.Count, into[:0]
	if stored.Count == r.Count {
		return d
	}
	duplicates, ok := s.align(r, stored, now, into)
	if !ok {
		d.DuplicatesUnknown = true
		return d
	}
	d.Duplicates = duplicates
	return d
}

// repeatUnstored answers a batch that had duplicates only, if it still has; else nothing can be said of it.
func (s *State) repeatUnstored(r Request, d Decision, now int64, into []Duplicate) Decision {
	d.Duplicates = into[:0]
	for i := range r.IDs {
		if offset, found := s.window.Lookup(r.IDs[i], now); found {
			d.Duplicates = append(d.Duplicates, Duplicate{Index: i, Offset: offset})
		}
	}
	if len(d.Duplicates) == 0 || len(d.Duplicates) < int(r.Count) {
		return Decision{Action: Refuse, Verdict: Past}
	}
	d.Action, d.BaseOffset = Answer, d.Duplicates[0].Offset
	return d
}

// align tells the records of a repeated batch that were stored from those that were duplicates. What was stored has no
// id, or is found in its place; the batch's own ids are as old as each other, so one that is not found belongs to an older
// message. If that does not give as many records as were stored, its own ids have expired, and nobody knows any more.
func (s *State) align(r Request, stored Standing, now int64, into []Duplicate) (duplicates []Duplicate, ok bool) {
	duplicates = into[:0]
	next, end := stored.Offset, stored.Offset+int64(stored.Count)
	for i := range r.IDs {
		offset, found := s.window.Lookup(r.IDs[i], now)
		switch {
		case r.IDs[i] == ID{}, found && offset == next && next < end:
			next++
		case found && offset > next && offset < end:
			return nil, false
		case found:
			duplicates = append(duplicates, Duplicate{Index: i, Offset: offset})
		default:
			duplicates = append(duplicates, Duplicate{Index: i, Offset: -1})
		}
	}
	return duplicates, next == end
}

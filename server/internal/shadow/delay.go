package shadow

import (
	"cmp"
	"slices"
)

// delays are by how much records that are not committed yet were appended later than their messages were heard here. A
// message whose record is in the log may be forgotten: because nobody asks for its acknowledgement, or to make room. If
// its record is cut then, all that is left to say when it was heard is the record's append time, and a leader that
// recovered it may have appended it long after. The longest delay from a seq on bounds that from the other side.
//
// Of two, one that is shorter and of an earlier seq says nothing: what is kept is in no order, and seldom more than one
// for each time that a broker begins to lead.
type delays []delay

type delay struct {
	seq   uint64 // of the last record that it is of
	nanos int64
}

// delaysKept bounds how many are kept. One above it becomes part of the next, which then says too much, never too little.
const delaysKept = 8

// note takes in that a record was appended so long after its message was heard.
func (d *delays) note(seq uint64, nanos int64) {
	if nanos <= 0 || slices.ContainsFunc(*d, func(k delay) bool { return k.seq >= seq && k.nanos >= nanos }) {
		return
	}
	*d = slices.DeleteFunc(*d, func(k delay) bool { return k.seq <= seq && k.nanos <= nanos })
	*d = append(*d, delay{seq, nanos})
	if len(*d) <= delaysKept {
		return
	}
	slices.SortFunc(*d, func(x, y delay) int { return cmp.Compare(y.nanos, x.nanos) })
	(*d)[0].seq = (*d)[1].seq
	*d = slices.Delete(*d, 1, 2)
}

// longest is the longest delay of the record at seq, or of those behind it.
func (d *delays) longest(seq uint64) (nanos int64) {
	for _, k := range *d {
		if k.seq >= seq {
			nanos = max(nanos, k.nanos)
		}
	}
	return nanos
}

// committed forgets those of records before seq.
func (d *delays) committed(seq uint64) {
	*d = slices.DeleteFunc(*d, func(k delay) bool { return k.seq < seq })
}

// truncated says that the records from seq on are cut. A delay of one of them may stand for that of one before.
func (d *delays) truncated(seq uint64) {
	nanos := d.longest(seq)
	*d = slices.DeleteFunc(*d, func(k delay) bool { return k.seq >= seq })
	if seq > 0 {
		d.note(seq-1, nanos)
	}
}

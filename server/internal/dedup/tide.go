package dedup

// tide knows the append time of the last committed batch, or a little less: it keeps a mark of (seq, append time) now and
// then among the batches that are not committed yet.
type tide struct {
	seq   uint64 // committed up to here
	time  int64  // append time of that batch, or an earlier one's
	last  mark   // the newest batch; after a truncation its time may be an earlier one's
	marks ring[mark]
}

type mark struct {
	seq  uint64
	time int64
}

// maxMarks bounds the marks: without a commit for long, expiry comes later.
const maxMarks = 256

// append notes a batch; marks are the given nanoseconds apart.
func (t *tide) append(seq uint64, time, apart int64) {
	t.last = mark{seq: seq, time: time}
	if t.marks.len() == 0 || t.marks.len() < maxMarks && age(t.marks.back().time, time) >= apart {
		t.marks.push(t.last)
	}
}

// commit moves the committed end, never back and never beyond what was appended.
func (t *tide) commit(seq uint64) {
	seq = min(seq, t.last.seq)
	if seq <= t.seq {
		return
	}
	t.seq = seq
	for t.marks.len() > 0 && t.marks.front().seq <= seq {
		t.time = t.marks.popFront().time
	}
	if seq == t.last.seq {
		t.time = t.last.time
	}
}

// truncate forgets the batches from seq on.
func (t *tide) truncate(seq uint64) {
	for t.marks.len() > 0 && t.marks.back().seq >= seq {
		t.marks.popBack()
	}
	if t.last.seq < seq {
		return
	}
	t.last = mark{seq: max(seq, 1) - 1, time: t.time}
	if t.marks.len() > 0 {
		t.last.time = t.marks.back().time
	}
	t.seq = min(t.seq, t.last.seq)
}

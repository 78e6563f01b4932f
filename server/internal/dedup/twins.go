package dedup

import "math/bits"

// twins finds equal ids within one batch. It keeps its memory for the next one.
type twins struct {
	slots []twin // its length is a power of two, at least twice the number of ids
}

type twin struct {
	index  int32 // of the id in the batch, plus one; 0: nothing is here
	offset int64
}

// keptTwins is the number of slots that are kept: enough for a batch of 1 MiB of small records.
const keptTwins = 1 << 15

func (t *twins) begin(ids int) {
	if ids == 0 {
		return
	}
	size := 1 << bits.Len(uint(2*ids-1))
	if cap(t.slots) < size || cap(t.slots) > max(size, keptTwins) {
		t.slots = make([]twin, size)
		return
	}
	t.slots = t.slots[:size]
	clear(t.slots)
}

// add returns the offset noted with an equal id earlier in the batch, or notes this one with its own.
func (t *twins) add(ids []ID, i int, offset int64) (earlier int64, found bool) {
	if mutant("dedup-twins-missed") {
		return 0, false
	}
	mask := uint64(len(t.slots) - 1)
	for slot := ids[i].bucket() & mask; ; slot = (slot + 1) & mask {
		there := &t.slots[slot]
		switch {
		case there.index == 0:
			*there = twin{index: int32(i) + 1, offset: offset}
			return 0, false
		case ids[there.index-1] == ids[i]:
			return there.offset, true
		}
	}
}

package shadow

import "github.com/trestlehq/trestle/proto/batch"

func (r *Ring) newItem(f, id Fingerprint, learnt int64) *item {
	r.numbers++
	return &item{fingerprint: f, id: id, learnt: learnt, number: r.numbers}
}

// wait takes in an item that is not in the log. It has a whole window from now on.
func (r *Ring) wait(it *item) {
	it.state, it.since = waiting, r.progress
	r.add(it)
}

// lose takes in an item without its record, so that it is known for lost unless its record turns up in the log. If there
// is no room even for that, the ring only remembers when it happened. On a leader no record can turn up. Unheard it
// stays unheard: its message is not new when it comes.
func (r *Ring) lose(it *item, cause batch.GapCause) {
	if cause == batch.GapRingOverflow && mutant("shadow-overflow-uncounted") {
		return
	}
	if r.leading && !mutant("shadow-leader-keeps-lost") {
		r.miss(missing{cause: cause, from: it.earliest(), to: it.learnt, atLeast: 1, counted: cause == batch.GapRingOverflow, heard: true})
		return
	}
	it.record, it.ack, it.dups, it.lost = nil, nil, nil, cause
	if r.fits(it.size(), true) {
		r.wait(it)
		return
	}
	if cause != refusedHere {
		r.miss(missing{cause: cause, from: it.earliest(), to: it.learnt, heard: true})
	}
}

// fits makes room for so many bytes by giving up acknowledgements of what is in the log, oldest first: their publishers
// will not know. Spare: the part of the memory that is kept for what has no record may be used.
func (r *Ring) fits(bytes int64, spare bool) bool {
	limit := r.options.MaxBytes
	if !spare {
		limit -= limit / 8
	}
	for r.bytes+bytes > limit && r.matched.head != nil {
		r.remove(r.matched.head)
	}
	return r.bytes+bytes <= limit
}

// add takes an item into the ring, remove out of it. Link and unlink are the same for an item that comes back at once:
// its id and its bytes stay.
func (r *Ring) add(it *item) {
	r.bytes += it.size()
	if (it.id != Fingerprint{}) {
		l := r.ids[it.id]
		if l == nil {
			l = &list{}
			r.ids[it.id] = l
		}
		l.pushBack(inID, it)
	}
	r.link(it)
}

func (r *Ring) remove(it *item) {
	r.unlink(it)
	r.free(it)
}

// free forgets an item that is unlinked.
func (r *Ring) free(it *item) {
	r.bytes -= it.size()
	if l := r.ids[it.id]; l != nil && it.id != (Fingerprint{}) {
		l.remove(inID, it)
		if l.head == nil {
			delete(r.ids, it.id)
		}
	}
}

// resize changes what an item holds.
func (r *Ring) resize(it *item, change func()) {
	before := it.size()
	change()
	r.bytes += it.size() - before
}

func (r *Ring) link(it *item) {
	switch it.state {
	case waiting:
		r.waiting.pushBack(inState, it)
		if it.lost == 0 {
			r.count++
		}
	case early:
		r.early.insert(inState, it, bySeq)
		if len(it.dups) > 0 {
			r.duplicate++
		}
	case matched:
		r.matched.insert(inState, it, bySeq)
	}
	if it.state != matched {
		r.linkTwin(it)
	}
}

func (r *Ring) unlink(it *item) {
	switch it.state {
	case waiting:
		r.waiting.remove(inState, it)
		if it.lost == 0 {
			r.count--
		}
	case early:
		r.early.remove(inState, it)
		if len(it.dups) > 0 {
			r.duplicate--
		}
	case matched:
		r.matched.remove(inState, it)
	}
	if it.state != matched {
		r.unlinkTwin(it)
	}
}

func bySeq(x, y *item) bool { return x.seq < y.seq || x.seq == y.seq && x.offset < y.offset }

func (r *Ring) linkTwin(it *item) {
	t := r.twins[it.fingerprint]
	if t == nil {
		t = &twins{}
		r.twins[it.fingerprint] = t
	}
	t.of(it).insert(inTwins, it, (*item).before)
}

func (r *Ring) unlinkTwin(it *item) {
	t := r.twins[it.fingerprint]
	t.of(it).remove(inTwins, it)
	if t.empty() {
		delete(r.twins, it.fingerprint)
	}
}

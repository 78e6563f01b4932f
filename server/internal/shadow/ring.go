package shadow

import "github.com/trestlehq/trestle/proto/batch"

// Options of a ring.
type Options struct {
	// WindowNanos is by how much two replicas may differ in when they hear a message, or a leader in when it appends it,
	// clocks included, and how long a leader that makes progress has to append what was heard here.
	WindowNanos int64
	// MaxBytes bounds Bytes. An eighth of it is left to messages that are known without their bytes.
	MaxBytes int64
	// Refuse says whether a message is refused: a pure function of the message, the stream's metadata and this replica's
	// log (protocol.md 2.5). It is asked when a message is heard and again at promotion. A change of metadata that it reads
	// empties the ring: see Empty. Its caller answers the publisher of a message that is heard. Nil: nothing is refused.
	Refuse Refuse
}

// Refuse says whether a message is refused.
type Refuse func(record []byte, id Fingerprint) bool

// Ring keeps what one replica heard of NATS until it is in the log and committed. It is not safe for concurrent use.
//
// Each message is an item in one of three states (see state): it waits; or it is early, in the log and not heard here; or
// it is matched. Hear and Appended bring the two halves of a message together, oldest first; Truncated takes the log's
// half away again. Its owner creates it before it subscribes, so that everything that is heard comes here, and calls
// Incomplete with cause restart if there was a ring before whose content is lost.
type Ring struct {
	options Options
	twins   map[Fingerprint]*twins
	ids     map[Fingerprint]*list
	waiting list // by since
	early   list // by seq
	matched list // by seq
	late    []Settled
	missing []missing

	leading   bool
	bytes     int64
	count     int    // of waiting items with a record
	numbers   uint64 // given to items so far
	committed uint64 // end of what is committed, a seq
	hearsFrom int64  // nothing that was published before can still be heard
	duplicate int    // early items with duplicates
	delays    delays // of records at or behind committed

	blindUntil int64          // until then a message may come whose record there was no room to remember
	judgesFrom int64          // what is heard before, a leader may have refused: it is not kept
	emptied    batch.GapCause // why
	emptiedAt  int64          // when last
	promoted   int64          // when this replica began to lead

	// progress is for how long, so far, a leader has shown that it appends what it hears. Windows in which a leader could
	// have done something are measured by it: time without a leader is no time.
	progress int64
	followed int64 // progress when the leader began
	ticked   int64 // time of the last Tick
}

// NewRing makes an empty ring.
func NewRing(options Options) *Ring {
	return &Ring{options: options, twins: map[Fingerprint]*twins{}, ids: map[Fingerprint]*list{}}
}

// Bytes is what the ring holds, overhead included.
func (r *Ring) Bytes() int64 { return r.bytes }

// Len is how many messages wait to be appended by someone.
func (r *Ring) Len() int { return r.count }

// Hear takes a message that NATS delivered. It returns true if the message is new and kept: a leader then appends it,
// and calls Appended. False: its record is in the log, or soon will be, or is refused, or the ring is full, which will be
// reported; nobody is to append it.
func (r *Ring) Hear(m Message, now int64) bool {
	if m.Heard == 0 {
		m.Heard = now
	}
	if it := r.oldestUnheard(m.Fingerprint, now); it != nil {
		r.heardTwin(it, &m)
		return false
	}
	if it := r.loggedID(m.ID); it != nil {
		r.addDuplicate(it, duplicate{m.Fingerprint, m.Ack, m.Heard})
		return false
	}
	it := r.newItem(m.Fingerprint, m.ID, m.Heard)
	if r.options.Refuse != nil && r.options.Refuse(m.Record, m.ID) {
		if m.Heard < r.judgesFrom && !r.leading && !mutant("shadow-refused-unknown") {
			r.lose(it, refusedHere)
		}
		return false
	}
	it.record, it.ack = m.Record, m.Ack
	if m.Heard < r.judgesFrom && !mutant("shadow-refused-by-leader-kept") {
		r.lose(it, r.emptied)
		return false
	}
	if !r.fits(it.size(), false) {
		r.lose(it, batch.GapRingOverflow)
		return false
	}
	r.wait(it)
	return true
}

// Expects says whether the log has a record whose message was not heard here yet. Such a message is not to be refused,
// whatever the settings say by now: it is stored.
// A ring that was too full to remember records says so of every message.
func (r *Ring) Expects(f Fingerprint, now int64) bool {
	return r.oldestUnheard(f, now) != nil || now < r.blindUntil
}

// MayBeStored says whether a message that is new to the ring of a leader may be in the log all the same: a leader before
// appended it, and this replica could not know that its message was still to come, because it began to listen less than a
// window ago, by clocks that differ, or because the ring had no room to remember the record. The leader appends it
// nevertheless, lest it be lost, and marks it as recovered. A window after the promotion there is no doubt any more.
func (r *Ring) MayBeStored(now int64) bool {
	if mutant("shadow-doubt-unsaid") {
		return false
	}
	window := r.options.WindowNanos
	return r.leading && now < r.promoted+window && (now < r.hearsFrom+window || now < r.blindUntil)
}

// oldestUnheard finds the message that is known from the log and has not been heard here.
func (r *Ring) oldestUnheard(f Fingerprint, now int64) *item {
	t := r.twins[f]
	if t == nil {
		return nil
	}
	for it := t.unheard.head; it != nil; it = t.unheard.head {
		if it.dies > now {
			return it
		}
		r.unlinkTwin(it)
		it.unheard = false
		r.linkTwin(it)
	}
	for it := t.early.head; it != nil; it = it.links[inTwins].next {
		if it.dies > now {
			return it
		}
	}
	return nil
}

// heardTwin completes a message that was known from the log.
func (r *Ring) heardTwin(it *item, m *Message) {
	if it.state == waiting {
		r.unlinkTwin(it)
		if !mutant("shadow-unheard-kept") {
			it.unheard = false
		}
		r.linkTwin(it)
	} else {
		r.unlink(it)
		it.unheard = false
		it.state = matched
	}
	if r.fits(int64(len(m.Ack)), true) {
		r.resize(it, func() { it.ack = m.Ack })
	}
	if it.state == waiting {
		return
	}
	it.learnt = min(it.learnt, m.Heard)
	switch {
	case it.seq < r.committed:
		r.late = append(r.late, it.settled()...)
		r.free(it)
	case it.needless():
		r.free(it)
	default:
		r.link(it)
	}
}

// needless says whether nothing depends on a matched item: nobody is to be told of its commit.
func (it *item) needless() bool {
	return len(it.ack) == 0 && len(it.dups) == 0 && it.id == Fingerprint{}
}

// loggedID finds a message in the log that has the id.
func (r *Ring) loggedID(id Fingerprint) *item {
	if id == (Fingerprint{}) || r.ids[id] == nil {
		return nil
	}
	for it := r.ids[id].head; it != nil; it = it.links[inID].next {
		if it.state != waiting {
			return it
		}
	}
	return nil
}

// addDuplicate keeps the acknowledgement part of a message whose id the item has.
func (r *Ring) addDuplicate(it *item, d duplicate) {
	if len(d.ack) == 0 {
		return
	}
	r.unlink(it) // lest making room takes it
	if r.fits(int64(duplicateOverhead+len(d.ack)), true) {
		r.resize(it, func() { it.dups = append(it.dups, d) })
	}
	r.link(it)
}

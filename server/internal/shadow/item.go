package shadow

import "github.com/trestlehq/trestle/proto/batch"

// state says where a message stands in the log of this replica, and so in which list of the ring it is.
type state uint8

const (
	waiting state = iota // not in the log
	early                // in the log, and not heard here so far
	matched              // in the log and heard, or not expected to be heard any more
)

// item is one message: heard, or known from the log, or both.
type item struct {
	fingerprint, id Fingerprint

	record []byte         // while waiting; nil if it was lost
	lost   batch.GapCause // why there is no record of it; 0: there is
	ack    []byte
	dups   []duplicate

	state   state
	unheard bool  // its message may still arrive here
	dies    int64 // when unheard ends
	learnt  int64 // when this replica heard it, or else when it was appended
	fromLog bool  // learnt is when it was appended, which says nothing of when it was heard
	late    int64 // by how much it may have been heard earlier than learnt: see delays
	number  uint64
	since   int64 // progress of the leader (see Ring.progress) when it began to wait
	seq     uint64
	offset  int64

	links [slots]link
}

// duplicate is a message with the same id as an item's.
type duplicate struct {
	fingerprint Fingerprint
	ack         []byte
	heard       int64
}

// refusedHere is why a message is kept without its record that this replica refuses, and that its leader may have accepted
// because it applied a change of settings later. It is no loss.
const refusedHere batch.GapCause = -1

// overhead is what an item takes beside its bytes: itself, and its places in two maps. Measured by TestOverhead.
const overhead = 512

func (it *item) size() int64 {
	n := overhead + len(it.record) + len(it.ack)
	for i := range it.dups {
		n += duplicateOverhead + len(it.dups[i].ack)
	}
	return int64(n)
}

const duplicateOverhead = 64

// earliest is when the message may have been heard first, and learnt when it was heard at last.
func (it *item) earliest() int64 { return it.learnt - it.late }

// before is the order in which this replica learnt of messages.
func (it *item) before(other *item) bool {
	if it.learnt != other.learnt {
		return it.learnt < other.learnt
	}
	return it.number < other.number
}

// slot names one of the lists that an item is in.
type slot int

const (
	inState slot = iota // with all items of its state
	inTwins             // with the unmatched items of its fingerprint
	inID                // with the items of its message id
	slots
)

type link struct{ prev, next *item }

type list struct{ head, tail *item }

func (l *list) pushBack(s slot, it *item) { l.insertAfter(s, l.tail, it) }

// insertAfter puts it behind at; at nil: to the front.
func (l *list) insertAfter(s slot, at, it *item) {
	next := l.head
	if at != nil {
		next = at.links[s].next
		at.links[s].next = it
	} else {
		l.head = it
	}
	it.links[s] = link{prev: at, next: next}
	if next != nil {
		next.links[s].prev = it
	} else {
		l.tail = it
	}
}

// insert keeps a list in order that is. It is quick near both ends.
func (l *list) insert(s slot, it *item, before func(x, y *item) bool) {
	if l.head == nil || before(it, l.head) {
		l.insertAfter(s, nil, it)
		return
	}
	at := l.tail
	for before(it, at) {
		at = at.links[s].prev
	}
	l.insertAfter(s, at, it)
}

func (l *list) remove(s slot, it *item) {
	k := it.links[s]
	if k.prev != nil {
		k.prev.links[s].next = k.next
	} else {
		l.head = k.next
	}
	if k.next != nil {
		k.next.links[s].prev = k.prev
	} else {
		l.tail = k.prev
	}
	it.links[s] = link{}
}

// twins are the items of one fingerprint that miss their other half, oldest first.
type twins struct {
	heard   list // waiting, heard here at a time that is known
	cut     list // waiting, put back by a truncation, not unheard
	unheard list // waiting, put back by a truncation, unheard
	early   list
}

func (t *twins) of(it *item) *list {
	switch {
	case it.state == early:
		return &t.early
	case it.unheard:
		return &t.unheard
	case it.fromLog:
		return &t.cut
	default:
		return &t.heard
	}
}

func (t *twins) empty() bool {
	return t.heard.head == nil && t.cut.head == nil && t.unheard.head == nil && t.early.head == nil
}

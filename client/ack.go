package client

import (
	"time"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Ack says where what was published is stored.
type Ack struct {
	Stream    string
	Partition int
	// Offset of the first message that was stored. When none was, because all were stored before, it is the offset
	// that the first has. With AckNone it may be -1: not known.
	Offset int64
	// Count of the messages that were stored: they have the offsets from Offset to Offset + Count - 1.
	Count int
	// Time at which they were stored.
	Time        time.Time
	LeaderEpoch uint64
	// Durable says that they are on disk for good, and not only written.
	Durable bool
	// Duplicates are the messages that were not stored again.
	Duplicates []Duplicate
	// DuplicatesUnknown says that the batch had been stored before, and some of its messages before that, but which of
	// them is not known any more: neither are then the offsets of single messages.
	DuplicatesUnknown bool
}

// Duplicate is a message that was not stored because one with its ID was stored before.
type Duplicate struct {
	// Index of the message in the batch.
	Index int
	// Offset of the message that was stored before; -1: not known any more.
	Offset int64
}

// Duplicate says that nothing was stored, because all of it was stored before.
func (a *Ack) Duplicate() bool { return a.Count == 0 && len(a.Duplicates) > 0 }

func ackFromProto(stream string, p *trestlev1.Ack) Ack {
	a := Ack{
		Stream:      stream,
		Partition:   int(p.GetPartition()),
		Offset:      p.GetBaseOffset(),
		Count:       int(p.GetCount()),
		Time:        time.Unix(0, p.GetTime()),
		LeaderEpoch: p.GetLeaderEpoch(),
		Durable:     p.GetDurable(),

		DuplicatesUnknown: p.GetDuplicatesUnknown(),
	}
	for _, d := range p.GetDuplicates() {
		a.Duplicates = append(a.Duplicates, Duplicate{Index: int(d.GetIndex()), Offset: d.GetOffset()})
	}
	if a.Duplicate() {
		a.Offset = a.Duplicates[0].Offset
	}
	return a
}

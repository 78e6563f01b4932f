package client

import (
	"fmt"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// place is how far the reading of a partition has come: what to ask for, so that every message is read once however
// often the connection breaks.
type place struct {
	start, stop *trestlev1.Position // stop nil: never
	backwards   bool

	bound    bool   // start and stop no longer depend on when the server is asked
	logStart int64  // as heard last
	seq      uint64 // of the batch passed last; 0: none

	begun bool   // records have been passed: next is known
	next  int64  // offset of the message that is due; backwards: the one above it
	epoch uint64 // leader epoch of the message passed last
}

// subscribed takes in the bounds of the log that came with the server's confirmation. Positions that are relative to
// the moment are those of the first.
func (p *place) subscribed(highWatermark, logStart int64) {
	p.heard(logStart)
	if p.bound {
		return
	}
	p.bound = true
	switch at := p.start.GetAt().(type) {
	case *trestlev1.Position_NewOnly:
		p.start = atOffset(highWatermark)
	case *trestlev1.Position_Latest:
		if highWatermark > logStart {
			p.start = atOffset(highWatermark - 1)
		} else if !p.backwards {
			p.start = atOffset(highWatermark)
		}
	case *trestlev1.Position_Last:
		p.start = atOffset(max(highWatermark-int64(min(at.Last, uint64(highWatermark))), logStart))
	}
	if p.stop.GetLatest() {
		p.stop = atOffset(highWatermark)
	}
}

// heard takes in where the log begins, which only grows.
func (p *place) heard(logStart int64) { p.logStart = max(p.logStart, logStart) }

// pass moves the place past a batch. It is false when the batch was passed before: a control batch takes no offset, so
// it comes again when reading goes on at the offset where it stands.
func (p *place) pass(h *batch.Header) (bool, error) {
	switch {
	case h.Control() && p.seq != 0 && (h.Seq == p.seq || (h.Seq < p.seq) != p.backwards):
		return false, nil
	case h.Control():
		p.seq = h.Seq
		return true, nil
	case p.begun && p.backwards && h.NextOffset() > p.next:
		return false, fmt.Errorf("offset %d came where one below %d was due", h.NextOffset()-1, p.next)
	case p.begun && !p.backwards && h.BaseOffset < p.next:
		return false, fmt.Errorf("offset %d came where %d or one above was due", h.BaseOffset, p.next)
	}
	p.begun, p.seq, p.epoch = true, h.Seq, h.LeaderEpoch
	if p.backwards {
		p.next = h.BaseOffset
	} else {
		p.next = h.NextOffset()
	}
	return true, nil
}

// reached says that there is nothing left to ask for.
func (p *place) reached() bool {
	stop, stops := p.stop.GetAt().(*trestlev1.Position_Offset)
	switch {
	case !p.begun:
		return false
	case p.backwards:
		return p.next <= p.logStart || stops && p.next <= stop.Offset+1
	default:
		return stops && p.next >= stop.Offset
	}
}

// history is the leader epoch of the message before the one that is due, by which the server finds out whether that
// message is still part of the log; 0 where it has none to look for.
func (p *place) history() uint64 {
	if !p.begun || p.backwards {
		return 0
	}
	return p.epoch
}

// at is the offset of the message that is due; 0 while nobody knows.
func (p *place) at() int64 {
	if p.backwards {
		return max(p.next-1, 0)
	}
	return p.next
}

// positions are where to ask the server to start and to stop.
func (p *place) positions() (start, stop *trestlev1.Position) {
	switch {
	case !p.begun:
		return p.start, p.stop
	case p.backwards:
		return atOffset(p.next - 1), p.stop
	default:
		return atOffset(p.next), p.stop
	}
}

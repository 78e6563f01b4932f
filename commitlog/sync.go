package commitlog

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// syncLanes is how many rounds of a log overlap: while a disk flushes what one has written, it writes the next one's, and takes in
// the one after that. A fourth gains little more.
const syncLanes = 3

// syncRound is a Sync that has something to make durable.
type syncRound struct {
	segment *activeSegment
	mark    Mark            // of the log when it is over
	before  <-chan struct{} // closed when the round before is over; nil: none is under way
	done    chan struct{}   // closed when it is over

	// file is an open file of its own, for a system tells each open file once of what it could not write: a round that shares one
	// may not hear of what the other has heard.
	file vfs.File
	side bool // file is not that of the segment
	name bool // the file's name is to be made durable, too
}

// Sync makes durable what was appended before the call, and returns the durable end. Appends go on meanwhile, and so does
// another Sync: rounds overlap, and end in the order in which they began. A failure is final: what was appended since the
// last good Sync may or may not be on disk, and nothing may be built on it.
func (l *Log) Sync() (Position, error) {
	l.lanes <- struct{}{}
	defer func() { <-l.lanes }()
	l.syncing.RLock()
	defer l.syncing.RUnlock()
	var wanted Position // once the durable end is there all is well, however much is appended meanwhile
	for first := true; ; first = false {
		l.writing.Lock()
		r, before, err := l.beginRound()
		if first {
			wanted = l.End()
		}
		l.writing.Unlock()
		switch {
		case r != nil:
			return l.endRound(r, r.run(l))
		case before == nil:
			return l.Durable(), err
		}
		<-before
		if durable := l.Durable(); !durable.Before(wanted) {
			return durable, nil
		}
	}
}

// beginRound begins a round, if anything is to be made durable. If the round before makes all of it durable, or there is no open
// file to be had, before is closed when that is over: then it is to be called again. The caller holds l.writing.
func (l *Log) beginRound() (r *syncRound, before <-chan struct{}, err error) {
	if err := l.usable(); err != nil || l.active == nil {
		return nil, nil, err
	}
	r = &syncRound{segment: l.active, mark: l.markHere(), done: make(chan struct{})}
	if r.mark.Durable == l.Durable() { // the segment may be new, and its header not durable
		return nil, nil, nil
	}
	if l.round != nil {
		r.before = l.round.done
		if l.round.mark.Durable == r.mark.Durable || !r.segment.lend(r, l) {
			return nil, r.before, nil
		}
	} else {
		r.name = r.segment.dirtyDir // a round that comes after this one ends after it
		r.segment.lend(r, l)
	}
	r.segment.users++
	l.round = r
	return r, nil, nil
}

// lend gives the round an open file that no other has: that of the segment, if no round is under way. False: there is none to be
// had. The caller holds l.writing.
func (a *activeSegment) lend(r *syncRound, l *Log) bool {
	switch n := len(a.sides); {
	case !a.lent || mutant("commitlog-rounds-share-a-file"):
		a.lent, r.file = true, a.file
	case n > 0:
		r.side, r.file, a.sides = true, a.sides[n-1], a.sides[:n-1]
	default:
		side, err := l.files.fs.OpenReadWrite(a.name)
		if err != nil {
			return false
		}
		r.side, r.file = true, side
	}
	return true
}

// takeBack takes back what the round was lent.
func (a *activeSegment) takeBack(r *syncRound) {
	if r.side {
		a.sides = append(a.sides, r.file)
	} else {
		a.lent = false
	}
}

// run makes the segment durable, and waits for the round before.
func (r *syncRound) run(l *Log) error {
	if mutant("commitlog-sync-without-fsync") {
		return nil
	}
	err := r.file.SyncData()
	if err == nil && r.name && !mutant("commitlog-segment-name-unsynced") {
		err = l.files.fs.SyncDir(l.dir)
	}
	if r.before != nil && !mutant("commitlog-rounds-out-of-order") {
		<-r.before
	}
	return err
}

// endRound moves the durable end, unless this round or one before it has failed.
func (l *Log) endRound(r *syncRound, err error) (Position, error) {
	defer close(r.done)
	l.writing.Lock()
	defer l.writing.Unlock()
	a := r.segment
	a.takeBack(r)
	if l.round == r {
		l.round = nil
	}
	if closing := l.leave(a); closing != nil && err == nil {
		err = closing
	}
	if err != nil {
		return l.Durable(), l.syncFailed(fmt.Errorf("syncing %s: %w", l.dir, err))
	}
	if err := l.usable(); err != nil {
		return l.Durable(), err
	}
	if r.name {
		a.dirtyDir = false
	}
	l.advanceDurable(r.mark)
	if l.active == a && a.end == r.mark.Durable {
		err = l.rest(a)
	}
	return r.mark.Durable, err
}

// markHere is the mark of the log as it is, once that is durable. The caller holds l.writing.
func (l *Log) markHere() Mark {
	a := l.active
	return Mark{
		Durable: a.end, Segment: a.base, FilePosition: a.written,
		generation: a.generation, last: l.last, records: a.records, digest: a.digest,
	}
}

// advanceDurable moves the durable end up to the mark. Rounds end in their order and all else holds l.syncing alone, so it never
// goes back.
func (l *Log) advanceDurable(m Mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable, l.mark = m.Durable, m
	l.putMarkLocked()
}

// putMarkLocked hands the newest mark to whoever makes it durable some time later.
func (l *Log) putMarkLocked() {
	if l.opts.Marks == nil {
		return
	}
	m := l.mark
	m.LogName, m.Committed, m.Start = LogName{l.opts.Partition, l.opts.LogID}, l.committed, l.start
	m.Compacted = l.compacted
	m.settled = !m.Suspect && !l.cutting && l.removals.Load() == 0
	l.opts.Marks.Put(m)
}

// syncFailed ends the log after a failed sync, and tries to leave word that what lies above the last good one is not to be
// believed, whatever the page cache shows of it.
func (l *Log) syncFailed(err error) error {
	l.mu.Lock()
	first := l.fault == nil
	l.mark.Suspect = true
	l.putMarkLocked()
	l.mu.Unlock()
	if mutant("commitlog-failed-sync-retried") {
		return err
	}
	err = l.fail(err)
	if first && l.opts.Marks != nil {
		err = errors.Join(err, l.opts.Marks.Flush())
	}
	return err
}

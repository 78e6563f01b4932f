package commitlog

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// syncLanes is how many rounds of a log overlap: while a disk flushes what one has written, it writes the next one's. A third
// gains nothing more.
const syncLanes = 2

// syncRound is a Sync that has something to make durable.
type syncRound struct {
	segment *activeSegment
	mark    Mark            // of the log when it is over
	before  <-chan struct{} // closed when the round before is over; nil: none is under way
	done    chan struct{}   // closed when it is over

	// file is an open file of its own, for a system tells each open file once of what it could not write: a round that shares one
	// may not hear of what the other has heard. nil: none could be opened, and the round waits for the one before.
	file vfs.File
	side bool // file is the second of the segment
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
	l.writing.Lock()
	r, under, err := l.beginRound()
	l.writing.Unlock()
	if under != nil {
		<-under
		return l.Durable(), l.usable()
	}
	if r == nil {
		return l.Durable(), err
	}
	err = r.run(l)
	return l.endRound(r, err)
}

// beginRound begins a round, if anything is to be made durable. If a round that is under way makes all of it durable, under is
// closed when it is over. The caller holds l.writing.
func (l *Log) beginRound() (r *syncRound, under <-chan struct{}, err error) {
	if err := l.usable(); err != nil || l.active == nil {
		return nil, nil, err
	}
	r = &syncRound{segment: l.active, mark: l.markHere(), done: make(chan struct{}), name: l.active.dirtyDir}
	if l.round != nil {
		if l.round.mark.Durable == r.mark.Durable {
			return nil, l.round.done, nil
		}
		r.before = l.round.done
	}
	if r.mark.Durable == l.Durable() { // the segment may be new, and its header not durable
		return nil, nil, nil
	}
	r.segment.users++
	r.segment.lend(r, l)
	l.round = r
	return r, nil, nil
}

// lend gives the round an open file that no other has. The caller holds l.writing.
func (a *activeSegment) lend(r *syncRound, l *Log) {
	if !a.lent || mutant("commitlog-rounds-share-a-file") {
		a.lent, r.file = true, a.file
		return
	}
	if a.side == nil {
		side, err := l.files.fs.OpenReadWrite(a.name)
		if err != nil {
			return // there is another way
		}
		a.side = side
	}
	r.side, r.file = true, a.side
}

// run makes the segment durable, and waits for the round before.
func (r *syncRound) run(l *Log) error {
	file := r.file
	if file == nil && r.before != nil {
		<-r.before
		file = r.segment.file
	}
	if mutant("commitlog-sync-without-fsync") {
		return nil
	}
	err := file.SyncData()
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
	if !r.side && r.file != nil {
		a.lent = false
	}
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

package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// logStore is raft's log, without holes: first to last, which begins no later than one behind the newest snapshot.
// Entries are verified when they come from another node, and whenever they are read (C8). It is safe for concurrent
// use.
//
// It is no raft.MonotonicLogStore: from one of those raft removes all entries when it installs a snapshot, also the ones
// behind the snapshot that this node has acknowledged already.
type logStore struct {
	store     *store
	snapshots *snapshotStore
	stop      *failStop

	mu          sync.Mutex // held while the log changes, so that first and last agree with the file
	first, last uint64     // 0 if the log is empty
}

var _ raft.LogStore = (*logStore)(nil)

func (l *logStore) bounds() (first, last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.last
}

// FirstIndex returns the index of the first entry, 0 if there is none.
func (l *logStore) FirstIndex() (uint64, error) {
	first, _ := l.bounds()
	return first, nil
}

// LastIndex returns the index of the last entry, or that of the newest snapshot if the log ends before it; 0 if there
// is neither. Raft takes the difference of the two without looking at its sign.
func (l *logStore) LastIndex() (uint64, error) {
	_, last := l.bounds()
	return max(last, l.covered()), nil
}

// GetLog reads and verifies one entry. A damaged one ends the goroutine: raft would panic.
//
// For the last entry of the newest snapshot it stands in if the log begins behind it. Raft asks for the term of the
// entry before those that the leader sends and looks for it in the log alone: a follower that had installed a snapshot
// and was restarted would refuse the entries behind it, for ever.
func (l *logStore) GetLog(index uint64, entry *raft.Log) error {
	l.stop.gate()
	if first, last := l.bounds(); index == 0 || index < first || index > last {
		if newest := l.snapshots.newest(); newest != nil && newest.Index == index {
			// It only tells its term. Should it ever be sent then the receiver refuses it: it has no right checksum.
			*entry = raft.Log{Index: index, Term: newest.Term, Type: raft.LogNoop, Extensions: []byte{0}}
			return nil
		}
		return raft.ErrLogNotFound
	}
	found := false
	err := l.store.view(func(tx *bbolt.Tx) error {
		value := tx.Bucket(logBucket).Get(indexKey(index))
		if value == nil {
			return nil
		}
		found = true
		return decodeEntry(index, value, entry)
	})
	if err == nil && !found {
		if first, last := l.bounds(); index < first || index > last {
			return raft.ErrLogNotFound // deleted in between
		}
		err = errors.New("entry is missing")
	}
	if err != nil {
		l.stop.stop(damage(l.store.folder, l.store.path, index, err))
	}
	return nil
}

// StoreLog appends one entry.
func (l *logStore) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries, durably. Those of this node get their checksum here; those of another node have one, and
// are refused if it does not match: the leader sends them again. A failed write ends the goroutine.
func (l *logStore) StoreLogs(entries []*raft.Log) error {
	l.stop.gate()
	if len(entries) == 0 {
		return nil
	}
	for _, entry := range entries {
		if len(entry.Extensions) == 0 {
			entry.Extensions = entryChecksum(entry)
		} else if err := verifyEntry(entry); err != nil {
			return fmt.Errorf("entry %d was damaged on its way: %w", entry.Index, err)
		}
	}
	if err := l.append(entries); err != nil {
		l.stop.stop(err)
	}
	return nil
}

func (l *logStore) append(entries []*raft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, last := l.first, l.last
	if last == 0 {
		last = min(l.covered(), entries[0].Index-1)
	}
	for _, entry := range entries {
		if entry.Index != last+1 {
			return persistError(l.store.path, "log", fmt.Errorf("entry %d cannot follow entry %d", entry.Index, last))
		}
		last = entry.Index
	}
	if first == 0 {
		first = entries[0].Index
	}
	if err := l.store.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(logBucket)
		// Entries come in order, so a full page is never split again.
		bucket.FillPercent = 0.9
		for _, entry := range entries {
			if err := bucket.Put(indexKey(entry.Index), encodeEntry(entry)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return persistError(l.store.path, "log", err)
	}
	l.first, l.last = first, last
	return nil
}

// DeleteRange removes entries low to high, both included, from either end of the log. A failed write ends the
// goroutine.
func (l *logStore) DeleteRange(low, high uint64) error {
	l.stop.gate()
	if err := l.remove(low, high); err != nil {
		l.stop.stop(err)
	}
	return nil
}

func (l *logStore) remove(low, high uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	low, high = max(low, l.first), min(high, l.last)
	if l.first == 0 || low > high {
		return nil
	}
	if low != l.first && high != l.last {
		return persistError(l.store.path, "log", fmt.Errorf("removing entries %d to %d would leave a hole", low, high))
	}
	if err := l.store.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(logBucket)
		for index := low; index <= high; index++ {
			if err := bucket.Delete(indexKey(index)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return persistError(l.store.path, "log", err)
	}
	switch {
	case low == l.first && high == l.last:
		l.first, l.last = 0, 0
	case low == l.first:
		l.first = high + 1
	default:
		l.last = low - 1
	}
	return nil
}

// covered returns the index up to which the newest snapshot reaches, 0 if there is none.
func (l *logStore) covered() uint64 {
	if newest := l.snapshots.newest(); newest != nil {
		return newest.Index
	}
	return 0
}

// supersede removes the log if a new snapshot takes its place: one that was installed and reaches further, or that holds
// another entry where it ends. Entries behind a snapshot that the log agrees with stay (Raft, figure 13, rule 6).
//
// In the second case raft would go on in the belief that its log ended where the removed one did. So the node stops;
// after a restart the snapshot is what it begins with. It takes a leader that has written more than the trailing
// entries without a majority, to get there.
func (l *logStore) supersede(snapshot *snapshotFooter) error {
	first, last := l.bounds()
	if last == 0 || first > snapshot.Index {
		return nil
	}
	if last >= snapshot.Index {
		var entry raft.Log
		if err := l.GetLog(snapshot.Index, &entry); err != nil {
			return nil //nolint:nilerr // removed in between: the log begins behind the snapshot
		}
		if entry.Term == snapshot.Term {
			return nil
		}
		err := fmt.Errorf("the entries of this broker differ from the cluster's at %d, and the cluster's snapshot takes "+
			"their place: start the broker again", snapshot.Index)
		l.stop.report(err)
		return err
	}
	return l.remove(first, last)
}

func indexKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

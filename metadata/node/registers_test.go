package node

import (
	"encoding/binary"
	"errors"
	"maps"
	"testing"
)

// disks are registers whose power fails before one of the writes.
type disks struct {
	values map[string]string
	writes int // that still succeed
}

var errPower = errors.New("no power")

func (d *disks) put(key, value []byte) error {
	if d.writes == 0 {
		return errPower
	}
	d.writes--
	d.values[string(key)] = string(value)
	return nil
}

func (d *disks) get(key []byte) ([]byte, error) {
	value, ok := d.values[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return []byte(value), nil
}

// votes is what raft does with its stable store.
type votes interface {
	SetUint64(key []byte, value uint64) error
	Set(key, value []byte) error
	GetUint64(key []byte) (uint64, error)
	Get(key []byte) ([]byte, error)
}

// naive writes term and candidate of a vote one after the other, as raft-boltdb does.
type naive struct{ *disks }

func (n naive) SetUint64(key []byte, value uint64) error {
	return n.put(key, binary.BigEndian.AppendUint64(nil, value))
}
func (n naive) Set(key, value []byte) error { return n.put(key, value) }

func (n naive) GetUint64(key []byte) (uint64, error) {
	value, err := n.get(key)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}
func (n naive) Get(key []byte) ([]byte, error) { return n.get(key) }

// mixedVote votes for a candidate per term, as raft does, with a power cut before every write in turn, and returns a
// vote that was never given and is there after the cut.
func mixedVote(t *testing.T, open func(*disks) votes) (term uint64, candidate string, found bool) {
	t.Helper()
	given := map[uint64]string{1: "x", 2: "y", 3: "x", 4: "z"}
	for cut := range 12 {
		disk := &disks{values: map[string]string{}, writes: cut}
		runToTheEnd(func() {
			voting := open(disk)
			for term := uint64(1); term <= 4; term++ {
				if voting.SetUint64([]byte(raftCurrentTerm), term) != nil ||
					voting.SetUint64([]byte(raftVoteTerm), term) != nil ||
					voting.Set([]byte(raftVoteCandidate), []byte(given[term])) != nil {
					return
				}
			}
		})
		after := open(&disks{values: maps.Clone(disk.values), writes: 100})
		term, termErr := after.GetUint64([]byte(raftVoteTerm))
		candidate, candidateErr := after.Get([]byte(raftVoteCandidate))
		if (termErr == nil) != (candidateErr == nil) || termErr == nil && given[term] != string(candidate) {
			return term, string(candidate), true
		}
	}
	return 0, "", false
}

// runToTheEnd runs do on a goroutine of its own, which a failed store may end.
func runToTheEnd(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	<-done
}

// A crash between any two writes never leaves a term with the candidate of another one (C8, hashicorp/raft #661).
func TestVoteIsWhole(t *testing.T) {
	ours := func(disk *disks) votes {
		store, err := newStableStore("test", disk, newFailStop())
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	if term, candidate, found := mixedVote(t, ours); found {
		t.Errorf("after a crash the vote of term %d is for %q", term, candidate)
	}
	// The test sees the fault where it is.
	if _, _, found := mixedVote(t, func(disk *disks) votes { return naive{disk} }); !found {
		t.Error("the naive store passes as well")
	}
}

// A term that cannot be saved is reported and ends raft's goroutine: raft would panic otherwise.
func TestTermCannotBeSaved(t *testing.T) {
	stop := newFailStop()
	store, err := newStableStore("file", &disks{}, stop)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		came := false
		runToTheEnd(func() {
			_ = store.SetUint64([]byte(raftCurrentTerm), 7)
			came = true
		})
		if came {
			t.Error("raft goes on without its term")
		}
	}
	if err := <-stop.reports; !errors.Is(err, errPower) {
		t.Errorf("reported: %v", err)
	}
	if len(stop.reports) != 0 {
		t.Error("reported twice")
	}
}

// A term that is saved already is not written again: opening a node writes nothing.
func TestSameTermIsNotWritten(t *testing.T) {
	disk := &disks{values: map[string]string{}, writes: 1}
	store, err := newStableStore("file", disk, newFailStop())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := store.SetUint64([]byte(raftCurrentTerm), 7); err != nil {
			t.Fatal(err)
		}
	}
	if disk.writes != 0 {
		t.Error("never written")
	}
}

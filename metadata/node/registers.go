package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// registers keeps single values, each written durably and at once, or not at all.
type registers interface {
	put(key, value []byte) error
	// get returns [errNotFound] for a key that was never put.
	get(key []byte) ([]byte, error)
}

// The keys that hashicorp/raft uses.
const (
	raftCurrentTerm   = "CurrentTerm"
	raftVoteTerm      = "LastVoteTerm"
	raftVoteCandidate = "LastVoteCand"
)

// stableStore keeps raft's term and vote.
//
// raft writes a vote in two steps, the term first and then the candidate. A crash between them would leave the new
// term with the candidate of the old one, and that candidate would later get a vote without its log being compared
// (hashicorp/raft #661). Here the term of a vote stays in memory until the candidate comes, and both are written in one
// register; both are read from it.
//
// It is used by raft's main goroutine only, and before that by the one that starts raft.
type stableStore struct {
	file      string
	registers registers
	stop      *failStop

	term     uint64 // what is on the disk
	voteTerm uint64 // of a vote whose candidate is still to come, else 0
}

var _ raft.StableStore = (*stableStore)(nil)

func newStableStore(file string, registers registers, stop *failStop) (*stableStore, error) {
	s := &stableStore{file: file, registers: registers, stop: stop}
	term, err := registers.get(termKey)
	if errors.Is(err, errNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.term = binary.BigEndian.Uint64(term)
	return s, nil
}

// SetUint64 keeps the current term, durably, or remembers the term of the vote that is coming.
func (s *stableStore) SetUint64(key []byte, value uint64) error {
	s.stop.gate()
	switch string(key) {
	case raftVoteTerm:
		s.voteTerm = value
		return nil
	case raftCurrentTerm:
		if value != s.term {
			s.write(termKey, binary.BigEndian.AppendUint64(nil, value))
			s.term = value
		}
		return nil
	}
	return fmt.Errorf("raft sets the unknown number %q", key)
}

// Set keeps a vote: the candidate, and the term that was set before it.
func (s *stableStore) Set(key, value []byte) error {
	s.stop.gate()
	if string(key) != raftVoteCandidate {
		return fmt.Errorf("raft sets the unknown value %q", key)
	}
	if s.voteTerm == 0 {
		return errors.New("raft names a candidate without the term of the vote")
	}
	s.write(voteKey, append(binary.BigEndian.AppendUint64(nil, s.voteTerm), value...))
	s.voteTerm = 0
	return nil
}

// GetUint64 returns the current term, or the term of the last whole vote.
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	s.stop.gate()
	switch string(key) {
	case raftVoteTerm:
		vote, err := s.vote()
		if err != nil {
			return 0, err
		}
		return binary.BigEndian.Uint64(vote), nil
	case raftCurrentTerm:
		if s.term == 0 {
			return 0, errNotFound
		}
		return s.term, nil
	}
	return 0, errNotFound
}

// Get returns the candidate of the last whole vote.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	s.stop.gate()
	if string(key) != raftVoteCandidate {
		return nil, errNotFound
	}
	vote, err := s.vote()
	if err != nil {
		return nil, err
	}
	return vote[8:], nil
}

// vote reads the register; its error is [errNotFound] or there is none: any other ends the goroutine.
func (s *stableStore) vote() ([]byte, error) {
	vote, err := s.registers.get(voteKey)
	if errors.Is(err, errNotFound) {
		return nil, errNotFound // raft compares the text
	}
	if err != nil {
		s.stop.stop(err)
	}
	return vote, nil
}

// write is durable when it returns; a failed write ends the goroutine.
func (s *stableStore) write(key, value []byte) {
	if err := s.registers.put(key, value); err != nil {
		s.stop.stop(persistError(s.file, fmt.Sprintf("register %q", key), err))
	}
}

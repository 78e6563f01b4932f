package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// contents is what a raft.db holds, every byte of it checked.
type contents struct {
	identity    string
	term        uint64
	vote        []byte // nil if there was none
	first, last uint64 // indexes of the log, 0 if it is empty
	lastTerm    uint64
	terms       map[uint64]uint64 // index → term
}

// readContents reads the whole file once: structure, registers, and every entry with its checksum (C8). After it,
// nothing that raft reads at its start can fail for what lies in the file.
func readContents(folder, path string, file io.ReaderAt, size int64) (*contents, error) {
	found := &contents{terms: map[uint64]uint64{}}
	if err := checkBolt(file, size, func(bucket, key, value []byte) error {
		switch string(bucket) {
		case string(logBucket):
			return found.entry(folder, path, key, value)
		case string(stateBucket):
			return found.register(key, value)
		}
		return fmt.Errorf("unknown bucket %q", bucket)
	}); err != nil {
		return nil, damage(folder, path, 0, err)
	}
	if err := found.consistent(); err != nil {
		return nil, damage(folder, path, 0, err)
	}
	return found, nil
}

// damage makes a [DamageError] of err, unless it is one already.
func damage(folder, file string, index uint64, err error) error {
	if already, ok := err.(*DamageError); ok { //nolint:errorlint // only the outermost counts: it names the place
		return already
	}
	return &DamageError{Folder: folder, File: file, Index: index, Reason: err.Error()}
}

// entry takes the next entry of the log.
func (c *contents) entry(folder, file string, key, value []byte) error {
	if len(key) != 8 {
		return fmt.Errorf("key %x of the log is no index", key)
	}
	index := binary.BigEndian.Uint64(key)
	var entry raft.Log
	if err := decodeEntry(index, value, &entry); err != nil {
		return damage(folder, file, index, err)
	}
	if c.first == 0 {
		c.first = index
	}
	if index == 0 || (c.last != 0 && index != c.last+1) {
		return damage(folder, file, index, fmt.Errorf("entry follows entry %d", c.last))
	}
	if entry.Term < c.lastTerm {
		return damage(folder, file, index, fmt.Errorf("entry of term %d follows one of term %d", entry.Term, c.lastTerm))
	}
	c.last, c.lastTerm = index, entry.Term
	c.terms[index] = entry.Term
	return nil
}

func (c *contents) register(key, stored []byte) error {
	value, err := unsealed(key, stored)
	if err != nil {
		return err
	}
	switch string(key) {
	case string(identityKey):
		c.identity = string(value)
	case string(termKey):
		if len(value) != 8 {
			return fmt.Errorf("term has %d bytes", len(value))
		}
		c.term = binary.BigEndian.Uint64(value)
	case string(voteKey):
		if len(value) < 8 {
			return fmt.Errorf("vote has %d bytes", len(value))
		}
		c.vote = value
	default:
		return fmt.Errorf("unknown register %q", key)
	}
	return nil
}

// consistent checks what raft's order of writes guarantees: a term is written before anything of that term.
func (c *contents) consistent() error {
	switch {
	case c.identity == "":
		return errors.New("the raft id is missing")
	case c.lastTerm > c.term:
		return fmt.Errorf("the log ends in term %d, but the store knows term %d only", c.lastTerm, c.term)
	case c.vote != nil && binary.BigEndian.Uint64(c.vote) > c.term:
		return fmt.Errorf("a vote was given in term %d, but the store knows term %d only",
			binary.BigEndian.Uint64(c.vote), c.term)
	}
	return nil
}

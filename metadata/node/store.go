package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

const (
	storeFile = "raft.db"
	newSuffix = ".new" // a file or folder that is still being written
	// lockPatience is how long an open waits for another process to let go of the file.
	lockPatience = time.Second
)

var (
	logBucket   = []byte("log")   // raft index, big-endian → entry (see entry.go)
	stateBucket = []byte("state") // key → value | CRC-32C over key and value

	identityKey = []byte("identity") // raft id
	termKey     = []byte("term")     // u64, big-endian
	voteKey     = []byte("vote")     // term u64, big-endian | candidate
)

// errNotFound has the text by which hashicorp/raft knows that a key was never set.
var errNotFound = errors.New("not found")

// store is the file raft.db: the log and raft's few registers. Every transaction of bbolt is synced before it returns
// (NoSync is false, and bbolt's own default). It is safe for concurrent use.
type store struct {
	folder, path string
	db           *bbolt.DB
	broken       atomic.Bool // bbolt has panicked: its locks may be held for ever
}

// openStore opens raft.db in folder and checks all of it, or makes it, with a raft id that is its own forever. The
// file is made under another name and renamed, so that it is whole or absent. found is what lies in it.
func openStore(folder string, newIdentity func() (string, error)) (s *store, found *contents, err error) {
	s = &store{folder: folder, path: filepath.Join(folder, storeFile)}
	file, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.create(newIdentity); err != nil {
			return nil, nil, fmt.Errorf("make %s: %w", s.path, err)
		}
		file, err = os.Open(s.path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open the raft store: %w", err)
	}
	found, err = s.read(file)
	if closing := file.Close(); err == nil && closing != nil {
		err = fmt.Errorf("close %s: %w", s.path, closing)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := s.open(s.path); err != nil {
		return nil, nil, err
	}
	return s, found, nil
}

func (s *store) read(file *os.File) (*contents, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the raft store: %w", err)
	}
	return readContents(s.folder, s.path, file, info.Size())
}

func (s *store) open(path string) error {
	return s.contain(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockPatience, NoStatistics: true})
		if err != nil {
			return fmt.Errorf("open %s (does another broker run on this folder?): %w", path, err)
		}
		s.db = db
		return nil
	})
}

func (s *store) create(newIdentity func() (string, error)) error {
	identity, err := newIdentity()
	if err != nil {
		return err
	}
	making := s.path + newSuffix
	if err := os.Remove(making); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what an earlier start left: %w", err)
	}
	if err := s.open(making); err != nil {
		return err
	}
	err = s.update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{logBucket, stateBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(stateBucket).Put(identityKey, sealed(identityKey, []byte(identity)))
	})
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if err := os.Rename(making, s.path); err != nil {
		return err
	}
	return syncFolder(s.folder)
}

// contain turns a panic of bbolt into damage. It has no place to come from: the whole file was checked before bbolt
// opened it. But bbolt answers pages that it does not understand with a panic, and pages can rot while it runs; without
// this the process would die with a stack trace instead of an error that names file and remedy. A file that somebody
// cuts while it is mapped faults, which SetPanicOnFault makes a panic of this goroutine.
func (s *store) contain(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			s.broken.Store(true)
			err = &DamageError{Folder: s.folder, File: s.path, Reason: fmt.Sprint(cause)}
		}
	}()
	return do()
}

func (s *store) update(do func(*bbolt.Tx) error) error {
	return s.contain(func() error { return s.db.Update(do) })
}

func (s *store) view(do func(*bbolt.Tx) error) error {
	return s.contain(func() error { return s.db.View(do) })
}

// put writes one register, durably.
func (s *store) put(key, value []byte) error {
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket(stateBucket).Put(key, sealed(key, value)) })
}

// get reads one register; [errNotFound] if it was never put.
func (s *store) get(key []byte) (value []byte, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(stateBucket).Get(key)
		if stored == nil {
			return errNotFound
		}
		value, err = unsealed(key, stored)
		if err != nil {
			return &DamageError{Folder: s.folder, File: s.path, Reason: err.Error()}
		}
		return nil
	})
	return value, err
}

// Close closes the file, unless bbolt has panicked: then it stays open and locked until the process exits.
func (s *store) Close() error {
	if s.broken.Load() {
		return nil
	}
	return s.contain(s.db.Close)
}

// sealed is a register as it lies in the file: with a CRC-32C over key and value.
func sealed(key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(nil), value...), registerChecksum(key, value))
}

// unsealed returns a copy of a register's value.
func unsealed(key, stored []byte) ([]byte, error) {
	end := len(stored) - checksumBytes
	if end < 0 {
		return nil, fmt.Errorf("register %q has no checksum", key)
	}
	if registerChecksum(key, stored[:end]) != binary.BigEndian.Uint32(stored[end:]) {
		return nil, fmt.Errorf("register %q: checksum mismatch", key)
	}
	return append([]byte(nil), stored[:end]...), nil
}

func registerChecksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

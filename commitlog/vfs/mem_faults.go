package vfs

import (
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
)

// unlimitedPages is the capacity of a disk without limit: 1 PiB.
const unlimitedPages = 1 << 50 / pageSize

// Op is an operation on a Mem or on one of its files.
type Op struct {
	Kind    OpKind
	Name    string // as it was given to the call, or to the one that opened the file
	NewName string // of Rename
	Offset  int64  // of ReadAt, WriteAt and Preallocate; of Truncate the new size
	Bytes   int64  // of ReadAt, WriteAt and Preallocate, as asked for
}

// OpKind is the kind of an operation: the method that was called.
type OpKind uint8

// The methods of FS and File, and Unlock for closing a lock.
const (
	OpOpen OpKind = iota
	OpOpenReadWrite
	OpCreate
	OpRemove
	OpRemoveAll
	OpRename
	OpMkdirAll
	OpReadDir
	OpStat
	OpSyncDir
	OpLock
	OpUnlock
	OpSpace
	OpReadAt
	OpWriteAt
	OpClose
	OpSize
	OpTruncate
	OpSyncData
	OpPreallocate
	OpDropCache
)

// String is the name of the method.
func (k OpKind) String() string {
	names := [...]string{
		"Open", "OpenReadWrite", "Create", "Remove", "RemoveAll", "Rename", "MkdirAll", "ReadDir", "Stat", "SyncDir",
		"Lock", "Unlock", "Space", "ReadAt", "WriteAt", "Close", "Size", "Truncate", "SyncData", "Preallocate",
		"DropCache",
	}
	if int(k) >= len(names) {
		return fmt.Sprintf("OpKind(%d)", k)
	}
	return names[k]
}

// faults is what tests want to go wrong. It has a lock of its own: hooks may use the Mem.
type faults struct {
	hooks atomic.Pointer[[]*hook] // replaced as a whole, with mu held

	mu    sync.Mutex
	syncs map[string]int // SyncData to fail, by clean name; "" is any file
}

type hook struct{ run func(Op) error }

// before runs the hooks up to the first that fails.
func (f *faults) before(op Op) error {
	hooks := f.hooks.Load()
	if hooks == nil {
		return nil
	}
	for _, h := range *hooks {
		if err := h.run(op); err != nil {
			return err
		}
	}
	return nil
}

// replace sets the hooks to what change makes of them.
func (f *faults) replace(change func([]*hook) []*hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var old []*hook
	if hooks := f.hooks.Load(); hooks != nil {
		old = *hooks
	}
	hooks := change(slices.Clone(old))
	f.hooks.Store(&hooks)
}

// syncFails says whether a SyncData of the file is to fail, and takes note that it did.
func (f *faults) syncFails(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.syncs) == 0 {
		return false
	}
	for _, key := range []string{cleanName(name), ""} {
		if f.syncs[key] > 0 {
			f.syncs[key]--
			return true
		}
	}
	return false
}

// OnOp has the hook called before every operation, after the hooks that are there. If it returns an error, the operation
// returns that error, wrapped, and has no effect; only Close and Unlock let go nevertheless. The hook runs on the
// goroutine of the operation, side by side with others, and may use the Mem, also to crash it: the operation then fails
// with ErrCrashed. An operation of its own calls hooks again. Remove takes the hook away.
func (m *Mem) OnOp(run func(Op) error) (remove func()) {
	h := &hook{run: run}
	m.faults.replace(func(hooks []*hook) []*hook { return append(hooks, h) })
	return func() {
		m.faults.replace(func(hooks []*hook) []*hook {
			return slices.DeleteFunc(hooks, func(other *hook) bool { return other == h })
		})
	}
}

// FailNextSync makes the next SyncData fail with syscall.EIO, of the file opened by that name or, with an empty name, of
// any file; twice when called twice. What was written and not synced is then marked as clean: reads show it until
// DropCache, later calls of SyncData succeed without writing it, a crash loses it, and a page in which more is written
// becomes dirty again as a whole. Changes of the size are not lost, only still not durable.
func (m *Mem) FailNextSync(name string) {
	m.faults.mu.Lock()
	defer m.faults.mu.Unlock()
	if name != "" {
		name = cleanName(name)
	}
	if m.faults.syncs == nil {
		m.faults.syncs = map[string]int{}
	}
	m.faults.syncs[name]++
}

// SetCapacity limits the disk, rounded down to blocks of 4096 bytes. What writes and preallocations take beyond it fails
// with syscall.ENOSPC; what is there already may exceed it. A write that fits in part is short. Names take no space,
// neither do the holes of a file. Zero or less is no limit.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk.limit = unlimitedPages
	if bytes > 0 {
		m.disk.limit = bytes / pageSize
	}
}

// FlipBit changes one bit of a file at rest: of what is read and of what is durable.
func (m *Mem) FlipBit(name string, offset int64, bit int) error {
	if bit < 0 || bit > 7 {
		return fmt.Errorf("flipping bit %d of %s: %w; a byte has bits 0 to 7", bit, name, fs.ErrInvalid)
	}
	return m.damage(name, offset, 1, func(p []byte) { p[0] ^= 1 << bit })
}

// ZeroRange makes a part of a file at rest zero: of what is read and of what is durable.
func (m *Mem) ZeroRange(name string, offset, lengthBytes int64) error {
	return m.damage(name, offset, lengthBytes, func(p []byte) { clear(p) })
}

func (m *Mem) damage(name string, offset, length int64, change func([]byte)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead.Load() {
		return fmt.Errorf("damaging %s: %w", name, ErrCrashed)
	}
	at, err := m.tree.existing(name)
	if err != nil {
		return fmt.Errorf("damaging %s: %w", name, err)
	}
	c := at.inode.contents
	if c == nil || offset < 0 || length < 0 || length > c.cache.size-offset {
		return fmt.Errorf("damaging %d bytes of %s from %d on: %w; they must be in a file", length, name, offset,
			fs.ErrInvalid)
	}
	c.damage(offset, length, change)
	return nil
}

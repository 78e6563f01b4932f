package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// ErrCrashed is what a Mem and its files return after it crashed or was killed.
var ErrCrashed = errors.New("the file system has crashed; go on with the one that Crash returned")

// Mem is a file system in memory that crashes the way disks do; the package comment tells how. It is empty but for the
// folder "/", where relative names begin as well. Times of files are zero. It starts no goroutines and needs no Close.
type Mem struct {
	faults faults
	dead   atomic.Bool // set while mu is held

	mu      sync.Mutex // guards all below, and the inodes of tree
	tree    *tree
	disk    *space
	used    map[*inode]struct{} // those with handles
	reads   reads
	crashes *rand.PCG
	clones  *rand.PCG
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system of unlimited capacity whose crashes are determined by the seed.
func NewMem(seed uint64) *Mem {
	m := &Mem{
		tree:    newTree(),
		disk:    &space{limit: unlimitedPages},
		used:    map[*inode]struct{}{},
		crashes: rand.NewPCG(seed, 1),
		clones:  rand.NewPCG(seed, 2),
	}
	m.reads.byName = map[string]*ReadCount{}
	return m
}

// do runs an operation: hooks first, then the operation with the mutex held, unless the instance is dead.
func (m *Mem) do(op Op, run func() error) error {
	if m.dead.Load() {
		return op.failed(ErrCrashed)
	}
	if err := m.faults.before(op); err != nil {
		return op.failed(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead.Load() { // a hook crashed it, or another goroutine
		return op.failed(ErrCrashed)
	}
	if err := run(); err != nil {
		return op.failed(err)
	}
	return nil
}

// failed names the operation and the file in an error, as package os does.
func (op Op) failed(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return err
	case op.Kind == OpRename:
		return &os.LinkError{Op: op.Kind.String(), Old: op.Name, New: op.NewName, Err: err}
	default:
		return &fs.PathError{Op: op.Kind.String(), Path: op.Name, Err: err}
	}
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) {
	return m.open(Op{Kind: OpOpen, Name: name}, false)
}

// OpenReadWrite implements FS.
func (m *Mem) OpenReadWrite(name string) (File, error) {
	return m.open(Op{Kind: OpOpenReadWrite, Name: name}, true)
}

func (m *Mem) open(op Op, writable bool) (File, error) {
	var f *memFile
	err := m.do(op, func() error {
		at, err := m.tree.existing(op.Name)
		if err != nil {
			return err
		}
		if at.inode.contents == nil {
			return syscall.EISDIR
		}
		f = m.handle(at.inode, op.Name, writable)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	var f *memFile
	err := m.do(Op{Kind: OpCreate, Name: name}, func() error {
		at, err := m.tree.find(name)
		if err != nil {
			return err
		}
		if at.inode != nil {
			return fs.ErrExist
		}
		f = m.handle(m.create(at), name, true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// create makes an empty file at a free place.
func (m *Mem) create(at place) *inode {
	n := m.tree.newFile(newContents(image{}, m.disk))
	m.tree.link(at, n)
	return n
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	return m.do(Op{Kind: OpRemove, Name: name}, func() error {
		at, err := m.tree.existing(name)
		switch {
		case err != nil:
			return err
		case at.isRoot():
			return syscall.EBUSY
		case at.inode.folder != nil && len(at.inode.folder.names) > 0:
			return syscall.ENOTEMPTY
		}
		m.remove(at)
		return nil
	})
}

// RemoveAll implements FS. Hooks see one operation.
func (m *Mem) RemoveAll(name string) error {
	return m.do(Op{Kind: OpRemoveAll, Name: name}, func() error {
		at, err := m.tree.existing(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case at.isRoot():
			return syscall.EBUSY
		}
		m.removeAll(at)
		return nil
	})
}

func (m *Mem) removeAll(at place) {
	if f := at.inode.folder; f != nil {
		for _, name := range slices.Sorted(maps.Keys(f.names)) {
			m.removeAll(place{in: f, name: name, inode: f.names[name]})
		}
	}
	m.remove(at)
}

func (m *Mem) remove(at place) {
	m.tree.unlink(at)
	m.freeUnused(at.inode)
}

// freeUnused gives back the space of a file that has no name and is not open.
func (m *Mem) freeUnused(n *inode) {
	if !n.linked && n.handles == 0 && n.contents != nil {
		n.contents.free()
	}
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	return m.do(Op{Kind: OpRename, Name: oldName, NewName: newName}, func() error {
		from, err := m.tree.find(oldName)
		if err != nil {
			return err
		}
		to, err := m.tree.find(newName)
		if err != nil {
			return err
		}
		switch {
		case from.inode == nil:
			return fs.ErrNotExist
		case to.inode != nil && to.inode.folder != nil:
			return fs.ErrExist
		case from.isRoot() || from.inode.folder != nil && m.tree.within(newName, from.inode):
			return syscall.EINVAL
		case from.inode == to.inode:
			return nil
		case from.inode.folder != nil && to.inode != nil:
			return syscall.ENOTDIR
		}
		m.tree.move(from, to)
		if to.inode != nil {
			m.freeUnused(to.inode)
		}
		return nil
	})
}

// MkdirAll implements FS. Hooks see one operation.
func (m *Mem) MkdirAll(name string) error {
	return m.do(Op{Kind: OpMkdirAll, Name: name}, func() error {
		if name == "" {
			return fs.ErrNotExist
		}
		for _, folder := range parents(name) {
			at, err := m.tree.find(folder)
			switch {
			case err != nil:
				return err
			case at.inode == nil:
				m.tree.link(at, m.tree.newFolder(nil, nil))
			case at.inode.folder == nil:
				return syscall.ENOTDIR
			}
		}
		return nil
	})
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	err := m.do(Op{Kind: OpReadDir, Name: name}, func() error {
		folder, err := m.folder(name)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(folder.names)) {
			entries = append(entries, fs.FileInfoToDirEntry(folder.names[name].info(name)))
		}
		return nil
	})
	return entries, err
}

// folder finds a folder.
func (m *Mem) folder(name string) (*folder, error) {
	at, err := m.tree.existing(name)
	if err != nil {
		return nil, err
	}
	if at.inode.folder == nil {
		return nil, syscall.ENOTDIR
	}
	return at.inode.folder, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	var found fs.FileInfo
	err := m.do(Op{Kind: OpStat, Name: name}, func() error {
		at, err := m.tree.existing(name)
		if err != nil {
			return err
		}
		found = at.inode.info(at.name)
		return nil
	})
	return found, err
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	return m.do(Op{Kind: OpSyncDir, Name: name}, func() error {
		folder, err := m.folder(name)
		if err != nil {
			return err
		}
		m.tree.sync(folder)
		return nil
	})
}

// Lock implements FS. The holder is this instance: a clone after a crash has no locks.
func (m *Mem) Lock(name string) (io.Closer, error) {
	var l *memLock
	err := m.do(Op{Kind: OpLock, Name: name}, func() error {
		at, err := m.tree.find(name)
		if err != nil {
			return err
		}
		if at.inode == nil {
			at.inode = m.create(at)
		}
		switch {
		case at.inode.contents == nil:
			return syscall.EISDIR
		case at.inode.locked:
			return ErrLocked
		}
		at.inode.locked = true
		l = &memLock{file: m.handle(at.inode, name, false)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Space implements FS.
func (m *Mem) Space(name string) (Space, error) {
	var space Space
	err := m.do(Op{Kind: OpSpace, Name: name}, func() error {
		_, err := m.tree.existing(name)
		space = Space{
			TotalBytes: m.disk.limit * pageSize,
			FreeBytes:  max(0, m.disk.limit-m.disk.taken) * pageSize,
		}
		return err
	})
	if err != nil {
		return Space{}, err
	}
	return space, nil
}

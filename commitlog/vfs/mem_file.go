package vfs

import (
	"io"
	"io/fs"
	"syscall"
	"time"
)

// memFile is an open file of a Mem.
type memFile struct {
	mem      *Mem
	inode    *inode
	name     string // as it was opened
	writable bool
	reads    *ReadCount // of that name; guarded by mem.mu
	closed   bool       // guarded by mem.mu
}

// handle opens a file. The caller holds m.mu.
func (m *Mem) handle(n *inode, name string, writable bool) *memFile {
	n.handles++
	m.used[n] = struct{}{}
	return &memFile{mem: m, inode: n, name: name, writable: writable, reads: m.reads.of(name)}
}

// do runs an operation on the file unless it is closed.
func (f *memFile) do(op Op, run func(*contents) error) error {
	op.Name = f.name
	return f.mem.do(op, func() error {
		if f.closed {
			return fs.ErrClosed
		}
		return run(f.inode.contents)
	})
}

// change runs an operation that changes the file at a position.
func (f *memFile) change(op Op, run func(*contents) error) error {
	return f.do(op, func(c *contents) error {
		if !f.writable {
			return syscall.EBADF
		}
		if op.Offset < 0 {
			return fs.ErrInvalid
		}
		return run(c)
	})
}

func (f *memFile) ReadAt(p []byte, offset int64) (n int, err error) {
	err = f.do(Op{Kind: OpReadAt, Offset: offset, Bytes: int64(len(p))}, func(c *contents) error {
		if offset < 0 {
			return fs.ErrInvalid
		}
		n = c.cache.readAt(p, offset)
		f.reads.add(n)
		f.mem.reads.total.add(n)
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *memFile) WriteAt(p []byte, offset int64) (n int, err error) {
	err = f.change(Op{Kind: OpWriteAt, Offset: offset, Bytes: int64(len(p))}, func(c *contents) error {
		n, err = c.write(p, offset)
		return err
	})
	return n, err
}

func (f *memFile) Truncate(sizeBytes int64) error {
	return f.change(Op{Kind: OpTruncate, Offset: sizeBytes}, func(c *contents) error {
		return c.truncate(sizeBytes)
	})
}

func (f *memFile) Preallocate(offset, lengthBytes int64) error {
	return f.change(Op{Kind: OpPreallocate, Offset: offset, Bytes: lengthBytes}, func(c *contents) error {
		if lengthBytes <= 0 {
			return fs.ErrInvalid
		}
		return c.preallocate(offset, lengthBytes)
	})
}

func (f *memFile) Size() (size int64, err error) {
	err = f.do(Op{Kind: OpSize}, func(c *contents) error {
		size = c.cache.size
		return nil
	})
	return size, err
}

func (f *memFile) SyncData() error {
	return f.do(Op{Kind: OpSyncData}, func(c *contents) error {
		if f.mem.faults.syncFails(f.name) {
			c.failSync()
			return syscall.EIO
		}
		c.sync()
		return nil
	})
}

func (f *memFile) DropCache() error {
	return f.do(Op{Kind: OpDropCache}, func(c *contents) error {
		c.dropCache()
		return nil
	})
}

// Close gives back the handle even when a hook fails it, as systems do.
func (f *memFile) Close() error { return f.release(OpClose, nil) }

// release closes the file and then, with the mutex held, calls also.
func (f *memFile) release(kind OpKind, also func()) error {
	op := Op{Kind: kind, Name: f.name}
	if f.mem.dead.Load() {
		return op.failed(ErrCrashed)
	}
	err := f.mem.faults.before(op)
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	switch {
	case f.mem.dead.Load():
		return op.failed(ErrCrashed)
	case f.closed:
		return op.failed(fs.ErrClosed)
	}
	f.closed = true
	f.inode.handles--
	if f.inode.handles == 0 {
		delete(f.mem.used, f.inode)
		f.mem.freeUnused(f.inode)
	}
	if also != nil {
		also()
	}
	if err != nil {
		return op.failed(err)
	}
	return nil
}

// memLock is a lock that is held until Close.
type memLock struct{ file *memFile }

func (l *memLock) Close() error {
	return l.file.release(OpUnlock, func() { l.file.inode.locked = false })
}

// info describes a file or folder as it is now.
func (n *inode) info(name string) memInfo {
	if name == "" {
		name = "/"
	}
	if n.folder != nil {
		return memInfo{name: name, mode: fs.ModeDir | folderPermissions}
	}
	return memInfo{name: name, size: n.contents.cache.size, mode: filePermissions}
}

// memInfo implements fs.FileInfo.
type memInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }

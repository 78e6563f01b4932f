package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openFile opens a regular file. os.OpenFile would offer each to the poller, which takes none, with five system calls that
// thousands of logs notice.
func openFile(name string, flags int) (*os.File, error) {
	fd := -1
	err := retryInterrupted(func() (err error) {
		fd, err = syscall.Open(name, flags|syscall.O_CLOEXEC|syscall.O_LARGEFILE, filePermissions)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func syncData(f *os.File) error {
	return onDescriptor(f, "fdatasync", syscall.Fdatasync)
}

// preallocate falls back to the size alone on file systems without fallocate, as NFS before version 4.2.
func preallocate(f *os.File, offset, lengthBytes int64) error {
	err := onDescriptor(f, "fallocate", func(fd int) error {
		return syscall.Fallocate(fd, 0, offset, lengthBytes)
	})
	if errors.Is(err, errors.ErrUnsupported) {
		return extend(f, offset+lengthBytes)
	}
	return err
}

func dropCache(f *os.File) error {
	return onDescriptor(f, "fadvise", adviseNotNeeded)
}

func volumeSpace(name string) (Space, error) {
	var st syscall.Statfs_t
	err := retryInterrupted(func() error { return syscall.Statfs(name, &st) })
	if err != nil {
		return Space{}, err
	}
	block := int64(st.Frsize) // the unit of the counts; Bsize is the size good for reading where they differ
	if block == 0 {
		block = int64(st.Bsize)
	}
	return Space{TotalBytes: int64(st.Blocks) * block, FreeBytes: int64(st.Bavail) * block}, nil
}

// onDescriptor makes a system call on an open file and keeps it open meanwhile.
func onDescriptor(f *os.File, op string, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if conn.Control(func(fd uintptr) {
		failed = retryInterrupted(func() error { return call(int(fd)) })
	}) != nil {
		failed = fs.ErrClosed
	}
	if failed != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: failed}
	}
	return nil
}

// retryInterrupted repeats a call that a signal ended: the runtime uses signals to preempt goroutines.
func retryInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

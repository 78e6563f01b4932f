package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

type osFS struct{}

// OS is the real file system.
func OS() FS { return osFS{} }

type osFile struct{ *os.File }

func (osFS) Open(name string) (File, error)          { return wrap(os.Open(name)) }
func (osFS) OpenReadWrite(name string) (File, error) { return wrap(os.OpenFile(name, os.O_RDWR, 0)) }
func (osFS) Create(name string) (File, error) {
	return wrap(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640))
}
func wrap(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}
func (osFS) Remove(name string) error                   { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                { return os.RemoveAll(name) }
func (osFS) Rename(a, b string) error                   { return os.Rename(a, b) }
func (osFS) MkdirAll(name string) error                 { return os.MkdirAll(name, 0o750) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }
func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	return f, nil
}
func (osFS) Space(name string) (Space, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(name, &st)
	return Space{TotalBytes: int64(st.Blocks) * int64(st.Bsize), FreeBytes: int64(st.Bavail) * int64(st.Bsize)}, err
}
func (f osFile) Size() (int64, error) {
	i, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}
func (f osFile) SyncData() error                    { return syscall.Fdatasync(int(f.Fd())) }
func (f osFile) Preallocate(off, length int64) error { return syscall.Fallocate(int(f.Fd()), 0, off, length) }
func (f osFile) DropCache() error                   { return nil }

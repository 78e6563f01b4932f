package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Permissions of what is created, before the umask: the log is its owner's, and readable for the group.
const (
	filePermissions   = 0o640
	folderPermissions = 0o750
)

// OS is the file system of the operating system. It is as durable as the volume below: SyncData is fdatasync on Linux
// and a full flush of the device elsewhere. On Windows a folder cannot be synced; SyncDir then relies on the file
// system's own journal.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Open(name string) (File, error) {
	f, err := openFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	// Opening a folder for reading succeeds on some systems, where the first read then fails.
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osFile{f}, nil
}

func (osFS) OpenReadWrite(name string) (File, error) {
	return openOS(name, os.O_RDWR)
}

func (osFS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func openOS(name string, flags int) (File, error) {
	f, err := openFile(name, flags)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Remove(name string) error                   { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                { return os.RemoveAll(name) }
func (osFS) Rename(oldName, newName string) error       { return os.Rename(oldName, newName) }
func (osFS) MkdirAll(name string) error                 { return os.MkdirAll(name, folderPermissions) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }

func (osFS) SyncDir(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "sync folder", Path: name, Err: syscall.ENOTDIR}
	}
	return syncFolder(name)
}

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := lockFile(name)
	if err != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return f, nil
}

func (osFS) Space(name string) (Space, error) {
	space, err := volumeSpace(name)
	if err != nil {
		return Space{}, &fs.PathError{Op: "ask for the space of", Path: name, Err: err}
	}
	return space, nil
}

// osFile hides what an os.File can do beyond File, so that nobody comes to rely on it.
type osFile struct{ file *os.File }

func (f osFile) ReadAt(p []byte, offset int64) (int, error)  { return f.file.ReadAt(p, offset) }
func (f osFile) WriteAt(p []byte, offset int64) (int, error) { return f.file.WriteAt(p, offset) }
func (f osFile) Truncate(sizeBytes int64) error              { return f.file.Truncate(sizeBytes) }
func (f osFile) Close() error                                { return f.file.Close() }

func (f osFile) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) SyncData() error  { return syncData(f.file) }
func (f osFile) DropCache() error { return dropCache(f.file) }

func (f osFile) Preallocate(offset, lengthBytes int64) error {
	if offset < 0 || lengthBytes <= 0 || offset+lengthBytes < 0 {
		return &fs.PathError{Op: "preallocate", Path: f.file.Name(), Err: fs.ErrInvalid}
	}
	before, err := f.Size()
	if err != nil {
		return err
	}
	if err := preallocate(f.file, offset, lengthBytes); err != nil {
		return errors.Join(err, f.undoGrowth(before))
	}
	return nil
}

// undoGrowth takes back what a preallocation added before it failed.
func (f osFile) undoGrowth(before int64) error {
	now, err := f.Size()
	if err != nil || now <= before {
		return err
	}
	return f.Truncate(before)
}

// extend makes the file at least that long without taking space.
func extend(f *os.File, sizeBytes int64) error {
	info, err := f.Stat()
	if err != nil || info.Size() >= sizeBytes {
		return err
	}
	return f.Truncate(sizeBytes)
}

// reason is what is wrong, without operation and path, for those who name them themselves.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

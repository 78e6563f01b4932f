// Package vfs is the file seam of the commit log.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked means that another holder has the lock.
var ErrLocked = errors.New("locked by another holder")

// Space of a volume.
type Space struct {
	TotalBytes int64
	FreeBytes  int64
}

// FS is a file system.
type FS interface {
	Open(name string) (File, error)
	OpenReadWrite(name string) (File, error)
	Create(name string) (File, error)
	Remove(name string) error
	RemoveAll(name string) error
	Rename(oldName, newName string) error
	MkdirAll(name string) error
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	SyncDir(name string) error
	Lock(name string) (io.Closer, error)
	Space(name string) (Space, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(sizeBytes int64) error
	SyncData() error
	Preallocate(offset, lengthBytes int64) error
	DropCache() error
}

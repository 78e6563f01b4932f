package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked means that another holder has the lock.
var ErrLocked = errors.New("locked by another holder; stop it, or use another folder")

// FS is a file system. Names are paths in the form of the operating system. It is safe for concurrent use.
//
// Errors match [fs.ErrNotExist] and [fs.ErrExist] where a file or a folder is missing or in the way, and syscall.ENOSPC
// where the volume is full.
type FS interface {
	// Open opens an existing file for reading. Folders cannot be opened.
	Open(name string) (File, error)

	// OpenReadWrite opens an existing file for reading and writing.
	OpenReadWrite(name string) (File, error)

	// Create makes a new, empty file and opens it for reading and writing. A file or folder of that name is an error
	// that matches fs.ErrExist. The name is durable after SyncDir of the folder.
	Create(name string) (File, error)

	// Remove removes a file or an empty folder. Those who have the file open keep what they have. It is durable after
	// SyncDir of the folder above; until then the file may come back.
	Remove(name string) error

	// RemoveAll removes a file or a folder with all that is in it. That there is none is no error. After a crash any
	// part of it may be left, unless the folder above was synced.
	RemoveAll(name string) error

	// Rename gives a file or a folder, with all that is in it, another name. A file in the way is replaced, a folder in
	// the way is an error that matches fs.ErrExist. It is atomic, and durable after SyncDir of the folder, or of both
	// folders if there are two.
	Rename(oldName, newName string) error

	// MkdirAll makes a folder and the ones above it that are missing. That there is one is no error. Each new name is
	// durable after SyncDir of the folder above it.
	MkdirAll(name string) error

	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)

	// Stat describes a file or a folder.
	Stat(name string) (fs.FileInfo, error)

	// SyncDir makes durable what was created, removed and renamed in the folder before the call. It says nothing about
	// contents of files, about folders below, or about the folder's own name.
	SyncDir(name string) error

	// Lock takes the exclusive lock that goes with a file, which is made if there is none and never removed. Closing what
	// is returned, or the end of the process, gives it back. When another process holds it, or this one through an
	// earlier Lock, the error matches ErrLocked at once. The lock is advisory: it keeps nobody from using the file.
	Lock(name string) (io.Closer, error)

	// Space tells the size of the volume that holds the file or folder.
	Space(name string) (Space, error)
}

// File is an open file. Its methods may be called concurrently, except that one that changes the size (Truncate,
// Preallocate, a WriteAt beyond the end) must not run beside another one that changes the contents. After Close all
// return an error that matches [fs.ErrClosed].
type File interface {
	// ReadAt reads as io.ReaderAt says: fewer bytes than asked for come with an error, which is io.EOF at the end.
	io.ReaderAt

	// WriteAt writes at a position, which may lie beyond the end; what is left out reads as zeros. When it fails, as with
	// ENOSPC, any part of p may be written, also more than the n bytes that it returns, and the file may have grown. It is
	// durable after SyncData.
	io.WriterAt

	// Close gives back the descriptor. It makes nothing durable and loses nothing.
	io.Closer

	// Size is the current size in bytes.
	Size() (int64, error)

	// Truncate sets the size. What is added reads as zeros and takes no space. It is durable after SyncData.
	Truncate(sizeBytes int64) error

	// SyncData makes durable the contents as they were when it was called, and what is needed to read them back, such as
	// the size. It does not make the name durable. When it fails, what was written since the last one that succeeded is
	// in doubt for good, whatever later calls return.
	SyncData() error

	// Preallocate takes space for length bytes from offset on, and extends the size to their end if it is smaller. What
	// is there stays, what is added reads as zeros. When it fails, as with ENOSPC, the file is as it was. It is durable
	// after SyncData. Length must be positive. Where the system cannot reserve space, only the size is extended.
	Preallocate(offset, lengthBytes int64) error

	// DropCache makes later reads come from the disk. It forgets nothing that is still to be written. Where the system has
	// no such call, it does nothing.
	DropCache() error
}

// Space is the size of a volume. FreeBytes is what is left for this process.
type Space struct {
	TotalBytes int64
	FreeBytes  int64
}

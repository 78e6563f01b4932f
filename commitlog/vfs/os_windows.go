package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// sharingViolation is ERROR_SHARING_VIOLATION: somebody has the file open and shares it with nobody.
const sharingViolation = syscall.Errno(32)

// lockFile opens the file so that nobody else can until it is closed.
func lockFile(name string) (*os.File, error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	const shareWithNobody = 0
	handle, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, shareWithNobody, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, sharingViolation) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(handle), name), nil
}

// syncFolder does nothing: folders cannot be flushed here, and NTFS journals names in order.
func syncFolder(string) error { return nil }

func volumeSpace(name string) (Space, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Space{}, reason(err)
	}
	if !info.IsDir() {
		name = filepath.Dir(name)
	}
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return Space{}, err
	}
	var free, total uint64
	call := syscall.NewLazyDLL("kernel32.dll").NewProc("GetDiskFreeSpaceExW")
	done, _, err := call.Call(uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&free)),
		uintptr(unsafe.Pointer(&total)), 0)
	if done == 0 {
		return Space{}, err
	}
	return Space{TotalBytes: int64(total), FreeBytes: int64(free)}, nil
}

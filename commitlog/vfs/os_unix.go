//go:build darwin || dragonfly || freebsd || linux

package vfs

import (
	"errors"
	"os"
	"syscall"
)

// lockFile opens the file and locks it until it is closed. The lock belongs to the descriptor, so that it keeps out
// other processes and other descriptors of this one.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePermissions)
	if err != nil {
		return nil, reason(err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func syncFolder(name string) error {
	f, err := openFile(name, os.O_RDONLY)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

//go:build !(darwin || dragonfly || freebsd || linux || windows)

package vfs

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

func lockFile(string) (*os.File, error) {
	return nil, fmt.Errorf("file locks on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func volumeSpace(string) (Space, error) {
	return Space{}, fmt.Errorf("the size of a volume on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

//go:build !linux

package vfs

import "os"

func openFile(name string, flags int) (*os.File, error) {
	return os.OpenFile(name, flags, filePermissions)
}

func syncData(f *os.File) error { return f.Sync() }

func preallocate(f *os.File, offset, lengthBytes int64) error {
	return extend(f, offset+lengthBytes)
}

// dropCache does nothing but tell a closed file: the cache cannot be dropped here.
func dropCache(f *os.File) error {
	_, err := f.Stat()
	return err
}

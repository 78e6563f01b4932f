//go:build darwin || dragonfly || freebsd

package vfs

import "syscall"

func volumeSpace(name string) (Space, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(name, &st); err != nil {
		return Space{}, err
	}
	block := int64(st.Bsize)
	return Space{TotalBytes: int64(st.Blocks) * block, FreeBytes: int64(st.Bavail) * block}, nil
}

//go:build amd64 || arm64 || loong64 || mips64 || mips64le || ppc64 || ppc64le || riscv64

package vfs

import "syscall"

// posixFadvDontNeed is POSIX_FADV_DONTNEED on the architectures above. Elsewhere the number differs, or the arguments
// are passed in another way.
const posixFadvDontNeed = 4

// adviseNotNeeded drops the clean pages of the whole file from the page cache.
func adviseNotNeeded(fd int) error {
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, uintptr(fd), 0, 0, posixFadvDontNeed, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

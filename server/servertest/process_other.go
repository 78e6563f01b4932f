//go:build !linux

package servertest

import "syscall"

// dieWithParent is for Linux alone; elsewhere a child outlives a parent that was killed.
func dieWithParent() *syscall.SysProcAttr { return nil }

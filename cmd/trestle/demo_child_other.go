//go:build !linux

package main

import "syscall"

// dieWithParent has no equivalent here: the parent kills its child when it ends, unless it is itself killed.
func dieWithParent() *syscall.SysProcAttr { return nil }

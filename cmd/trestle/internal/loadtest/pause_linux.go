package loadtest

import (
	"syscall"
	"time"
)

// pause sleeps. The kernel's sleep is exact to some 60 µs, where the timers of the Go runtime can be late by a millisecond.
func pause(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	// Cut short by a signal, it is no worse than a publisher that is early by less than a step.
	_ = syscall.Nanosleep(&left, nil)
}

// settle has the system write what it still holds back, so that no measurement pays for the one before it.
func settle() { syscall.Sync() }

//go:build !linux

package loadtest

import "time"

// pause sleeps.
func pause(d time.Duration) { time.Sleep(d) }

// settle does nothing where there is no portable way to have the system write what it holds back.
func settle() {}

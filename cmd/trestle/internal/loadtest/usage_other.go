//go:build !linux

package loadtest

import (
	"errors"
	"time"
)

var errNoProc = errors.New("what another process uses is only known on Linux")

func processTime(int) (time.Duration, error) { return 0, errNoProc }
func forgetPeak(int)                         {}
func peakMemory(int) (int64, error)          { return 0, errNoProc }

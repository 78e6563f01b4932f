package main

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Two signals at once are one; another one later is a second.
func TestSignalsAtOnceAreOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		raw, to, done := make(chan os.Signal, 2), make(chan os.Signal, 2), make(chan struct{})
		go passSignals(to, raw, done)
		raw <- syscall.SIGTERM
		raw <- syscall.SIGTERM
		synctest.Wait()
		if len(to) != 1 {
			t.Errorf("%d signals of two at once", len(to))
		}
		<-time.After(secondSignalAfter) // on the clock of the bubble
		raw <- syscall.SIGTERM
		synctest.Wait()
		if len(to) != 2 {
			t.Errorf("%d signals, one of them later", len(to))
		}
		close(done)
	})
}

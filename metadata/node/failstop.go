package node

import (
	"fmt"
	"runtime"
	"sync"
)

// failStop ends the work of a node whose disk has failed.
//
// hashicorp/raft panics when its term cannot be saved or a committed entry cannot be read, and goes on as if nothing
// had happened when entries cannot be written. Neither is ours: after a failed fsync nobody knows what is on the disk,
// so that nothing more may be promised (C8), and a library must not take the process down with a stack trace. So the
// stores end the goroutine of raft's that called them, by runtime.Goexit: its deferred calls run, which answer waiting
// proposals with an unknown outcome and remote calls with a refusal, and raft's Shutdown still finds every goroutine.
type failStop struct {
	mu      sync.Mutex
	err     error
	failed  chan struct{} // closed with the first error
	reports chan error    // takes the first error
}

func newFailStop() *failStop {
	return &failStop{failed: make(chan struct{}), reports: make(chan error, 1)}
}

// report keeps the first error.
func (f *failStop) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	f.err = err
	f.reports <- err
	close(f.failed)
}

// cause returns the first error, nil while there is none.
func (f *failStop) cause() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// stop reports err and ends the calling goroutine, which must be one of raft's (see [Open], which starts raft on a
// goroutine of its own for that reason).
func (f *failStop) stop(err error) {
	f.report(err)
	runtime.Goexit()
}

// gate ends the calling goroutine if the node has failed before.
func (f *failStop) gate() {
	if f.cause() != nil {
		runtime.Goexit()
	}
}

// persistError says that a write has failed, after which the process must exit.
func persistError(file, what string, err error) error {
	return fmt.Errorf("raft state cannot be written: %s: %s: %w; the broker must exit: check the disk (space, health, "+
		"mount options) and start the broker again", file, what, err)
}

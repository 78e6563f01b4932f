package metadata

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// Machine is the state as the node of raft feeds it (metadata/node, Machine). Apply, Snapshot and Restore belong to the
// node, one at a time; the other methods may be called from any goroutine, and reading the state waits for nobody.
type Machine struct {
	state atomic.Pointer[State]
	fatal chan error // room for the one error there will ever be

	mu      sync.Mutex
	changed chan struct{} // closed at the next change; guarded by mu
	stopped error         // why nothing is applied any more; guarded by mu
}

// NewMachine returns a machine before the first command.
func NewMachine() *Machine {
	m := &Machine{fatal: make(chan error, 1), changed: make(chan struct{})}
	m.state.Store(New())
	return m
}

// State is the newest state.
func (m *Machine) State() *State { return m.state.Load() }

// Changed returns a channel that is closed when there is a newer state than those that were seen before the call. Ask for
// the channel first and for the state then, or a change between the two is missed.
func (m *Machine) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Fatal delivers the error after which the broker must end: a command of a later version was committed (protocol.md 3.10).
// Nothing is applied from then on.
func (m *Machine) Fatal() <-chan error { return m.fatal }

// Apply applies a committed command and returns the encoded result.
func (m *Machine) Apply(index uint64, command []byte) []byte {
	if m.cause() != nil {
		return encoded(Result{Index: index, Unknown: true})
	}
	next, result := m.State().Apply(index, command)
	if result.Unknown {
		m.stop(fmt.Errorf("command %d of the metadata: %w; run that version of the broker", index, ErrLaterVersion))
	} else {
		m.put(next)
	}
	return encoded(result)
}

// encoded is the result in bytes; empty if it cannot be encoded, which DecodeResult takes for an unknown one.
func encoded(result Result) []byte {
	b, err := EncodeResult(result)
	if err != nil {
		return nil
	}
	return b
}

// Snapshot returns the state as it is now. Once a command could not be applied there is none: it would pass for a state
// that has the command.
func (m *Machine) Snapshot() io.WriterTo {
	if err := m.cause(); err != nil {
		return noSnapshot{err}
	}
	return m.State()
}

type noSnapshot struct{ cause error }

// WriteTo refuses.
func (n noSnapshot) WriteTo(io.Writer) (int64, error) {
	return 0, fmt.Errorf("no snapshot is taken of a state that lacks a command: %w", n.cause)
}

// Restore replaces the state by one that a snapshot holds.
func (m *Machine) Restore(r io.Reader) error {
	s, err := Restore(r)
	if err != nil {
		return err
	}
	if err := m.cause(); err != nil {
		return errors.Join(errors.New("the state is not replaced after a command that is not known"), err)
	}
	m.put(s)
	return nil
}

func (m *Machine) put(s *State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Store(s)
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Machine) cause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stopped
}

func (m *Machine) stop(err error) {
	m.mu.Lock()
	m.stopped = err
	m.mu.Unlock()
	m.fatal <- err
}

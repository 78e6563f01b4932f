package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// MaxCommandBytes is the size up to which a command is accepted.
const MaxCommandBytes = 512 << 10

// enqueueSlice is how often a call that waits for raft to take it looks at its context.
const enqueueSlice = 10 * time.Millisecond

// Outcome is what a command has brought about.
type Outcome struct {
	// Index is the raft index of the command.
	Index uint64
	// Result is what [Machine].Apply returned.
	Result []byte
}

// Propose has a command applied on every broker and returns the result when it has been applied on this one, which
// must be the leader. It is applied once. Every error but [ErrOutcomeUnknown] is a definite no (see the errors).
func (n *Node) Propose(ctx context.Context, command []byte) (Outcome, error) {
	if len(command) > MaxCommandBytes {
		return Outcome{}, fmt.Errorf("%w: it has %d bytes, %d are allowed: split it", ErrTooLarge, len(command), MaxCommandBytes)
	}
	future, err := n.call(ctx, func(patience time.Duration) raft.Future { return n.raft.Apply(command, patience) })
	if err != nil {
		return Outcome{}, err
	}
	applied := future.(raft.ApplyFuture) //nolint:errcheck,forcetypeassert // it is what Apply returned
	result, _ := applied.Response().([]byte)
	return Outcome{Index: applied.Index(), Result: result}, nil
}

// Barrier returns nil once this node, which must be the leader, has proved that it leads and has applied everything
// that was committed before the call, by itself or by earlier leaders.
func (n *Node) Barrier(ctx context.Context) error {
	_, err := n.call(ctx, n.raft.Barrier)
	return err
}

// begin enters a call; false once the node is closing.
func (n *Node) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return false
	}
	n.calls.Add(1)
	return true
}

// call hands raft something to do and waits for the outcome. do must give up after its patience, with
// raft.ErrEnqueueTimeout, if raft has not taken it.
func (n *Node) call(ctx context.Context, do func(patience time.Duration) raft.Future) (raft.Future, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotEnqueued, err)
		}
		if cause := n.stop.cause(); cause != nil {
			return nil, fmt.Errorf("%w: %w", ErrStopped, cause)
		}
		future, err := n.attempt(ctx, do)
		if !errors.Is(err, raft.ErrEnqueueTimeout) {
			return future, n.explain(err)
		}
	}
}

// attempt is one try to hand something to raft, with its outcome if raft took it.
//
// A goroutine waits for the answer, since raft's answers cannot be waited for together with a context. All of them come
// while raft runs: from the machine, or from a leader that steps down, which one without a majority does within its
// lease. That is why Shutdown waits for these goroutines before it stops raft.
func (n *Node) attempt(ctx context.Context, do func(patience time.Duration) raft.Future) (raft.Future, error) {
	if !n.begin() {
		return nil, ErrStopped
	}
	future, answered := do(enqueueSlice), make(chan error, 1)
	go func() {
		defer n.calls.Done()
		answered <- future.Error()
	}()
	select {
	case err := <-answered:
		return future, err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
	case <-n.abandoned:
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ErrStopped)
	}
}

// explain says in this package's words what raft has answered.
func (n *Node) explain(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrStopped), errors.Is(err, ErrOutcomeUnknown), errors.Is(err, ErrRefused):
		return err
	case errors.Is(err, raft.ErrNotLeader):
		id, address := n.Leader()
		if id == n.id {
			id, address = "", "" // it has just stepped down, or has just been elected
		}
		return &NotLeaderError{ID: id, Address: address}
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: leadership is being handed over: try again", ErrNotEnqueued)
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

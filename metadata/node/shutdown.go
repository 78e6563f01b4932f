package node

import (
	"context"
	"errors"
	"fmt"
)

// Shutdown stops the node: it takes nothing more, waits for what it has taken to be decided, and closes the listener,
// all connections and the files. A leader without a majority needs its lease for that ([Timing].Heartbeat). When it
// returns nil then no goroutine and no connection of the node is left. With ctx's error the end goes on behind it, and
// Shutdown may be called again to wait for it.
func (n *Node) Shutdown(ctx context.Context) error {
	n.mu.Lock()
	first := !n.closing
	n.closing = true
	n.mu.Unlock()
	if first {
		close(n.stopped)
		go n.end(ctx)
	}
	select {
	case <-n.ended:
		return n.endedWith
	case <-ctx.Done():
		return fmt.Errorf("shut the raft node down: %w", ctx.Err())
	}
}

// end does the work of Shutdown. Calls that are not decided when ctx ends are abandoned, with an unknown outcome.
func (n *Node) end(ctx context.Context) {
	defer close(n.ended)
	decided := make(chan struct{})
	go func() {
		defer close(decided)
		n.calls.Wait()
	}()
	select {
	case <-decided:
	case <-ctx.Done():
	}
	stopping := n.raft.Shutdown()
	n.watching.Wait()
	// Ends the remote calls that raft's goroutines are in.
	closing := n.transport.Close()
	n.transport.CloseStreams()
	err := errors.Join(closing, stopping.Error())
	close(n.abandoned)
	n.stream.wait()
	if closing := n.disk.store.Close(); closing != nil {
		err = errors.Join(err, fmt.Errorf("close %s: %w", n.disk.store.path, closing))
	}
	if err != nil {
		n.endedWith = fmt.Errorf("shut the raft node down: %w", err)
	}
}

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/node"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	"github.com/trestlehq/trestle/server/internal/host"
)

const (
	// proposeTimeout is how long a command may take, and leadTimeout how long to wait until somebody leads.
	proposeTimeout = 10 * time.Second
	leadTimeout    = 5 * time.Second
	// leaderPause is how often a node that has no leader is asked again. An only voter has itself in a few milliseconds.
	leaderPause = 2 * time.Millisecond
)

var _ node.Machine = (*metadata.Machine)(nil)

// control is this broker's part of the metadata: its node of raft and the state.
type control struct {
	*metadata.Machine
	node *node.Node

	stop     chan struct{} // ends watching
	watching sync.WaitGroup
}

// openControl starts the node in the folder, as a cluster of one if it is new, and returns when the state is up to date.
// It owns the listener. fail is called when this broker cannot go on with what it holds.
func openControl(ctx context.Context, folder *host.Folder, listener net.Listener, logger *slog.Logger, fail func(error)) (*control, error) {
	dir, err := folder.RaftFolder()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	c := &control{Machine: metadata.NewMachine(), stop: make(chan struct{})}
	c.node, err = node.Open(ctx, node.Options{
		Folder: dir, Name: folder.Broker, Machine: c.Machine, Listener: listener,
		Logger: slog.New(loneVoter{logger.Handler()}).With("component", "raft"), Bootstrap: folder.RaftID == "",
	})
	if err != nil {
		return nil, err
	}
	c.watching.Go(func() { c.watch(fail) })
	if err := errors.Join(folder.CheckRaftID(c.node.ID()), c.catchUp(ctx)); err != nil {
		return nil, errors.Join(err, c.close(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// watch ends the broker when its metadata has failed.
func (c *control) watch(fail func(error)) {
	select {
	case err := <-c.node.Fatal():
		fail(err)
	case err := <-c.Fatal():
		fail(err)
	case <-c.stop:
	}
}

// catchUp returns when all that was decided is applied here, however much that is: only a leader is not waited for any longer
// than it takes to elect one.
func (c *control) catchUp(ctx context.Context) error {
	election, cancel := context.WithTimeout(ctx, leadTimeout)
	defer cancel()
	return untilLed(election, func() error { return c.node.Barrier(ctx) })
}

// untilLed tries again as long as there is no leader: that answer is a definite no.
func untilLed(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, node.ErrNotLeader) {
			return err
		}
		select {
		case <-time.After(leaderPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", host.ErrNoMetadataLeader, err)
		}
	}
}

// Propose has the command applied, here too.
func (c *control) Propose(ctx context.Context, cmd *clusterv1.Command) (*clusterv1.Answer, error) {
	encoded, err := metadata.EncodeCommand(cmd)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	var outcome node.Outcome
	err = untilLed(ctx, func() (err error) {
		outcome, err = c.node.Propose(ctx, encoded)
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	result, err := metadata.DecodeResult(outcome.Result)
	switch {
	case err != nil:
		return nil, err
	case result.Unknown:
		return nil, host.ErrMetadataStopped
	}
	return result.Answer, result.Err()
}

// explain says in the words of host what has become of a command.
func explain(err error) error {
	switch {
	case errors.Is(err, node.ErrOutcomeUnknown):
		return fmt.Errorf("%w: %w", host.ErrOutcomeUnknown, err)
	case errors.Is(err, node.ErrStopped):
		return fmt.Errorf("%w: %w", host.ErrMetadataStopped, err)
	case errors.Is(err, node.ErrNotEnqueued):
		return fmt.Errorf("%w: %w", host.ErrNoMetadataLeader, err)
	default:
		return err
	}
}

func (c *control) close(ctx context.Context) error {
	err := c.node.Shutdown(ctx)
	close(c.stop)
	c.watching.Wait()
	return err
}

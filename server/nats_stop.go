package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// natsLooks is how often the embedded NATS is asked whether it has done what it was told.
const natsLooks = time.Millisecond

// refuse makes the embedded NATS take nothing more from publishers: it closes the port, and, when nobody can come in any
// more, ends all connections but ours. What their clients have got confirmed is on its way to us by then; whatever they
// publish next is not confirmed any more, so they know.
func (n *embeddedNATS) refuse(ctx context.Context, ours []uint64) error {
	n.leaving.Go(n.server.LameDuckShutdown) // returns when the server stops
	closed := func() (bool, error) { return n.server.Addr() == nil, nil }
	if err := until(ctx, closed); err != nil {
		return fmt.Errorf("closing the port of the embedded NATS: %w", err)
	}
	if err := until(ctx, func() (bool, error) { return n.disconnectOthers(ours) }); err != nil {
		return fmt.Errorf("disconnecting everybody from the embedded NATS: %w", err)
	}
	all, err := n.everyConnection()
	for _, c := range all {
		n.newest = max(n.newest, c.Cid)
	}
	n.refused = err == nil
	return err
}

// until asks again and again, until it is done or ctx ends.
func until(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(natsLooks)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// disconnectOthers ends connections that are not ours, and says whether there were none.
func (n *embeddedNATS) disconnectOthers(ours []uint64) (none bool, err error) {
	connections, err := n.server.Connz(nil)
	if err != nil {
		return false, err
	}
	none = true
	for _, c := range connections.Conns {
		n.newest = max(n.newest, c.Cid) // between those that are and those that were it may be in neither list
		if !slices.Contains(ours, c.Cid) {
			none = false
			_ = n.server.DisconnectClientByID(c.Cid) // it may have gone by itself
		}
	}
	return none, nil
}

// unheard says that somebody has published over a connection that is newer than refuse, which should not be possible: nothing
// says that a capture has heard it. Those that refuse ended get nothing confirmed any more, so they do not count. Without
// refuse it says that anybody has published at all.
func (n *embeddedNATS) unheard() error {
	if !n.refused {
		if published, err := n.published(); err != nil || !published {
			return err
		}
		return errors.New("the embedded NATS took messages until the captures had ended")
	}
	all, err := n.everyConnection()
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Cid > n.newest && c.InMsgs > 0 {
			return fmt.Errorf("the embedded NATS took %d messages over connection %d while it was to take none", c.InMsgs, c.Cid)
		}
	}
	return nil
}

// everyConnection lists those that are, and those that were not long ago.
func (n *embeddedNATS) everyConnection() ([]*natsserver.ConnInfo, error) {
	all, err := n.server.Connz(&natsserver.ConnzOptions{State: natsserver.ConnAll, Limit: math.MaxInt32})
	if err != nil {
		return nil, fmt.Errorf("listing the connections of the embedded NATS: %w", err)
	}
	return all.Conns, nil
}

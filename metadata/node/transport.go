package node

import (
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	// pooledConnections is how many idle connections to a node are kept, besides those in use.
	pooledConnections = 3
	// remoteCallTime bounds a remote call: a peer that is gone without a word is redialled after it. A snapshot has as
	// much for every 256 KiB.
	remoteCallTime = 2 * time.Second
)

// transport is raft's transport over TCP with three differences.
//
// Heartbeats take no short cut. The network transport can hand them to raft on its own goroutine, where they change
// the term under the feet of raft's main loop, so that two nodes can write the same index in the same term
// (hashicorp/raft #695). Here the handler for that is never installed: heartbeats wait their turn like every message.
//
// A node is called by its raft id where hashicorp/raft uses its address: in votes, and as the name of the leader. A
// vote is remembered by the candidate's address; after two nodes have swapped theirs, the second would be given the
// vote of the first, unseen. The id never changes hands.
//
// Addresses are looked up by raft id for every connection, so that a node whose address has changed is no other node.
type transport struct {
	*raft.NetworkTransport
	id raft.ServerID
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

func newTransport(id string, layer raft.StreamLayer, addresses raft.ServerAddressProvider, logger hclog.Logger) *transport {
	return &transport{id: raft.ServerID(id), NetworkTransport: raft.NewNetworkTransportWithConfig(
		&raft.NetworkTransportConfig{
			Stream:                layer,
			ServerAddressProvider: addresses,
			MaxPool:               pooledConnections,
			Timeout:               remoteCallTime,
			Logger:                logger,
		})}
}

// SetHeartbeatHandler does nothing (hashicorp/raft #695).
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// LocalAddr returns the raft id, by which this node calls itself.
func (t *transport) LocalAddr() raft.ServerAddress { return raft.ServerAddress(t.id) }

// EncodePeer returns the raft id, by which this node calls others.
func (t *transport) EncodePeer(id raft.ServerID, _ raft.ServerAddress) []byte { return []byte(id) }

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Member is one node of the group.
type Member struct {
	// ID is the raft id.
	ID string
	// Address is the peer address that the node had when it was added.
	Address string
	// Voter tells whether its vote and its disk count. One that is no voter receives everything and decides nothing.
	Voter bool
}

// Configuration returns the newest membership that this node knows of, committed or not, in no particular order.
func (n *Node) Configuration() []Member {
	servers := n.raft.GetConfiguration().Configuration().Servers
	members := make([]Member, len(servers))
	for i, server := range servers {
		address, _, _ := splitServerAddress(server.Address)
		members[i] = Member{ID: string(server.ID), Address: address, Voter: server.Suffrage == raft.Voter}
	}
	return members
}

// AddVoter gives a node a vote, or records the new address of one that has it. This node must be the leader; it makes
// one change of the membership at a time, in the order of the calls, and answers when the change is committed.
//
// From the moment of the call the node counts: if a second voter cannot be reached then nothing is committed until it
// is. So add a node with [Node.AddNonvoter] first, and give it a vote when it has caught up.
func (n *Node) AddVoter(ctx context.Context, id, address string) error {
	if err := checkMember(id, address); err != nil {
		return err
	}
	return n.change(ctx, "add the voter "+id, func(patience time.Duration) raft.Future {
		return n.raft.AddVoter(raft.ServerID(id), serverAddress(address, id), 0, patience)
	})
}

// AddNonvoter adds a node that receives everything and decides nothing, or records the new address of one. It takes no
// vote away. Otherwise as [Node.AddVoter].
func (n *Node) AddNonvoter(ctx context.Context, id, address string) error {
	if err := checkMember(id, address); err != nil {
		return err
	}
	return n.change(ctx, "add the nonvoter "+id, func(patience time.Duration) raft.Future {
		return n.raft.AddNonvoter(raft.ServerID(id), serverAddress(address, id), 0, patience)
	})
}

// Remove takes a node out of the group; one that is not in it is no error. A leader that removes itself steps down when
// the change is committed. Otherwise as [Node.AddVoter].
func (n *Node) Remove(ctx context.Context, id string) error {
	return n.change(ctx, "remove "+id, func(patience time.Duration) raft.Future {
		return n.raft.RemoveServer(raft.ServerID(id), 0, patience)
	})
}

func (n *Node) change(ctx context.Context, what string, do func(time.Duration) raft.Future) error {
	_, err := n.call(ctx, func(patience time.Duration) raft.Future { return judged{do(patience)} })
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// judged is the future of a change of the membership, which raft may refuse in words of its own.
type judged struct{ raft.Future }

// Error returns [ErrRefused] for what raft has refused before it put anything into the log.
func (j judged) Error() error {
	err := j.Future.Error()
	for _, known := range []error{
		nil, raft.ErrNotLeader, raft.ErrLeadershipLost, raft.ErrLeadershipTransferInProgress, raft.ErrEnqueueTimeout,
		raft.ErrRaftShutdown, raft.ErrAbortedByRestore,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

func checkMember(id, address string) error {
	if id == "" || len(id) > maxIDBytes || address == "" {
		return fmt.Errorf("%w: a node needs a raft id of 1 to %d bytes and a peer address, this one has %q and %q",
			ErrRefused, maxIDBytes, id, address)
	}
	return nil
}

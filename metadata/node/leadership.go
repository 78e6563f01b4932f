package node

import "github.com/hashicorp/raft"

// Leader returns the raft id and the peer address of the leader that this node knows of, "" if it knows none. It may
// be out of date: only an answer to [Node.Propose] or [Node.Barrier] proves leadership.
func (n *Node) Leader() (id, address string) {
	_, leader := n.raft.LeaderWithID()
	if leader == "" || n.stop.cause() != nil {
		return "", ""
	}
	return string(leader), n.book.find(string(leader))
}

// Leading tells whether this node is the leader, as far as it knows.
func (n *Node) Leading() bool { return n.raft.State() == raft.Leader && n.stop.cause() == nil }

// LeadershipChanges delivers a token when the answer of [Node.Leader] or [Node.Leading] may have changed since the last
// one; several changes may make one token. It has room for one token, is for one reader and is never closed. It is
// filled by a goroutine of the node that ends with [Node.Shutdown].
func (n *Node) LeadershipChanges() <-chan struct{} { return n.changes }

// observations is how many changes of leadership may wait to be seen. More are dropped, which loses nothing: those that
// wait cause a token.
const observations = 4

// watch starts the goroutine that fills changes.
func (n *Node) watch() {
	seen := make(chan raft.Observation, observations)
	observer := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	n.raft.RegisterObserver(observer)
	leading := n.raft.LeaderCh()
	n.watching.Go(func() {
		defer n.raft.DeregisterObserver(observer)
		for {
			select {
			case <-seen:
			case <-leading: // a leader that steps down forgets itself without an observation
			case <-n.stop.failed:
				return
			case <-n.stopped:
				return
			}
			select {
			case n.changes <- struct{}{}:
			default:
			}
		}
	})
}

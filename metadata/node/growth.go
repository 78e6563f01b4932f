package node

import (
	"sync/atomic"
)

// growth counts what has been applied since the newest snapshot was begun, and asks for another when a start would have too much
// to apply again: as many bytes of commands as the newest snapshot has, and Timing.SnapshotBytes at least. So a start applies
// about as much as it restores, however few the commands are: on a broker with many partitions each start of it is a command
// over all of them.
type growth struct {
	due    chan struct{} // holds a token when a snapshot is due
	least  int64         // bytes
	newest atomic.Int64  // bytes of the newest snapshot
	since  atomic.Int64  // bytes
}

func newGrowth(least, newest int64) *growth {
	g := &growth{due: make(chan struct{}, 1), least: least}
	g.newest.Store(newest)
	return g
}

// add counts a command.
func (g *growth) add(bytes int) {
	if g.since.Add(int64(bytes)) < max(g.least, g.newest.Load()) {
		return
	}
	select {
	case g.due <- struct{}{}:
	default:
	}
}

// begin says that a snapshot of all that was counted is taken.
func (g *growth) begin() { g.since.Store(0) }

// written says how large it is.
func (g *growth) written(bytes int64) { g.newest.Store(bytes) }

// keepShort takes a snapshot whenever one is due, until the node stops. What goes wrong is raft's to log, and the next command asks
// again.
func (n *Node) keepShort() {
	for {
		select {
		case <-n.growth.due:
			_ = n.raft.Snapshot().Error()
		case <-n.stop.failed:
			return
		case <-n.stopped:
			return
		}
	}
}

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
	asked  atomic.Bool   // for a snapshot that is not over
}

func newGrowth(least, newest int64) *growth {
	g := &growth{due: make(chan struct{}, 1), least: least}
	g.newest.Store(newest)
	return g
}

// add counts a command.
func (g *growth) add(bytes int) {
	if g.since.Add(int64(bytes)) < max(g.least, g.newest.Load()) || g.asked.Load() {
		return
	}
	select {
	case g.due <- struct{}{}:
	default:
	}
}

// begin says that a snapshot of all that was counted is taken, and returns how much that is.
func (g *growth) begin() (taken int64) {
	taken = g.since.Swap(0)
	select {
	case <-g.due:
	default:
	}
	return taken
}

// over says that the snapshot is. So much of what it took is not in one that is written: the next command asks again.
func (g *growth) over(missing int64) {
	g.since.Add(missing)
	g.asked.Store(false)
}

// written says how large the newest snapshot is.
func (g *growth) written(bytes int64) { g.newest.Store(bytes) }

// keepShort has a snapshot taken whenever one is due, until the node stops. Nobody waits for it: where the disk fails, nobody
// may answer. What goes wrong is raft's to log.
func (n *Node) keepShort() {
	for {
		select {
		case <-n.growth.due:
			n.growth.asked.Store(true)
			n.raft.Snapshot() // ends with raft at the latest
		case <-n.stop.failed:
			return
		case <-n.stopped:
			return
		}
	}
}

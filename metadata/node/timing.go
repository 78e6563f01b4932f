package node

import (
	"time"

	"github.com/hashicorp/raft"
)

// Timing is raft's clock. It decides how soon a cluster of several notices a dead leader, never what is correct. All
// nodes of a cluster should have the same.
type Timing struct {
	// Heartbeat is the time without a word from the leader after which a follower stands for election, the time that an
	// election may take, and the time without a majority after which a leader steps down; default 500 ms, at least
	// 10 ms. Heartbeats wait behind the disk: it must be ten times the p99.9 of an fsync or more.
	Heartbeat time.Duration
	// Commit is about how long a follower waits to hear what has been committed when nothing follows; default 20 ms.
	Commit time.Duration
	// SnapshotCheck is about how often a node looks whether its log has grown enough for a snapshot; default 30 s.
	SnapshotCheck time.Duration
	// SnapshotEntries is by how many entries it must have grown; default 4096.
	SnapshotEntries uint64
	// SnapshotBytes is how many bytes of commands a start may have to apply, if the newest snapshot has no more; default 256 KiB.
	SnapshotBytes int64
	// TrailingEntries is how many entries are kept behind a snapshot, for followers that are not far behind; default
	// 2048. A follower further behind is sent the snapshot.
	TrailingEntries uint64
}

func (t Timing) withDefaults() Timing {
	t.Heartbeat = orDefault(t.Heartbeat, 500*time.Millisecond)
	t.Commit = orDefault(t.Commit, 20*time.Millisecond)
	t.SnapshotCheck = orDefault(t.SnapshotCheck, 30*time.Second)
	t.SnapshotEntries = orDefault(t.SnapshotEntries, 4096)
	t.SnapshotBytes = orDefault(t.SnapshotBytes, 256<<10)
	t.TrailingEntries = orDefault(t.TrailingEntries, 2048)
	return t
}

func orDefault[T time.Duration | uint64 | int64](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// standby is by how much the heartbeat timeout is longer at the start than afterwards, see [Node.standIfAlone].
const standby = time.Nanosecond

func (t Timing) config() *raft.Config {
	config := raft.DefaultConfig()
	config.HeartbeatTimeout = t.Heartbeat + standby
	config.ElectionTimeout = t.Heartbeat + standby
	config.LeaderLeaseTimeout = t.Heartbeat
	config.CommitTimeout = t.Commit
	config.SnapshotInterval = t.SnapshotCheck
	config.SnapshotThreshold = t.SnapshotEntries
	config.TrailingLogs = t.TrailingEntries
	config.MaxAppendEntries = maxAppendEntries
	// A removed leader becomes a follower without a vote; its broker decides what then.
	config.ShutdownOnRemove = false
	// A buffered queue would take commands that are answered never, or after their time.
	config.BatchApplyCh = false
	config.NoLegacyTelemetry = true
	return config
}

// maxAppendEntries is how many entries go into one write and one message, which must arrive within remoteCallTime.
const maxAppendEntries = 32

// standIfAlone lets the only voter stand for election at once, instead of after a timeout in which nobody could call.
// Raft looks at its timer when the heartbeat timeout is shortened; a node that has not heard of a leader then stands.
//
// It is safe because raft is safe whenever anybody stands for election: timers decide when, votes decide who. It
// disturbs nobody because it is done only by a node whose newest stored membership, committed or not, has no other
// voter: there is no leader elsewhere that it could depose (one that removed this node would be one of that membership,
// and a vote asked by a node that is no member is refused). All timers are the cluster's from the first moment, so that
// nothing need change when a second voter is added.
func (n *Node) standIfAlone(timing Timing) error {
	config := n.raft.ReloadableConfig()
	if !n.alone() {
		return nil
	}
	config.HeartbeatTimeout, config.ElectionTimeout = timing.Heartbeat, timing.Heartbeat
	return n.raft.ReloadConfig(config)
}

// alone tells whether this node is the only voter.
func (n *Node) alone() bool {
	voters, self := 0, false
	for _, server := range n.raft.GetConfiguration().Configuration().Servers {
		if server.Suffrage == raft.Voter {
			voters++
			self = self || string(server.ID) == n.id
		}
	}
	return self && voters == 1
}

package simulation_test

import (
	"path"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// reconcile makes the replicas fit the newest state (3.6). What the state does not mention stays as it is (S14).
func (b *broker) reconcile() {
	if mutant("simulation-delete-unknown") {
		for _, id := range sortedIDs(b.replicas) {
			if _, ok := b.state.Partition(id); !ok {
				b.discard(id)
			}
		}
	}
	if b.brokerEpoch() == 0 {
		b.fencedOut()
		b.register()
		return
	}
	for p := range b.state.PartitionsOn(b.name) {
		r := b.replicas[p.ID]
		if r == nil {
			r = openReplica(b, p.ID)
		}
		r.viewed(p)
		if !b.up {
			return
		}
	}
	b.deleteWhatIsDeleted()
}

// fencedOut lets replicas see the state without giving them roles: a leader learns that it leads no more.
func (b *broker) fencedOut() {
	for _, id := range sortedIDs(b.replicas) {
		r := b.replicas[id]
		if p, ok := b.state.Partition(id); ok && r.leader != nil && p.LeaderEpoch != r.leaderEpoch() {
			r.standDown()
		}
	}
}

// deleteWhatIsDeleted moves what a command has deleted by its UUID to the trash, and says so (S14, C9).
func (b *broker) deleteWhatIsDeleted() {
	var gone [][]byte
	for d := range b.state.Deleted(b.name) {
		gone = append(gone, d.Partition[:])
		b.discard(d.Partition)
	}
	if len(gone) > 0 {
		command := &clusterv1.AckDeleted{Broker: b.name, Partitions: gone, StateIndex: b.state.Index()}
		b.w.control.propose(b, &clusterv1.Command{Command: &clusterv1.Command_AckDeleted{AckDeleted: command}},
			func(metadata.Result, bool) {})
	}
}

// discard moves a partition's folder to the trash.
func (b *broker) discard(id uuid.UUID) {
	r := b.replicas[id]
	if r == nil {
		return
	}
	b.w.oracle.discards(b, id)
	r.standDown()
	b.check(r.log.Close(), "closing a log")
	delete(b.replicas, id)
	r.gone = true
	b.marks.Forget(commitlog.LogName{Partition: id})
	b.check(b.marks.Flush(), "flushing the marks")
	b.w.must(commitlog.Trash(b.disk, path.Dir(r.dir()), trashDir, time.Unix(0, b.clock())), "discarding a partition")
}

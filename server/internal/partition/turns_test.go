package partition_test

import (
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Partitions of a data folder sync in turn; what arrives meanwhile joins the round of the one that waits (protocol.md 1.8).
func TestTurns(t *testing.T) {
	t.Parallel()
	turns := partition.NewTurns(1)
	first, second := newSetup(1), newSetup(2)
	share := func(c *partition.Config) { c.Turns = turns }
	slow, waits := first.lead(t, share), second.lead(t, share)

	hold, held := make(chan struct{}), make(chan struct{}, 16)
	remove := first.disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData {
			held <- struct{}{}
			<-hold
		}
		return nil
	})
	defer remove()
	publishWritten(t, slow, "holds the turn")
	<-held
	seen := syncs(second.disk)
	for range 10 {
		publishWritten(t, waits, "joins one round")
	}
	if len(seen) != 0 {
		t.Error("two logs are synced at once, and there is one turn")
	}
	close(hold)
	if ack := publish(t, waits, records("last")); ack.BaseOffset != 10 || !ack.Durable {
		t.Errorf("ack %+v", ack)
	}
	if len(seen) > 2 {
		t.Errorf("%d syncs for what waited for one turn", len(seen))
	}
	slow.close(t)
	waits.close(t)
}

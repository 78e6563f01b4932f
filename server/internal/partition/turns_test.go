package partition_test

import (
	"testing"
	"testing/synctest"

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

// A log for which somebody waits is synced before those that were appended to earlier and for which nobody does.
func TestAwaitedTurnsComeFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // no time passes: nobody waits so long that it is due
		turns := partition.NewTurns(1)
		share := func(c *partition.Config) { c.Turns = turns }
		setups := map[string]*setup{"slow": newSetup(1), "plain": newSetup(2), "awaited": newSetup(3)}
		rigs := map[string]*rig{}
		waiting := func(n int) {
			t.Helper()
			if synctest.Wait(); turns.Waiting() != n {
				t.Fatalf("%d wait for their turn, want %d", turns.Waiting(), n)
			}
		}
		hold, order := make(chan struct{}), make(chan string, 16)
		for name, s := range setups {
			rigs[name] = s.lead(t, share)
			defer s.disk.OnOp(func(op vfs.Op) error {
				if op.Kind == vfs.OpSyncData {
					order <- name
					<-hold
				}
				return nil
			})()
		}
		publishWritten(t, rigs["slow"], "holds the turn")
		if first := <-order; first != "slow" {
			t.Fatalf("%s is synced first", first)
		}
		settled := make(chan struct{})
		err := rigs["plain"].CaptureWith(message("", "nobody waits"), partition.Captured{OnSettled: func() { close(settled) }})
		if err != nil {
			t.Fatal(err)
		}
		waiting(1)
		acked := make(chan error, 1)
		if err := rigs["awaited"].Start(records("somebody waits"), func(_ partition.Ack, err error) { acked <- err }); err != nil {
			t.Fatal(err)
		}
		waiting(2)
		close(hold)
		if err := <-acked; err != nil {
			t.Error(err)
		}
		<-settled
		if second := <-order; second != "awaited" {
			t.Errorf("%s is synced second", second)
		}
		for _, r := range rigs {
			r.close(t)
		}
	})
}

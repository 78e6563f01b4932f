package partition_test

import (
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// syncs counts the syncs of files from now on.
func syncs(disk *vfs.Mem) (seen chan struct{}) {
	seen = make(chan struct{}, 1000)
	disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData {
			seen <- struct{}{}
		}
		return nil
	})
	return seen
}

// With sync none the safe position is the end: what is written is committed and acked, and made durable when the log closes
// (protocol.md 1.7).
func TestSyncNone(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	none := func(c *partition.Config) { c.Settings.Sync = partition.SyncNone }
	r := s.lead(t, none)
	seen := syncs(s.disk)
	for i := range 10 {
		if ack := publish(t, r, records("x")); ack.BaseOffset != int64(i) || ack.Durable {
			t.Errorf("ack %+v", ack)
		}
	}
	if state := r.State(); state.HighWatermark != 10 || state.DurableOffset != 0 {
		t.Errorf("state %+v", state)
	}
	if len(r.all(t)) != 10 {
		t.Error("what is committed is not read")
	}
	if len(seen) != 0 {
		t.Errorf("%d syncs", len(seen))
	}
	crashed := s.disk.CrashClone(vfs.KeepNone)
	r.close(t)
	s.disk = s.disk.Crash(vfs.KeepNone)
	r = s.lead(t, none)
	if got := len(r.all(t)); got != 10 {
		t.Errorf("closed, then a power cut: %d records are left", got)
	}
	r.close(t)
	s.disk = crashed
	r = s.lead(t, none)
	if got := len(r.all(t)); got != 0 {
		t.Errorf("a power cut before: %d records are left; nothing was synced", got)
	}
	r.close(t)
}

// With sync interval what is written is acked, and durable an interval later, without anyone asking for it.
func TestSyncInterval(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t, func(c *partition.Config) {
		c.Settings.Sync, c.Settings.SyncEvery = partition.SyncInterval, 20*time.Millisecond
	})
	seen := syncs(s.disk)
	began := time.Now()
	if ack := publish(t, r, records("x")); ack.Durable && time.Since(began) < 20*time.Millisecond {
		t.Errorf("ack %+v", ack)
	}
	<-seen
	if waited := time.Since(began); waited < 20*time.Millisecond {
		t.Errorf("synced after %v", waited)
	}
	r.close(t)
}

// Changing sync to ack holds the high watermark until safe positions have caught up, and never takes it back (protocol.md 1.7).
func TestSyncBecomesAck(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t, func(c *partition.Config) { c.Settings.Sync = partition.SyncNone })
	publish(t, r, records("1"))
	hold, held := make(chan struct{}), make(chan struct{}, 16)
	remove := s.disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData {
			held <- struct{}{}
			<-hold
		}
		return nil
	})
	defer remove()
	r.Configure(partition.Settings{})
	<-held
	publishWritten(t, r, "2")
	if state := r.State(); state.HighWatermark != 1 || state.NextOffset != 2 {
		t.Errorf("state %+v", state)
	}
	close(hold)
	if ack := publish(t, r, records("3")); !ack.Durable || ack.BaseOffset != 2 {
		t.Errorf("ack %+v", ack)
	}
	r.close(t)
}

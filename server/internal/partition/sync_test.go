package partition_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
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

// Much that is waited for is synced beside the round that is under way, unless another is already or the turns of the folder are
// taken; little gathers, and so does what nobody waits for.
func TestRoundBeside(t *testing.T) {
	t.Parallel()
	const maxRounds = 3
	large := strings.Repeat("x", 40<<10)
	for name, test := range map[string]struct {
		turns    int
		second   string
		captured bool  // nobody waits for the second
		underWay int64 // after the second
		then     int64 // after others that are large
		rounds   int64 // in the end
	}{
		"much":                  {32, large, false, 2, 3, 4},
		"little":                {32, "x", false, 1, 2, 2},
		"that nobody waits for": {32, large, true, 1, 2, 2},
		"with no turn for it":   {1, large, false, 1, 1, 2},
		"with one turn for it":  {2, large, false, 2, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(1)
				r := s.lead(t, func(c *partition.Config) { c.Turns = partition.NewTurns(test.turns) })
				hold := make(chan struct{})
				var rounds, acked atomic.Int64
				remove := s.disk.OnOp(func(op vfs.Op) error {
					if op.Kind == vfs.OpSyncData {
						rounds.Add(1)
						<-hold
					}
					return nil
				})
				started := int64(0)
				start := func(value string) {
					t.Helper()
					if err := r.Start(records(value), func(ack partition.Ack, err error) {
						if err != nil || !ack.Durable {
							t.Errorf("%+v, %v", ack, err)
						}
						acked.Add(1)
					}); err != nil {
						t.Fatal(err)
					}
					started++
					synctest.Wait()
				}
				start(large)
				if test.captured {
					if err := r.CaptureWith(&batch.Record{Value: []byte(test.second)}, partition.Captured{}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				} else {
					start(test.second)
				}
				if rounds.Load() != test.underWay {
					t.Errorf("%d rounds are under way, want %d", rounds.Load(), test.underWay)
				}
				start(large)
				if test.then == maxRounds || test.then == test.underWay {
					start(large)
				}
				if rounds.Load() != test.then {
					t.Errorf("then %d rounds are under way, want %d", rounds.Load(), test.then)
				}
				close(hold)
				<-time.After(time.Second) // of the bubble: what nobody waits for is synced later
				synctest.Wait()
				if rounds.Load() != test.rounds || acked.Load() != started || r.State().DurableOffset != r.State().NextOffset {
					t.Errorf("%d rounds, want %d; %d of %d acked; %+v", rounds.Load(), test.rounds, acked.Load(), started, r.State())
				}
				remove()
				r.close(t)
			})
		})
	}
}

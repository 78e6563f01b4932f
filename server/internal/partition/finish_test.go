package partition_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// A batch beside which nothing is written, and which is answered without a sync, is answered when FinishFor returns.
func TestFinishAnswersBeforeItReturns(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]struct {
		mode        partition.Sync
		whenWritten bool
	}{
		"none": {mode: partition.SyncNone}, "interval": {mode: partition.SyncInterval}, "when written": {whenWritten: true},
	} {
		s := newSetup(1)
		r := s.lead(t, withDedup, func(c *partition.Config) {
			c.Settings.Sync, c.Settings.SyncEvery = how.mode, time.Millisecond
		})
		e := newEar(-1)
		for i := range uint64(100) {
			b := messages(message("", strconv.FormatUint(i, 10)))
			b.WhenWritten = how.whenWritten
			if err := r.FinishFor(b, e, i); err != nil {
				t.Fatal(err)
			}
			e.mu.Lock()
			got := e.heard[i]
			e.mu.Unlock()
			if len(got) != 1 || got[0].err != nil || got[0].ack.BaseOffset != int64(i) {
				t.Fatalf("%s, batch %d: got %+v, want one ack at its offset", name, i, got)
			}
		}
		r.close(t)
	}
}

// FinishFor waits for no sync: with SyncAck each batch is left to the next sync, in which all that came during the
// one before are together.
func TestFinishWaitsForNoSync(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t)
	hold, held := make(chan struct{}), make(chan struct{}, 100)
	remove := s.disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData {
			held <- struct{}{}
			<-hold
		}
		return nil
	})
	defer remove()
	e := newEar(11)
	for i := range uint64(11) {
		if err := r.FinishFor(messages(message("", strconv.FormatUint(i, 10))), e, i); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-held
		}
	}
	e.mu.Lock()
	if len(e.heard) != 0 {
		t.Errorf("%d batches are answered, and none is durable", len(e.heard))
	}
	e.mu.Unlock()
	for r.State().NextOffset < 11 { // written beside the sync
		runtime.Gosched()
	}
	close(hold)
	<-e.all
	if n := len(held); n != 1 {
		t.Errorf("the ten that came during a sync took %d more, want 1", n)
	}
	r.close(t)
	for i := range uint64(11) {
		if got := e.heard[i]; len(got) != 1 || got[0].err != nil || got[0].ack.BaseOffset != int64(i) || !got[0].ack.Durable {
			t.Errorf("batch %d: got %+v", i, got)
		}
	}
}

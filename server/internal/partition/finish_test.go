package partition_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// A batch beside which nothing is written is stored, as safely as the stream asks for, and answered when FinishFor returns.
func TestFinishAnswersBeforeItReturns(t *testing.T) {
	t.Parallel()
	for _, mode := range []partition.Sync{partition.SyncAck, partition.SyncNone, partition.SyncInterval} {
		s := newSetup(1)
		r := s.lead(t, withDedup, func(c *partition.Config) {
			c.Settings.Sync, c.Settings.SyncEvery = mode, time.Millisecond
		})
		e := newEar(-1)
		for i := range uint64(100) {
			if err := r.FinishFor(messages(message("", strconv.FormatUint(i, 10))), e, i); err != nil {
				t.Fatal(err)
			}
			e.mu.Lock()
			got := e.heard[i]
			e.mu.Unlock()
			if len(got) != 1 || got[0].err != nil || got[0].ack.BaseOffset != int64(i) || mode == partition.SyncAck && !got[0].ack.Durable {
				t.Fatalf("sync %v, batch %d: got %+v, want one ack at its offset", mode, i, got)
			}
		}
		r.close(t)
	}
}

// FinishFor does not wait for the batches of others: beside a sync it leaves its own to the next one, in which all that came
// meanwhile are together, and while others write it leaves it to them.
func TestFinishBesideASync(t *testing.T) {
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
	first := make(chan error, 1)
	go func() { first <- r.FinishFor(messages(message("", "0")), e, 0) }()
	<-held
	for i := range uint64(10) {
		if err := r.FinishFor(messages(message("", strconv.FormatUint(i+1, 10))), e, i+1); err != nil {
			t.Fatal(err)
		}
	}
	e.mu.Lock()
	if len(e.heard) != 0 {
		t.Errorf("%d batches are answered, and none is durable", len(e.heard))
	}
	e.mu.Unlock()
	close(hold)
	if err := <-first; err != nil {
		t.Error(err)
	}
	<-e.all
	if n := len(held); n != 1 {
		t.Errorf("the ten that came during a sync took %d more, want 1", n)
	}
	r.close(t)
	for i := range uint64(11) {
		if got := e.heard[i]; len(got) != 1 || got[0].err != nil || got[0].ack.BaseOffset != int64(i) {
			t.Errorf("batch %d: got %+v", i, got)
		}
	}
}

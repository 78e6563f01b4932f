package partition_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/log0"

// rig is a partition on a disk in memory.
type rig struct {
	*partition.Partition
	disk   *vfs.Mem
	faults chan error
}

func lead(t *testing.T, disk *vfs.Mem, epoch uint64) *rig {
	t.Helper()
	log, _, err := commitlog.Open(dir, commitlog.Options{Files: commitlog.NewFiles(disk, 8), Partition: [16]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{disk: disk, faults: make(chan error, 1)}
	r.Partition, err = partition.Lead(partition.Config{
		Log: log, Epoch: epoch, Now: time.Now, OnFault: func(err error) { r.faults <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func records(values ...string) partition.Batch {
	var b []byte
	for _, v := range values {
		b = batch.AppendRecord(b, &batch.Record{Value: []byte(v)})
	}
	return partition.Batch{Records: b, Count: len(values), Checksum: batch.Checksum(b)}
}

// values reads all that is committed.
func (r *rig) values(t *testing.T) []string {
	t.Helper()
	reader, err := r.NewReader(partition.Place{Kind: partition.AtEarliest}, partition.Place{Kind: partition.AtLatest}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for {
		chunk, err := reader.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for b := chunk.Batches; len(b) > 0; {
			h, err := batch.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if !h.Control() {
				all = append(all, valuesOf(t, &h, b)...)
			}
			b = b[h.Size:]
		}
	}
}

func valuesOf(t *testing.T, h *batch.Header, b []byte) []string {
	t.Helper()
	list, err := h.RecordsOf(b)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	var rec batch.Record
	for {
		_, ok, err := list.Next(&rec)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, string(rec.Value))
	}
}

// What was acked is there after a crash of the machine, at its offset; what is shown is what was acked.
func TestAckedSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := lead(t, vfs.NewMem(seed), 1)
		var mu sync.Mutex
		acked := map[int64]string{}
		ctx, cut := context.WithCancel(t.Context())
		var publishers sync.WaitGroup
		for p := range 4 {
			publishers.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					value := fmt.Sprintf("%d/%d", p, i)
					ack, err := r.Publish(ctx, records(value))
					if err != nil {
						return
					}
					mu.Lock()
					acked[ack.BaseOffset] = value
					mu.Unlock()
				}
			})
		}
		for enough := false; !enough; {
			mu.Lock()
			enough = len(acked) > 50
			mu.Unlock()
		}
		disk := r.disk.Crash(vfs.KeepRandom) // in the middle of whatever is under way
		cut()
		publishers.Wait()
		_ = r.Close() // its disk is gone

		after := lead(t, disk, 2)
		stored := after.values(t)
		for offset, value := range acked {
			if offset >= int64(len(stored)) || stored[offset] != value {
				t.Fatalf("seed %d: %q was acked at offset %d of %d and is not there", seed, value, offset, len(stored))
			}
		}
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A sync that fails is final: it is told once, nobody is acked, and nobody is told a definite no.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	r := lead(t, vfs.NewMem(1), 1)
	r.disk.FailNextSync("")
	if _, err := r.Publish(t.Context(), records("lost")); !errors.Is(err, partition.ErrOutcomeUnknown) {
		t.Errorf("publish: got %v, want ErrOutcomeUnknown", err)
	}
	if err := <-r.faults; !errors.Is(err, commitlog.ErrFault) {
		t.Errorf("fault: got %v", err)
	}
	if _, err := r.Publish(t.Context(), records("more")); !errors.Is(err, commitlog.ErrFault) {
		t.Errorf("publish after it: got %v", err)
	}
	if err := r.Capture(&batch.Record{Value: []byte("x")}); !errors.Is(err, commitlog.ErrFault) {
		t.Errorf("capture after it: got %v", err)
	}
	if got := r.State(); got.Fault == nil || got.HighWatermark != 0 {
		t.Errorf("state: %+v", got)
	}
	_ = r.Close() // reports the fault again
}

// On a full disk publishes are refused and captured records wait; when there is room they are stored.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	r := lead(t, vfs.NewMem(1), 1)
	r.disk.SetCapacity(64 << 10)
	large := string(bytes.Repeat([]byte("x"), 100<<10))
	if _, err := r.Publish(t.Context(), records(large)); !errors.Is(err, commitlog.ErrFull) {
		t.Fatalf("publish: got %v, want ErrFull", err)
	}
	if err := r.Capture(&batch.Record{Subject: []byte("s"), Value: []byte(large)}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Publish(t.Context(), records(large)); !errors.Is(err, commitlog.ErrFull) {
		t.Fatalf("publish: got %v, want ErrFull", err)
	}
	if got := r.State().Fault; !errors.Is(got, commitlog.ErrFull) {
		t.Errorf("state while the disk is full: fault %v", got)
	}
	r.disk.SetCapacity(0)
	reader, err := r.NewReader(partition.Place{Kind: partition.AtEarliest}, partition.Place{Kind: partition.AtOffset, Offset: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = reader.Next(t.Context()) // waits for the captured record
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, err := r.Publish(t.Context(), records("small")); err != nil {
		t.Fatal(err)
	}
	if got := r.State().Fault; got != nil {
		t.Errorf("state with room again: fault %v", got)
	}
	stored := r.values(t)
	if len(stored) != 2 || stored[0] != large || stored[1] != "small" {
		t.Errorf("stored %d records", len(stored))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Who waits for a batch that comes too late hears of the end of the wait, and the batch may be stored.
func TestPublishGivenUp(t *testing.T) {
	t.Parallel()
	r := lead(t, vfs.NewMem(1), 1)
	hold, held := make(chan struct{}), make(chan struct{}, 16)
	remove := r.disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData {
			held <- struct{}{}
			<-hold
		}
		return nil
	})
	ctx, giveUp := context.WithCancel(t.Context())
	answered := make(chan error)
	go func() {
		_, err := r.Publish(ctx, records("late"))
		answered <- err
	}()
	<-held
	giveUp()
	if err := <-answered; !errors.Is(err, partition.ErrOutcomeUnknown) {
		t.Errorf("got %v, want ErrOutcomeUnknown", err)
	}
	if got := r.State().HighWatermark; got != 0 {
		t.Errorf("high watermark %d while the sync is under way", got)
	}
	close(hold)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	remove()
	if got := lead(t, r.disk.Kill(), 2); len(got.values(t)) != 1 {
		t.Error("the batch was appended and is gone")
	} else if err := got.Close(); err != nil {
		t.Error(err)
	}
}

// Captured records and published batches keep their own order, and never share a batch.
func TestCaptureBesidePublish(t *testing.T) {
	t.Parallel()
	const n = 2000
	r := lead(t, vfs.NewMem(1), 1)
	var both sync.WaitGroup
	both.Go(func() {
		for i := range n {
			if err := r.Capture(&batch.Record{Subject: []byte("s"), Value: fmt.Appendf(nil, "c%d", i)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	both.Go(func() {
		for i := range n / 10 {
			if _, err := r.Publish(t.Context(), records(fmt.Sprintf("p%d", i))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	both.Wait()
	reader, err := r.NewReader(partition.Place{Kind: partition.AtEarliest}, partition.Place{Kind: partition.AtOffset, Offset: n + n/10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	next := map[byte]int{}
	for {
		chunk, err := reader.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for b := chunk.Batches; len(b) > 0; {
			h, err := batch.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if !h.Control() {
				for _, v := range valuesOf(t, &h, b) {
					captured := h.Attributes&batch.Captured != 0
					if v[1:] != fmt.Sprint(next[v[0]]) || captured != (v[0] == 'c') {
						t.Fatalf("got %q (captured %v), want number %d", v, captured, next[v[0]])
					}
					next[v[0]]++
				}
			}
			b = b[h.Size:]
		}
	}
	if next['c'] != n || next['p'] != n/10 {
		t.Errorf("got %v", next)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

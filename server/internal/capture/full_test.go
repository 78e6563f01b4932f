package capture_test

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// leadOnDisk leads a partition that asks for the space on its disk, as a broker's do.
func (w *world) leadOnDisk(disk *vfs.Mem, onFull func(error)) *partition.Partition {
	w.t.Helper()
	log, _, err := commitlog.Open("/log", commitlog.Options{Files: commitlog.NewFiles(disk, 8), Partition: [16]byte{1}})
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := partition.Lead(partition.Config{
		Log: log, Epoch: 1, Now: time.Now, OnFault: func(err error) { w.t.Errorf("fault: %v", err) }, OnFull: onFull,
		Space: func() (vfs.Space, error) { return vfs.Space{}, nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// A disk that fills up while the broker has no room for what waits: publishers go on, and what was published is stored or
// counted in gaps (S13, 1.11).
func TestDiskFillsUpWithoutRoom(t *testing.T) {
	t.Parallel()
	const messages, size = 2000, 4 << 10
	w := newWorld(t, func(c *capture.Config) { c.QueuedBytes = 1 << 20 })
	disk := vfs.NewMem(1)
	full := make(chan error, 10)
	p := w.leadOnDisk(disk, func(err error) { full <- err })
	var refuse atomic.Bool
	hold := make(chan struct{})
	defer disk.OnOp(func(op vfs.Op) error {
		if refuse.Load() && op.Kind == vfs.OpWriteAt {
			<-hold
			return syscall.ENOSPC
		}
		return nil
	})()
	sub := w.subscribe(target("s", "orders"), p)
	refuse.Store(true)
	for range messages {
		w.publish(&nats.Msg{Subject: "orders", Data: []byte(strings.Repeat("v", size))})
	}
	for deadline := time.Now().Add(patience); w.Counters().PendingBytes < messages*size/2; {
		if err := w.client.Flush(); err != nil || time.Now().After(deadline) {
			t.Fatalf("nothing waits: %+v, %v", w.Counters(), err)
		}
	}
	close(hold)
	if err := <-full; err == nil {
		t.Error("the disk is not full")
	}
	w.drain(sub) // all was handed on
	refuse.Store(false)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = w.leadOnDisk(disk, nil) // again
	stored, missing := 0, 0
	reader, err := p.NewReader(partition.Place{Kind: partition.AtEarliest}, partition.Place{Kind: partition.AtEnd}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for {
		chunk, err := reader.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for b := chunk.Batches; len(b) > 0; {
			h, err := batch.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			if h.Control() {
				c, err := batch.ParseControl(h.BodyOf(b))
				if err != nil {
					t.Fatal(err)
				}
				missing += int(c.Gap.AtLeast)
			}
			stored += int(h.RecordCount)
			b = b[h.Size:]
		}
	}
	if stored+missing != messages || stored == 0 || missing == 0 {
		t.Errorf("%d stored and %d missing of %d", stored, missing, messages)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

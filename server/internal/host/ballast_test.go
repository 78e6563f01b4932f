package host_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// fill takes what is left of the disk.
func (w *world) fill(name string) {
	w.t.Helper()
	space, err := w.disk.Space("/")
	if err != nil {
		w.t.Fatal(err)
	}
	w.preallocate(name, space.FreeBytes)
}

// preallocate makes a file of that size.
func (w *world) preallocate(name string, bytes int64) {
	w.t.Helper()
	file, err := w.disk.Create(name)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := errors.Join(file.Preallocate(0, bytes), file.Close()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ballast() int64 {
	file, err := w.disk.Stat(filepath.Join(dataDir, "ballast"))
	if err != nil {
		return 0
	}
	return file.Size()
}

// patience is how long anything may take that a test waits for, on a machine that has no time for it.
const patience = time.Minute

// until waits for the host's ticks, which come once a second.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	looks := time.NewTicker(10 * time.Millisecond)
	defer looks.Stop()
	for !done() {
		select {
		case <-looks.C:
		case <-deadline:
			w.t.Fatalf("after %v: not %s", patience, what)
		}
	}
}

// tryPublish publishes one message and returns what comes of it.
func (w *world) tryPublish(stream string) error {
	p, _, err := w.Publishable(stream, 0)
	if err != nil {
		return err
	}
	records := batch.AppendRecord(nil, &batch.Record{Value: []byte("v")})
	_, err = p.Publish(w.t.Context(), partition.Batch{Records: records, Count: 1, Checksum: batch.Checksum(records)})
	return err
}

// A broker starts on a disk that something else has filled to the last block, serves what it has, refuses what is published
// with the reason, and goes on when there is room again (protocol.md 1.11).
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const disk = 1 << 30
	w := newWorld(t)
	w.disk.SetCapacity(disk)
	w.start()
	w.create(orders())
	w.publish("orders", 0, "a")
	if got := w.ballast(); got != disk/64 {
		t.Errorf("the ballast has %d bytes, want a 64th of the disk", got)
	}
	w.stop()
	w.fill("/filler")
	w.start()
	if w.ballast() != 0 {
		t.Error("the ballast is there on a full disk")
	}
	w.want("orders", 0, "a")
	w.until("refused", func() bool {
		err := w.tryPublish("orders")
		if guard := new(partition.DiskGuardError); errors.As(err, &guard) {
			return true
		}
		if err != nil && !errors.Is(err, commitlog.ErrFull) {
			t.Fatalf("publish on a full disk: %v", err)
		}
		return false
	})
	if err := w.disk.Remove("/filler"); err != nil {
		t.Fatal(err)
	}
	w.until("stored", func() bool { return w.tryPublish("orders") == nil })
	w.until("with a ballast", func() bool { return w.ballast() == disk/64 })
	w.stop()
}

// A disk that fills while a broker runs: the ballast goes, so that a stop can write what it has to.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disk.SetCapacity(1 << 30)
	w.start()
	w.create(orders())
	w.fill("/filler")
	w.until("without ballast", func() bool { return w.ballast() == 0 })
	w.stop()
	w.start()
	w.want("orders", 0)
	w.stop()
}

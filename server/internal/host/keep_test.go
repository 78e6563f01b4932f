package host_test

import (
	"errors"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// On a disk so full that nothing is taken in, what was deleted goes, the oldest first and no more of it than has to: a
// broker has a way out. On any other disk it stays for its hour.
func TestFullDiskClearsTheTrash(t *testing.T) {
	t.Parallel()
	const disk = 256 << 20
	w := newWorld(t)
	w.disk.SetCapacity(disk)
	w.start()
	w.create(orders())
	for _, name := range []string{"old", "new"} {
		config := orders()
		config.Name, config.Subjects = name, []string{name}
		w.create(config)
		for range 24 {
			w.publish(name, 0, strings.Repeat("v", 1<<20-100))
		}
	}
	old, young := path.Base(w.folderOf("old", 0)), path.Base(w.folderOf("new", 0))
	for _, name := range []string{"old", "new"} {
		if err := w.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	trash := path.Join(dataDir, "trash")
	w.until("in the trash", func() bool { return len(w.names(trash)) == 2 })
	w.backdate(path.Join(trash, old, "deleted"), 40*time.Minute)
	space, err := w.disk.Space("/")
	if err != nil {
		t.Fatal(err)
	}
	w.preallocate("/filler", space.FreeBytes-8<<20)
	w.until("without the older one", func() bool { return len(w.names(trash)) == 1 })
	w.until("stored", func() bool {
		err := w.tryPublish("orders")
		if guard := new(partition.DiskGuardError); err != nil && !errors.As(err, &guard) {
			t.Fatal(err)
		}
		return err == nil
	})
	if left := w.names(trash); len(left) != 1 || left[0] != young {
		t.Errorf("left: %v, want %s", left, young)
	}
	w.stop()
}

// On a disk without one free block, the ballast gone, a stream can be deleted all the same, and that makes room.
func TestDeleteOnFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disk.SetCapacity(256 << 20)
	w.start()
	w.create(orders())
	config := orders()
	config.Name, config.Subjects = "old", []string{"old"}
	w.create(config)
	for range 24 {
		w.publish("old", 0, strings.Repeat("v", 1<<20-100))
	}
	w.fill("/filler")
	w.until("without ballast", func() bool { return w.ballast() == 0 })
	w.fill("/filler.2")
	folder := path.Base(w.folderOf("old", 0))
	defer w.disk.OnOp(func(op vfs.Op) error { // there is a little room where the log ended
		if op.Kind == vfs.OpWriteAt && path.Base(op.Name) == "deleted" {
			return syscall.ENOSPC
		}
		return nil
	})()
	if err := w.Delete(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	w.until("removed", func() bool { return !slices.Contains(w.names(path.Join(dataDir, "partitions")), folder) })
	w.until("stored", func() bool { return w.tryPublish("orders") == nil })
	w.stop()
}

// backdate makes a folder in the trash one that was deleted that long ago.
func (w *world) backdate(deleted string, age time.Duration) {
	w.t.Helper()
	if err := w.disk.Remove(deleted); err != nil {
		w.t.Fatal(err)
	}
	file, err := w.disk.Create(deleted)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = file.WriteAt([]byte(time.Now().Add(-age).UTC().Format(time.RFC3339Nano)), 0)
	if err := errors.Join(err, file.Close()); err != nil {
		w.t.Fatal(err)
	}
}

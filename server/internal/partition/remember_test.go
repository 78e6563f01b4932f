package partition_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// What was stored is known after a restart, whether the process closed the log or not.
func TestRememberedAfterRestart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		restart func(*testing.T, *setup, *rig)
	}{
		{"closed", func(t *testing.T, _ *setup, r *rig) { t.Helper(); r.close(t) }},
		{"killed", func(_ *testing.T, s *setup, r *rig) { s.disk = r.disk.Kill(); _ = r.Close() }},
		{"power cut", func(_ *testing.T, s *setup, r *rig) { s.disk = r.disk.Crash(vfs.KeepNone); _ = r.Close() }},
		{"without snapshots", func(t *testing.T, s *setup, r *rig) {
			t.Helper()
			r.close(t)
			if err := s.disk.RemoveAll(snapshots); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(1)
			s.segment = 2 << 10
			r := s.lead(t, withDedup)
			for i := range 200 {
				publish(t, r, messages(message(number(i), number(i))))
				s.clock.forward(time.Second / 10)
			}
			test.restart(t, s, r)
			r = s.lead(t, withDedup)
			for i := range 200 {
				if ack := publish(t, r, messages(message(number(i), "again"))); ack.BaseOffset != int64(i) || ack.Count != 0 {
					t.Fatalf("message %d: %+v", i, ack)
				}
			}
			s.clock.forward(time.Minute)
			if ack := publish(t, r, messages(message(number(5), "later"))); ack.BaseOffset != 200 || ack.Count != 1 {
				t.Errorf("after the window: %+v", ack)
			}
			r.close(t)
		})
	}
}

// S11: what retention hides from readers counts all the same within the dedup window, also after a crash.
func TestRememberedBelowTheLogStart(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	var marks *commitlog.Marks
	s.options = func(o *commitlog.Options) {
		var err error
		if marks, err = commitlog.OpenMarks(s.disk, "/marks"); err != nil {
			t.Fatal(err)
		}
		o.Marks = marks
	}
	var log *commitlog.Log
	one := func(c *partition.Config) { c.Settings.Retention.Messages, log = 1, c.Log }
	r := s.lead(t, withDedup, one)
	publish(t, r, messages(message("a", "1")))
	publish(t, r, messages(message("b", "2")))
	s.clock.forward(2 * time.Second)
	if start, err := log.Retain(commitlog.Retention{Messages: 1}, s.clock.now().UnixNano()); err != nil || start != 1 {
		t.Fatalf("the log starts at %d, %v", start, err)
	}
	if err := marks.Flush(); err != nil {
		t.Fatal(err)
	}
	s.disk = r.disk.Kill()
	_ = r.Close()
	r = s.lead(t, withDedup, one)
	if ack := publish(t, r, messages(message("a", "again"))); ack.BaseOffset != 0 || ack.Count != 0 {
		t.Errorf("stored again: %+v", ack)
	}
	r.close(t)
}

func number(i int) string { return string([]byte{'n', byte(i >> 8), byte(i)}) }

// A snapshot of batches that a crash took is not believed, also when others have taken their places.
func TestSnapshotAheadOfTheLog(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	unsynced := func(c *partition.Config) { withDedup(c); c.Settings.Sync = partition.SyncNone }
	r := s.lead(t, unsynced)
	for i := range 100 {
		publish(t, r, messages(message(number(i), number(i))))
	}
	kept := s.disk
	saved := savedAsOf(t, kept, r) // the log is not durable, the snapshot is
	s.disk = kept.Crash(vfs.KeepNone)
	_ = r.Close()
	r = s.lead(t, unsynced)
	for i := range 100 { // in the places of the others
		publish(t, r, messages(message(number(1000+i), "other")))
	}
	if ack := publish(t, r, messages(message(number(50), "anew"))); ack.Count != 1 {
		t.Errorf("a message that was lost is taken for stored: %+v", ack)
	}
	r.close(t)
	if saved == 0 {
		t.Error("no snapshot was written")
	}
}

// savedAsOf waits for a snapshot and returns how many there are.
func savedAsOf(t *testing.T, disk *vfs.Mem, r *rig) int {
	t.Helper()
	for range 10000 {
		entries, err := disk.ReadDir(snapshots)
		n := 0
		for _, e := range entries {
			if len(e.Name()) > 6 && e.Name()[len(e.Name())-6:] == ".dedup" {
				n++
			}
		}
		if err == nil && n > 0 {
			return n
		}
		publish(t, r, records("more"))
	}
	return 0
}

// A snapshot that this log has another batch in the place of is not believed, whether or not the log has grown past it.
func TestSnapshotOfAnotherHistory(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t, withDedup)
	for i := range 100 {
		publish(t, r, messages(message(number(i), number(i))))
	}
	r.close(t)
	other := newSetup(1)
	r = other.lead(t, withDedup, func(c *partition.Config) { c.Dedup.Folder = "" })
	for i := range 200 {
		publish(t, r, messages(message(number(1000+i), "other")))
	}
	r.close(t)
	copyFolder(t, s.disk, other.disk, snapshots)
	r = other.lead(t, withDedup)
	if ack := publish(t, r, messages(message(number(50), "new"))); ack.Count != 1 {
		t.Errorf("a message of another log is taken for stored: %+v", ack)
	}
	if ack := publish(t, r, messages(message(number(1020), "again"))); ack.BaseOffset != 20 || ack.Count != 0 {
		t.Errorf("repeated: %+v", ack)
	}
	r.close(t)
}

func copyFolder(t *testing.T, from, to *vfs.Mem, folder string) {
	t.Helper()
	entries, err := from.ReadDir(folder)
	if err == nil {
		err = to.MkdirAll(folder)
	}
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d snapshots, %v", len(entries), err)
	}
	for _, e := range entries {
		name := folder + "/" + e.Name()
		in, err := from.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		size, err := in.Size()
		b := make([]byte, size)
		if err == nil {
			_, err = in.ReadAt(b, 0)
		}
		out, createErr := to.Create(name)
		if createErr == nil {
			_, createErr = out.WriteAt(b, 0)
		}
		if err := errors.Join(err, createErr, in.Close(), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// What is deleted within the dedup window is known after a crash all the same, whichever limit or purge deletes it (S11).
func TestRememberedWhatIsDeleted(t *testing.T) {
	t.Parallel()
	retain := func(limit commitlog.Retention) func(*testing.T, *setup, *rig) {
		return func(t *testing.T, s *setup, r *rig) {
			t.Helper()
			r.Configure(partition.Settings{DedupWindow: time.Minute, Retention: limit})
			size := r.State().Bytes
			settle(t, s, r, func() bool { return r.State().Bytes < size/2 })
		}
	}
	for name, remove := range map[string]func(*testing.T, *setup, *rig){
		"messages": retain(commitlog.Retention{Messages: 20}),
		"age":      retain(commitlog.Retention{Age: 2 * time.Second}),
		"bytes":    retain(commitlog.Retention{Bytes: 4 << 10}),
		// Nothing was appended yet by then.
		"bytes, in the next life": retain(commitlog.Retention{Bytes: 4 << 10}),
		"all":                     retain(commitlog.Retention{Age: time.Nanosecond}),
		"purge": func(t *testing.T, _ *setup, r *rig) {
			t.Helper()
			if _, _, err := r.Purge(atOffset(150)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(1)
			s.segment = 2 << 10
			rarely := func(c *partition.Config) { withDedup(c); c.Dedup.SnapshotBytes = 1 << 30 }
			r := s.lead(t, rarely)
			for i := range 200 {
				publish(t, r, messages(message(number(i), number(i))))
				s.clock.forward(time.Second / 10)
			}
			if strings.HasSuffix(name, "in the next life") {
				s.disk = r.disk.Crash(vfs.KeepNone)
				_ = r.Close()
				r = s.lead(t, rarely)
			}
			remove(t, s, r)
			s.disk = r.disk.Crash(vfs.KeepNone)
			_ = r.Close()
			r = s.lead(t, rarely)
			for i := range 200 {
				if ack := publish(t, r, messages(message(number(i), "again"))); ack.BaseOffset != int64(i) || ack.Count != 0 {
					t.Fatalf("message %d: %+v", i, ack)
				}
			}
			r.close(t)
		})
	}
}

// A stop writes a snapshot only where reading what it knows would cost the next start more.
func TestLittleNeedsNoSnapshot(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	sparse := func(c *partition.Config) { withDedup(c); c.Dedup.SnapshotBytes = 0 }
	saved := func() bool {
		entries, err := s.disk.ReadDir(snapshots)
		return err == nil && len(entries) > 0
	}
	for life := range 3 {
		r := s.lead(t, sparse)
		publish(t, r, messages(message(number(life), "v")))
		if ack := publish(t, r, messages(message(number(0), "again"))); ack.BaseOffset != 0 || life > 0 && ack.Count != 0 {
			t.Errorf("life %d: stored again: %+v", life, ack)
		}
		r.close(t)
		if saved() {
			t.Fatal("a snapshot was written of next to nothing")
		}
	}
	r := s.lead(t, sparse)
	for i := range 80 {
		publish(t, r, messages(message(number(100+i), strings.Repeat("v", 1<<10))))
	}
	r.close(t)
	if !saved() {
		t.Error("no snapshot was written")
	}
	r = s.lead(t, sparse)
	for _, i := range []int{0, 100, 179} {
		if ack := publish(t, r, messages(message(number(i), "again"))); ack.Count != 0 {
			t.Errorf("message %d is stored again: %+v", i, ack)
		}
	}
	r.close(t)
}

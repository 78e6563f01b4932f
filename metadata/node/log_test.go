package node

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// openLog returns the parts of a fresh folder with entries of term 1 from 1 to last.
func openLog(t *testing.T, last uint64) (*disk, *failStop) {
	t.Helper()
	stop := newFailStop()
	d, err := openDisk(t.TempDir(), "a", quiet(), stop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.store.Close() })
	if err := d.stable.SetUint64([]byte(raftCurrentTerm), 9); err != nil {
		t.Fatal(err)
	}
	for index := uint64(1); index <= last; index++ {
		if err := d.log.StoreLog(&raft.Log{Index: index, Term: 1}); err != nil {
			t.Fatal(err)
		}
	}
	return d, stop
}

func (d *disk) snapshot(t *testing.T, index, term uint64) error {
	t.Helper()
	sink, err := d.snapshots.Create(raft.SnapshotVersionMax, index, term, raft.Configuration{}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sink.Close()
}

// A snapshot that agrees with the log removes no entry behind it: they may have been acknowledged.
func TestSnapshotKeepsEntriesBehindIt(t *testing.T) {
	d, _ := openLog(t, 10)
	if err := d.snapshot(t, 5, 1); err != nil {
		t.Fatal(err)
	}
	if first, last := d.log.bounds(); first != 1 || last != 10 {
		t.Errorf("the log has %d to %d", first, last)
	}
}

// A snapshot that reaches further than the log takes its place, entries follow it without a hole, and the log answers
// for the entry that the snapshot ends with.
func TestSnapshotReplacesLog(t *testing.T) {
	d, stop := openLog(t, 10)
	if err := d.snapshot(t, 50, 3); err != nil {
		t.Fatal(err)
	}
	if first, _ := d.log.FirstIndex(); first != 0 {
		t.Errorf("the log begins at %d", first)
	}
	if last, _ := d.log.LastIndex(); last != 50 {
		t.Errorf("log and snapshot end at %d", last)
	}
	var entry raft.Log
	if err := d.log.GetLog(50, &entry); err != nil || entry.Term != 3 {
		t.Errorf("entry 50 has term %d: %v", entry.Term, err)
	}
	if err := verifyEntry(&entry); err == nil {
		t.Error("the stand-in could be sent to another node")
	}
	if err := d.log.GetLog(49, &entry); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("entry 49: %v", err)
	}
	if err := d.log.StoreLog(&raft.Log{Index: 51, Term: 3}); err != nil {
		t.Error(err)
	}
	runToTheEnd(func() { _ = d.log.StoreLog(&raft.Log{Index: 53, Term: 3}) })
	if stop.cause() == nil {
		t.Error("a hole in the log was accepted")
	}
}

// An entry behind a hole after the snapshot is refused as well.
func TestHoleBehindSnapshot(t *testing.T) {
	d, stop := openLog(t, 0)
	if err := d.snapshot(t, 50, 3); err != nil {
		t.Fatal(err)
	}
	runToTheEnd(func() { _ = d.log.StoreLog(&raft.Log{Index: 52, Term: 3}) })
	if stop.cause() == nil {
		t.Error("a hole in the log was accepted")
	}
}

// A snapshot that differs from the log where it ends stops the node, and takes the log's place at the next start.
func TestSnapshotDiffersFromLog(t *testing.T) {
	d, stop := openLog(t, 10)
	if err := d.snapshot(t, 5, 2); err == nil {
		t.Error("accepted")
	}
	if cause := stop.cause(); cause == nil || !strings.Contains(cause.Error(), "start the broker again") {
		t.Errorf("reported: %v", cause)
	}
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openDisk(d.store.folder, "a", quiet(), newFailStop())
	if err != nil {
		t.Fatal(err)
	}
	defer again.store.Close()
	if first, _ := again.log.FirstIndex(); first != 0 {
		t.Errorf("the log begins at %d", first)
	}
}

// Only the ends of the log can be removed.
func TestRemoveFromTheMiddle(t *testing.T) {
	d, stop := openLog(t, 10)
	for _, ends := range [][2]uint64{{0, 2}, {9, 99}} {
		if err := d.log.DeleteRange(ends[0], ends[1]); err != nil {
			t.Fatal(err)
		}
	}
	if first, last := d.log.bounds(); first != 3 || last != 8 {
		t.Errorf("the log has %d to %d", first, last)
	}
	runToTheEnd(func() { _ = d.log.DeleteRange(5, 6) })
	if stop.cause() == nil {
		t.Error("a hole in the log was accepted")
	}
}

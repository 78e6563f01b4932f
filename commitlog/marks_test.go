package commitlog_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// markedAt is a mark of log n of the partition of tests.
func markedAt(n uint32, seq uint64) commitlog.Mark {
	return commitlog.Mark{
		LogName: commitlog.LogName{Partition: kitPartition, LogID: n},
		Durable: commitlog.Position{Seq: seq, Offset: int64(seq) * 10}, Segment: commitlog.Position{Seq: 1, Offset: 2},
		FilePosition: 1 << 40, Committed: commitlog.Position{Seq: seq - 1}, Start: 7, Compacted: 5, Suspect: seq%2 == 1,
	}
}

// marksIn opens the marks of a folder that is made and durable.
func marksIn(t testing.TB, fsys vfs.FS) *commitlog.Marks {
	t.Helper()
	if err := errors.Join(fsys.MkdirAll("data"), fsys.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	m, err := commitlog.OpenMarks(fsys, "data/marks")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func flush(t testing.TB, m *commitlog.Marks) {
	t.Helper()
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
}

// wantMarks fails the test unless log n has the mark at seqs[n]; 0: none.
func wantMarks(t testing.TB, m *commitlog.Marks, seqs ...uint64) {
	t.Helper()
	for n, seq := range seqs {
		want := markedAt(uint32(n), seq)
		got, ok := m.Get(want.LogName)
		if !ok && seq == 0 {
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(commitlog.Mark{})); !ok || diff != "" {
			t.Errorf("mark of log %d (-want +got):\n%s", n, diff)
		}
	}
}

func TestNewestMarkCounts(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem(1)
	m := marksIn(t, mem)
	for seq := uint64(2); seq < 9; seq++ {
		m.Put(markedAt(0, seq))
		m.Put(markedAt(1, 100-seq))
		if seq%3 == 0 {
			flush(t, m)
		}
		wantMarks(t, m, seq, 100-seq, 0)
	}
	mem = mem.Crash(vfs.KeepNone)
	wantMarks(t, marksIn(t, mem), 6, 94, 0) // what was not flushed is not there
}

func TestTornMarksArePassedOver(t *testing.T) {
	t.Parallel()
	const size = 136
	mem := vfs.NewMem(1)
	m := marksIn(t, mem)
	for seq := uint64(2); seq < 6; seq++ {
		m.Put(markedAt(0, seq))
		flush(t, m)
	}
	m.Put(markedAt(1, 50))
	flush(t, m)
	whole := fileBytes(t, mem, "data/marks")
	if len(whole) != 5*size {
		t.Fatalf("the file has %d bytes, want 5 entries", len(whole))
	}
	for _, test := range []struct {
		name   string
		damage func([]byte) []byte
		want   []uint64
	}{
		{"nothing", func(b []byte) []byte { return b }, []uint64{5, 50}},
		{"the last one cut short", func(b []byte) []byte { return b[:len(b)-1] }, []uint64{5, 0}},
		{"a bit of an older one", flipAt(2*size + 30), []uint64{5, 50}},
		{"a bit of the newest", flipAt(3*size + 30), []uint64{4, 50}},
		{"a bit of a crc", flipAt(4*size - 1), []uint64{4, 50}},
		{"zeros in between", func(b []byte) []byte { clear(b[size : 4*size]); return b }, []uint64{2, 50}},
		{"all zeros", func(b []byte) []byte { clear(b); return b }, []uint64{0, 0}},
		{"empty", func([]byte) []byte { return nil }, []uint64{0, 0}},
		{"no marks at all", func([]byte) []byte { return bytes.Repeat([]byte("x"), 1000) }, []uint64{0, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem(1)
			if err := mem.MkdirAll("data"); err != nil {
				t.Fatal(err)
			}
			setFile(t, mem, "data/marks", test.damage(slices.Clone(whole)))
			m := marksIn(t, mem)
			wantMarks(t, m, test.want...)
			// What is written behind damage is found again.
			m.Put(markedAt(2, 9))
			flush(t, m)
			wantMarks(t, marksIn(t, mem), append(test.want, 9)...)
		})
	}
}

func TestMarksFileIsBounded(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem(1)
	m := marksIn(t, mem)
	largest, last := 0, 0
	for round := range uint64(300) {
		for n := range uint32(100) {
			m.Put(markedAt(n, round+2))
		}
		flush(t, m)
		last = len(fileBytes(t, mem, "data/marks"))
		largest = max(largest, last)
	}
	if limit := 1<<20 + 5*100*136; largest > limit {
		t.Errorf("the file grew to %d bytes, want at most %d", largest, limit)
	}
	if largest < 1<<20 || last >= largest {
		t.Errorf("the file has %d bytes of at most %d: it was never written anew", last, largest)
	}
	mem = mem.Crash(vfs.KeepNone)
	m = marksIn(t, mem)
	for n := range uint32(100) {
		if mark, ok := m.Get(markedAt(n, 2).LogName); !ok || mark.Durable.Seq != 301 {
			t.Fatalf("mark of log %d is %+v", n, mark)
		}
	}
	if got := len(fileBytes(t, mem, "data/marks")); got != 100*136 {
		t.Errorf("the file has %d bytes after opening it, want 100 entries", got)
	}
}

func TestForgottenMark(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem(1)
	m := marksIn(t, mem)
	m.Put(markedAt(0, 2))
	flush(t, m)
	m.Put(markedAt(0, 4))
	m.Put(markedAt(1, 6))
	m.Forget(markedAt(0, 2).LogName)
	flush(t, m)
	wantMarks(t, m, 0, 6)
	if got, err := commitlog.ReadMarks(mem, "data/marks"); err != nil || len(got) != 1 {
		t.Errorf("the file has %d marks, %v, want none of the log that is forgotten", len(got), err)
	}
}

// Marks that could not be made durable are written by the next flush that can, wherever the failure was.
func TestFlushAfterFailure(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind  vfs.OpKind
		large bool // the file is to be written anew
	}{
		{vfs.OpWriteAt, false},
		{vfs.OpSyncData, false},
		{vfs.OpWriteAt, true},
		{vfs.OpSyncData, true},
		{vfs.OpCreate, true},
		{vfs.OpRename, true},
		{vfs.OpSyncDir, true},
	} {
		name := test.kind.String()
		if test.large {
			name += ", file written anew"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem(1)
			m := marksIn(t, mem)
			for n := range uint32(100) {
				m.Put(markedAt(n, 2))
			}
			flush(t, m)
			for size := 0; test.large && size <= 1<<20+4*100*136; size = len(fileBytes(t, mem, "data/marks")) {
				for n := range uint32(100) {
					m.Put(markedAt(n, 2))
				}
				flush(t, m)
			}
			m.Put(markedAt(0, 4))
			remove := mem.OnOp(func(op vfs.Op) error {
				if op.Kind == test.kind {
					return errNoFile
				}
				return nil
			})
			for range 3 {
				if err := m.Flush(); !errors.Is(err, errNoFile) {
					t.Fatalf("error is %v, want %v", err, errNoFile)
				}
			}
			wantMarks(t, m, 4, 2, 2)
			remove()
			flush(t, m)
			wantMarks(t, marksIn(t, mem.CrashClone(vfs.KeepNone)), 4, 2, 2)
			m.Put(markedAt(1, 6))
			flush(t, m)
			wantMarks(t, marksIn(t, mem.CrashClone(vfs.KeepNone)), 4, 6, 2)
		})
	}
}

// A log may be deleted and another take its place: the mark of the one before must not come back with a crash, or the other
// would be taken for what is left of it.
func TestForgottenMarkStaysForgotten(t *testing.T) {
	t.Parallel()
	for _, keep := range []vfs.Keep{vfs.KeepNone, vfs.KeepAll, vfs.KeepRandom} {
		k := newKit(t, withMarks(500))
		k.fill(10, 2)
		name := commitlog.LogName{Partition: kitPartition}
		if err := k.opts.Marks.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := k.log.Close(); err != nil {
			t.Fatal(err)
		}
		k.opts.Marks.Forget(name)
		if err := k.opts.Marks.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := commitlog.Trash(k.fs, k.dir, "trash", time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		k.crash(keep)
		k.open()
		if k.report.Lost != nil || k.log.End() != commitlog.Origin {
			t.Fatalf("%+v, the log ends at %v", k.report, k.log.End())
		}
		k.fill(1, 1)
		k.reopen()
		if got, want := k.log.End(), (commitlog.Position{Seq: 2, Offset: 1}); got != want {
			t.Fatalf("the log ends at %v, want %v", got, want)
		}
	}
}

// The mark of a log of which nothing was synced yet may say where it begins; it is not the word that the log is forgotten.
func TestMarkOfALogWithoutSync(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem(1)
	m := marksIn(t, mem)
	name := commitlog.LogName{Partition: kitPartition}
	m.Put(commitlog.Mark{LogName: name, Start: 7})
	flush(t, m)
	got, err := commitlog.ReadMarks(mem, "data/marks")
	if err != nil || got[name].Start != 7 {
		t.Fatalf("the file has %+v, %v", got, err)
	}
}

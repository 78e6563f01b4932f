package commitlog_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

var kitPartition = [16]byte{0x7e, 0x57}

// logKit is a log on a file system of its own, which a test opens, closes and opens again.
type logKit struct {
	testing.TB
	fs     vfs.FS
	mem    *vfs.Mem // nil: the real file system
	dir    string
	marked bool // a file of marks is kept beside the log
	opts   commitlog.Options

	log    *commitlog.Log
	report commitlog.Report // of the last open
}

// newKit opens an empty log in memory. Change may set options and whether marks are kept.
func newKit(t testing.TB, change func(*logKit)) *logKit {
	t.Helper()
	mem := vfs.NewMem(1)
	k := &logKit{TB: t, fs: mem, mem: mem, dir: "data/log0"}
	k.opts.Partition = kitPartition
	if change != nil {
		change(k)
	}
	folder := path.Dir(k.dir)
	if err := errors.Join(k.fs.MkdirAll(folder), k.fs.SyncDir(path.Dir(folder))); err != nil {
		t.Fatal(err)
	}
	k.open()
	return k
}

// onDisk puts the log of a kit on the real file system.
func onDisk(k *logKit) {
	k.fs, k.mem, k.dir = vfs.OS(), nil, path.Join(k.TempDir(), "log0")
}

// segmentsOf makes a kit whose segments end at that size.
func segmentsOf(bytes int64) func(*logKit) {
	return func(k *logKit) { k.opts.SegmentBytes = bytes }
}

// withMarks is a kit that keeps marks, too.
func withMarks(bytes int64) func(*logKit) {
	return func(k *logKit) { k.opts.SegmentBytes, k.marked = bytes, true }
}

func (k *logKit) tryOpen() error {
	k.Helper()
	k.opts.Files = commitlog.NewFiles(k.fs, 8)
	if k.marked {
		marks, err := commitlog.OpenMarks(k.fs, path.Join(path.Dir(k.dir), "marks"))
		if err != nil {
			k.Fatal(err)
		}
		k.opts.Marks = marks
	}
	var err error
	k.log, k.report, err = commitlog.Open(k.dir, k.opts)
	return err
}

func (k *logKit) open() {
	k.Helper()
	if err := k.tryOpen(); err != nil {
		k.Fatal(err)
	}
}

// close ends the log as a broker does that stops.
func (k *logKit) close() {
	k.Helper()
	if err := k.log.Close(); err != nil {
		k.Fatal(err)
	}
	if err := k.opts.Files.Close(); err != nil {
		k.Fatal(err)
	}
	if k.marked {
		if err := k.opts.Marks.Close(); err != nil {
			k.Fatal(err)
		}
	}
}

func (k *logKit) reopen() {
	k.Helper()
	k.close()
	k.open()
}

// crash cuts the power; what was not synced is gone or not, as keep says.
func (k *logKit) crash(keep vfs.Keep) {
	k.Helper()
	k.mem = k.mem.Crash(keep)
	k.fs = k.mem
}

// append appends one batch of those records at that time in leader epoch 1.
func (k *logKit) append(now int64, records ...batch.Record) commitlog.Appended {
	k.Helper()
	return k.appendBatch(1, now, batchOf(records...))
}

func (k *logKit) appendBatch(epoch uint64, now int64, b []byte) commitlog.Appended {
	k.Helper()
	appended, err := k.log.Append(epoch, now, b)
	if err != nil {
		k.Fatal(err)
	}
	return appended
}

// fill appends batches of records each, numbered on in their values, one a time unit; all is committed and durable.
func (k *logKit) fill(batches, records int) {
	k.Helper()
	for range batches {
		end := k.log.End()
		k.append(int64(end.Seq), numbered(end.Offset, records)...)
	}
	k.commit()
}

// commit syncs the log and commits all of it.
func (k *logKit) commit() {
	k.Helper()
	end, err := k.log.Sync()
	if err != nil {
		k.Fatal(err)
	}
	k.log.Commit(end)
}

// names lists what is in the folder of the log, with that suffix.
func (k *logKit) names(suffix string) []string {
	k.Helper()
	entries, err := k.fs.ReadDir(k.dir)
	if err != nil {
		k.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// bytes is what is in a file of the log's folder.
func (k *logKit) bytes(name string) []byte {
	k.Helper()
	return fileBytes(k, k.fs, path.Join(k.dir, name))
}

func fileBytes(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	file, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := file.Size()
	b := make([]byte, size)
	if err == nil && size > 0 {
		_, err = file.ReadAt(b, 0)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// setFile makes a file with that content, instead of the one that is there.
func setFile(t testing.TB, fsys vfs.FS, name string, content []byte) {
	t.Helper()
	file, err := fsys.OpenReadWrite(name)
	if err != nil {
		file, err = fsys.Create(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	err = file.Truncate(0)
	if err == nil && len(content) > 0 {
		_, err = file.WriteAt(content, 0)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// summaries is what InspectLog finds in the log.
func (k *logKit) summaries() []commitlog.SegmentSummary {
	k.Helper()
	var all []commitlog.SegmentSummary
	if err := commitlog.InspectLog(k.fs, k.dir, nil, nil, func(s commitlog.SegmentSummary) error {
		all = append(all, s)
		return nil
	}); err != nil {
		k.Fatal(err)
	}
	return all
}

// noFaults fails the test if InspectLog finds one, but for an index, which a crash may damage.
func (k *logKit) noFaults() {
	k.Helper()
	for _, s := range k.summaries() {
		for _, fault := range s.Faults {
			if !strings.HasSuffix(fault.File, ".idx") {
				k.Errorf("%s: %v", s.File, fault)
			}
		}
	}
}

// stored is a record, or a control batch, as it is read from a log.
type stored struct {
	Seq        uint64
	Offset     int64
	Time       int64
	Epoch      uint64
	Key, Value string
	Tombstone  bool
	Control    bool
}

// read reads all from the oldest batch up to the end, through a buffer of 64 KiB.
func (k *logKit) read() []stored {
	k.Helper()
	all, err := readOn(k.log.ReadFrom(k.log.Start()), k.log, 64<<10)
	if err != nil {
		k.Fatal(err)
	}
	return all
}

// readOn reads what is left up to the end of the log, as far as it can be read.
func readOn(r *commitlog.Reader, log *commitlog.Log, buffer int) ([]stored, error) {
	buf := make([]byte, buffer)
	var all []stored
	for {
		run, err := r.Read(buf, log.End())
		if err != nil || len(run.Bytes) == 0 {
			return all, err
		}
		of, err := storedIn(run)
		if err != nil {
			return all, err
		}
		all = append(all, of...)
	}
}

// storedIn is what a run holds. That the run says of itself what it holds is checked.
func storedIn(run commitlog.Run) ([]stored, error) {
	var all []stored
	records, at := 0, commitlog.Position{}
	for b := run.Bytes; len(b) > 0; {
		h, err := batch.Parse(b)
		if err != nil {
			return nil, err
		}
		if at.Seq == 0 && run.First != (commitlog.Position{Seq: h.Seq, Offset: h.BaseOffset}) {
			return nil, fmt.Errorf("the first batch of the run at %v is %d", run.First, h.Seq)
		}
		at = commitlog.Position{Seq: h.Seq + 1, Offset: h.NextOffset()}
		records += int(h.RecordCount)
		of, err := storedInBatch(&h, b[:h.Size])
		if err != nil {
			return nil, err
		}
		all, b = append(all, of...), b[h.Size:]
	}
	if at != run.End || records != run.Records {
		return nil, fmt.Errorf("the run ends at %v after %d records; it says %v after %d", at, records, run.End, run.Records)
	}
	return all, nil
}

func storedInBatch(h *batch.Header, b []byte) ([]stored, error) {
	one := stored{Seq: h.Seq, Offset: h.BaseOffset, Time: h.Time, Epoch: h.LeaderEpoch, Control: h.Control()}
	if one.Control {
		return []stored{one}, nil
	}
	plain, err := commitlog.Unpack(nil, h, b, zstdCodec{})
	if err != nil {
		return nil, err
	}
	ph, err := batch.Parse(plain)
	if err != nil {
		return nil, err
	}
	list, err := ph.RecordsOf(plain)
	if err != nil {
		return nil, err
	}
	var all []stored
	var r batch.Record
	for {
		delta, ok, err := list.Next(&r)
		if err != nil || !ok {
			return all, err
		}
		one.Offset = h.BaseOffset + int64(delta)
		one.Key, one.Value, one.Tombstone = string(r.Key), string(r.Value), r.Tombstone
		all = append(all, one)
	}
}

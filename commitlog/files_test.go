package commitlog_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// countingFS counts the descriptors that are open.
type countingFS struct {
	vfs.FS
	open, most atomic.Int64
}

type countedFile struct {
	vfs.File
	fs *countingFS
}

func (c *countingFS) counted(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	c.most.Store(max(c.most.Load(), c.open.Add(1)))
	return countedFile{f, c}, nil
}

func (c *countingFS) Open(name string) (vfs.File, error) { return c.counted(c.FS.Open(name)) }

func (c *countingFS) OpenReadWrite(name string) (vfs.File, error) {
	return c.counted(c.FS.OpenReadWrite(name))
}

func (c *countingFS) Create(name string) (vfs.File, error) { return c.counted(c.FS.Create(name)) }

func (f countedFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

// activeFiles is how many files a log that is appended to keeps in use: its last segment and the index of that.
const activeFiles = 2

func TestDescriptorsAreBounded(t *testing.T) {
	t.Parallel()
	const logs, limit = 200, 8
	fsys := &countingFS{FS: vfs.NewMem(1)}
	files := commitlog.NewFiles(fsys, limit)
	opened := make([]*commitlog.Log, logs)
	for i := range opened {
		opts := commitlog.Options{Files: files, Partition: kitPartition, LogID: uint32(i), SegmentBytes: 400}
		log, _, err := commitlog.Open(fmt.Sprint("log", i), opts)
		if err != nil {
			t.Fatal(err)
		}
		opened[i] = log
	}
	check := func(when string, users int64) {
		t.Helper()
		if got := fsys.open.Load(); got > users+limit {
			t.Errorf("%s: %d files are open, %d in use", when, got, users)
		}
	}
	check("empty logs", 0)
	for range 5 {
		for _, log := range opened {
			if _, err := log.Append(1, 1, batchOf(numbered(log.End().Offset, 20)...)); err != nil {
				t.Fatal(err)
			}
		}
		check("appending", activeFiles*logs)
	}
	for _, log := range opened {
		if _, err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	check("logs in which all is durable", 0)
	for _, log := range opened {
		all, err := readOn(log.ReadFrom(0), log, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, all, 0, 100)
		check("reading", activeFiles)
	}
	if got, want := fsys.most.Load(), int64(activeFiles*logs+limit+activeFiles); got > want {
		t.Errorf("%d files were open at once, want at most %d", got, want)
	}
	for _, log := range opened {
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check("closed logs", 0)
	if err := files.Close(); err != nil || fsys.open.Load() != 0 {
		t.Errorf("%d files are open at the end, %v", fsys.open.Load(), err)
	}
}

func TestFilesInUseAreNotClosed(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.append(1, numbered(0, 1)...) // not synced, so the log holds its files
	if _, err := k.log.Append(1, 1, batchOf(numbered(1, 1)...)); err != nil {
		t.Fatal(err)
	}
	if err := k.opts.Files.Close(); err == nil || !strings.Contains(err.Error(), "still in use") {
		t.Errorf("error is %v, want one that names the files of the open log", err)
	}
	k.commit()
	wantNumbers(t, k.read(), 0, 2)
}

// Logs that nobody uses take little memory, no goroutine and, while they are empty, no descriptor.
func TestIdleLogsAreCheap(t *testing.T) {
	const logs = 10_000
	fsys := &countingFS{FS: vfs.NewMem(1)}
	files := commitlog.NewFiles(fsys, 8)
	for i := range logs { // the folders are there before: they are no part of what is measured
		if err := fsys.MkdirAll(fmt.Sprint("log", i)); err != nil {
			t.Fatal(err)
		}
	}
	opened := make([]*commitlog.Log, logs)
	goroutines := runtime.NumGoroutine()
	before := heapBytes()
	for i := range opened {
		log, _, err := commitlog.Open(fmt.Sprint("log", i), commitlog.Options{Files: files, LogID: uint32(i)})
		if err != nil {
			t.Fatal(err)
		}
		opened[i] = log
	}
	each := (heapBytes() - before) / logs
	t.Logf("an idle log takes %d bytes", each)
	if each > 2<<10 {
		t.Errorf("an idle log takes %d bytes, want at most 2 KiB", each)
	}
	if got := fsys.open.Load(); got > 8 {
		t.Errorf("%d files are open", got)
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines, %d before", got, goroutines)
	}
	runtime.KeepAlive(opened)
}

func heapBytes() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A log in which all is durable holds no descriptor once its files were not used between two rests, and goes on after that.
func TestIdleFilesAreClosed(t *testing.T) {
	t.Parallel()
	fsys := &countingFS{FS: vfs.NewMem(1)}
	files := commitlog.NewFiles(fsys, 100)
	log, _, err := commitlog.Open("log", commitlog.Options{Files: files, Partition: kitPartition})
	if err != nil {
		t.Fatal(err)
	}
	for round := range int64(3) {
		if _, err := log.Append(1, 1, batchOf(numbered(round, 1)...)); err != nil {
			t.Fatal(err)
		}
		if err := files.Rest(); err != nil || files.Open() != activeFiles {
			t.Errorf("with something to sync: %d files are open, %v; want those in use", files.Open(), err)
		}
		if _, err := log.Sync(); err != nil {
			t.Fatal(err)
		}
		for rest, want := range []int64{activeFiles, 0} {
			if err := files.Rest(); err != nil || fsys.open.Load() != want {
				t.Errorf("round %d, rest %d: %d files are open, %v; want %d", round, rest, fsys.open.Load(), err, want)
			}
		}
	}
	all, err := readOn(log.ReadFrom(0), log, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, all, 0, 3)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

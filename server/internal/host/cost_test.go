package host_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/commitlog/vfs"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// tally counts what is done in the folder of each partition, by kind.
type tally struct {
	mu sync.Mutex
	of map[string]map[vfs.OpKind]int // by folder; guarded by mu
}

func (c *tally) count(op vfs.Op) error {
	_, inside, ok := strings.Cut(op.Name, "/partitions/")
	if !ok {
		return nil
	}
	folder, _, _ := strings.Cut(inside, "/")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[folder] == nil {
		c.of[folder] = map[vfs.OpKind]int{}
	}
	c.of[folder][op.Kind]++
	return nil
}

// counted says what do does in each partition's folder.
func (w *world) counted(do func()) map[string]map[vfs.OpKind]int {
	c := &tally{of: map[string]map[vfs.OpKind]int{}}
	w.disk.OnOp(c.count)
	do()
	w.disk.OnOp(func(vfs.Op) error { return nil })
	return c.of
}

// What a start and a stop do for each partition in which nothing happens decides how soon a broker with thousands of them is
// ready. A partition is synced once, for its epoch, after a stop of any kind: of its log and its folder the mark says that they are
// on the disk already (commitlog/DESIGN.md 6).
func TestIdlePartitionsCostLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	w.create(&trestlev1.StreamConfig{Name: "many", Subjects: []string{"many"}, Partitions: proto.Int32(3)})
	w.stop()
	w.start() // the second batch of a log begins its index
	w.stop()
	for range 3 {
		clean := w.counted(func() { w.start() })
		wantOps(t, "start after a stop in order", clean, 22, map[vfs.OpKind]int{vfs.OpSyncData: 1, vfs.OpSyncDir: 0, vfs.OpCreate: 0, vfs.OpWriteAt: 1})
		wantOps(t, "stop", w.counted(w.stop), 4, map[vfs.OpKind]int{vfs.OpSyncData: 0, vfs.OpSyncDir: 0, vfs.OpCreate: 0, vfs.OpWriteAt: 0})
	}
	w.start()
	for range 3 {
		w.kill()
		killed := w.counted(func() { w.start() })
		wantOps(t, "start after a kill", killed, 22, map[vfs.OpKind]int{vfs.OpSyncData: 1, vfs.OpSyncDir: 0, vfs.OpCreate: 0, vfs.OpWriteAt: 2})
	}
	w.stop()
}

// wantOps wants so many operations of those kinds in each folder, and at most so many in all.
func wantOps(t *testing.T, what string, got map[string]map[vfs.OpKind]int, most int, want map[vfs.OpKind]int) {
	t.Helper()
	if len(got) == 0 {
		t.Errorf("%s: no folder of a partition was touched", what)
	}
	for _, ops := range got {
		total := 0
		for _, n := range ops {
			total += n
		}
		for kind, n := range want {
			if ops[kind] != n {
				t.Errorf("%s: %v %d times for a partition, want %d", what, kind, ops[kind], n)
			}
		}
		if total > most {
			t.Errorf("%s: %d operations on the disk for a partition, want at most %d: %v", what, total, most, ops)
		}
	}
}

// What a start allocates for each partition in which nothing happens is work, and more for the collector. It is not parallel,
// for it counts what everything here allocates.
func TestIdlePartitionsAllocateLittle(t *testing.T) {
	const n, mostBytes = 100, 40 << 10
	bytes := func(partitions int32) uint64 {
		w := newWorld(t).start()
		w.create(&trestlev1.StreamConfig{Name: "many", Subjects: []string{"many"}, Partitions: proto.Int32(partitions)})
		w.stop()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w.start()
		runtime.ReadMemStats(&after)
		w.stop()
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := bytes(1), bytes(1+n)
	if each := (int64(many) - int64(few)) / n; each > mostBytes {
		t.Errorf("a start allocates %d bytes for each partition, want at most %d", each, mostBytes)
	}
}

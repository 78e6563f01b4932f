package dedup_test

import (
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// At most 48 bytes an id: as the window counts them, and as the runtime does.
func TestBytesPerID(t *testing.T) { // not parallel: it measures the heap
	const n = 300_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w := dedup.NewWindow(1e18, nil)
	fill(w, 1, n)
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap := float64(after.HeapAlloc-before.HeapAlloc) / n
	counted := float64(w.Bytes()) / n
	t.Logf("%.1f bytes an id, counted as %.1f", heap, counted)
	if heap > 48 || counted > 48 || heap > counted*1.02 {
		t.Errorf("%.1f bytes an id, counted as %.1f; want at most 48, and no more than counted", heap, counted)
	}
	// While ids go, the table is at most a third larger than it need be.
	w.SetNanos(n / 2 * second)
	w.Settled(n, n*second)
	if got := float64(w.Bytes()) / float64(w.Len()); w.Len() != n/2 || got > 50 {
		t.Errorf("%d ids are left, at %.1f bytes each; want half, at most 50 bytes", w.Len(), got)
	}
	runtime.KeepAlive(w)
}

// In steady state a record with an id allocates nothing, nor does a decision.
func TestNothingIsAllocatedPerRecord(t *testing.T) { // not parallel: it counts allocations
	s := dedup.New(dedup.Options{WindowNanos: 1000 * second, Budget: dedup.NewBudget(1 << 30)})
	seq, ids := uint64(0), make([]dedup.ID, 100)
	var duplicates []dedup.Duplicate
	var kept []dedup.Stored
	batch := func() {
		for i := range ids {
			ids[i] = number(seq*90 + uint64(i)) // ten of them are in the next one as well
		}
		seq++
		next, now := int64(seq*100), int64(seq)*second
		d := s.Decide(dedup.Request{IDs: ids, Count: 100, Producer: 9, ProducerSequence: uint32(seq - 1)}, next, now, duplicates)
		duplicates, kept = d.Duplicates, d.Kept(ids, kept[:0])
		s.Append(dedup.Batch{
			Seq: seq, Time: now, BaseOffset: next, Count: d.Count, Producer: 9, ProducerSequence: uint32(seq - 1),
		}, kept)
		s.Committed(seq - 1)
	}
	for range 3000 {
		batch()
	}
	if got := testing.AllocsPerRun(2000, batch); got != 0 {
		t.Errorf("a batch of 100 records allocates %v times", got)
	}
	if got := s.Window().Len(); got < 89_000 || got > 91_000 || len(duplicates) != 10 {
		t.Errorf("%d ids are held and %d of a batch were duplicates: not the state to be measured", got, len(duplicates))
	}
}

func TestSizeOfAnUnusedState(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(dedup.Window{}); got > 512 {
		t.Errorf("an empty window has %d bytes", got)
	}
	if got := dedup.NewWindow(second, nil).Bytes(); got != 0 {
		t.Errorf("an empty window has %d bytes of ids", got)
	}
}

// BenchmarkAddLookup is what one record with an id costs: hash, lookup, add, and the oldest dropped.
func BenchmarkAddLookup(b *testing.B) {
	for _, window := range []int64{10_000, 1_000_000} {
		b.Run(strconv.FormatInt(window, 10), func(b *testing.B) { benchmarkAddLookup(b, window) })
	}
}

func benchmarkAddLookup(b *testing.B, window int64) {
	b.Helper()
	w := dedup.NewWindow(window*second, nil)
	now := fill(w, 1, uint64(window))
	i := uint64(window)
	b.ReportAllocs()
	for b.Loop() {
		i++
		now += second
		id := number(i)
		if _, found := w.Lookup(id, now); !found {
			w.Add(id, int64(i), i, now)
		}
		w.Settled(i-1, now)
	}
	b.ReportMetric(float64(w.Bytes())/float64(w.Len()), "B/id")
}

func BenchmarkHash(b *testing.B) {
	message := []byte("order-0123456789abcdef0123456789")
	for b.Loop() {
		if testKey.ID(message) == (dedup.ID{}) {
			b.Fatal("no id")
		}
	}
}

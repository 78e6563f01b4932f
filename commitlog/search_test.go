package commitlog_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// searched are logs to search in, by name.
func searched(t *testing.T) map[string]*logKit {
	t.Helper()
	whole, begun := variedLog(t, false), variedLog(t, false)
	if _, err := begun.log.SetStart(1500); err != nil {
		t.Fatal(err)
	}
	sparse := newKit(t, eachOwn)
	sparse.put("a=1", "a=2", "b=1", "a", "a=3", "b", "a=4")
	sparse.compact(commitlog.Compaction{}, 1000)
	long := newKit(t, segmentsOf(300_000))
	for i := range 60 {
		long.appendBatch(uint64(i/7+1), int64(i/3)*10, batchOf(numbered(int64(i)*500, 500)...))
	}
	return map[string]*logKit{
		"empty": newKit(t, nil), "of many sizes": whole, "compacted": variedLog(t, true), "with a start": begun,
		"with empty segments": sparse, "with long segments": long,
	}
}

// Searches find what a look at every batch finds.
func TestSearch(t *testing.T) {
	t.Parallel()
	for name, k := range searched(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := batchesOf(t, k.log)
			if first := k.summaries(); len(first) > 0 {
				all = batchesFrom(t, k.log, k.log.ReadFromPosition(first[0].Base))
			}
			for time := int64(-2); time < 250; time++ {
				want := k.log.End().Offset
				for _, s := range all {
					if s.Time >= time {
						want = s.BaseOffset
						break
					}
				}
				if got, err := k.log.OffsetAt(time); err != nil || got != want {
					t.Errorf("OffsetAt(%d) = %d, %v, want %d", time, got, err, want)
				}
			}
			for epoch := uint64(0); epoch < 160; epoch++ {
				want := k.log.End()
				for _, s := range all {
					if s.LeaderEpoch > epoch {
						want = commitlog.Position{Seq: s.Seq, Offset: s.BaseOffset}
						break
					}
				}
				if got, err := k.log.EpochEnd(epoch); err != nil || got != want {
					t.Errorf("EpochEnd(%d) = %v, %v, want %v", epoch, got, err, want)
				}
			}
		})
	}
}

// batchesOf are the headers of all batches from the start of the log on, in order.
func batchesOf(t *testing.T, log *commitlog.Log) []batch.Header {
	t.Helper()
	return batchesFrom(t, log, log.ReadFrom(log.Start()))
}

func batchesFrom(t *testing.T, log *commitlog.Log, r *commitlog.Reader) []batch.Header {
	t.Helper()
	var all []batch.Header
	buf := make([]byte, 1<<20)
	for {
		run, err := r.Read(buf, log.End())
		if err != nil {
			t.Fatal(err)
		}
		if len(run.Bytes) == 0 {
			return all
		}
		all = append(all, headersIn(t, run.Bytes)...)
	}
}

// Reading from an offset begins with the batch that holds it, or the first one behind it.
func TestReadFromEveryOffset(t *testing.T) {
	t.Parallel()
	for name, k := range searched(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := batchesOf(t, k.log)
			step := max(int64(1), (k.log.End().Offset-k.log.Start())/700)
			for offset := k.log.Start(); offset <= k.log.End().Offset; offset += step {
				i := slices.IndexFunc(all, func(h batch.Header) bool {
					return h.NextOffset() > offset || h.NextOffset() == offset && h.Control()
				})
				run, err := k.log.ReadFrom(offset).Read(make([]byte, 64<<10), k.log.End())
				if err != nil {
					t.Fatal(err)
				}
				got := headersIn(t, run.Bytes)
				if i < 0 && len(got) > 0 || i >= 0 && (len(got) == 0 || got[0] != all[i]) {
					t.Fatalf("ReadFrom(%d) begins with %+v, want batch %d", offset, got[:min(len(got), 1)], i)
				}
			}
		})
	}
}

func TestReadBeyondTheEnd(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.fill(2, 10)
	for offset, want := range map[int64]string{-1: "gone", 21: "beyond the end"} {
		err := readError(k.log.ReadFrom(offset), make([]byte, 100), k.log.End())
		if !isRangeError(err, 0) {
			t.Errorf("ReadFrom(%d): %v, want a RangeError: %s", offset, err, want)
		}
	}
	r := k.log.ReadFrom(20)
	if run, err := r.Read(make([]byte, 1000), k.log.End()); err != nil || len(run.Bytes) > 0 {
		t.Fatalf("read %+v, %v at the end", run, err)
	}
	k.fill(1, 10)
	all, err := readOn(r, k.log, 1000)
	if err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, all, 20, 30)
}

// A read ends where it is told to, and says how large a buffer has to be.
func TestReadUntil(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(1000))
	k.fill(20, 10)
	for until := uint64(1); until <= 21; until++ {
		t.Run(fmt.Sprint(until), func(t *testing.T) {
			t.Parallel()
			r, buf := k.log.ReadFrom(0), make([]byte, 50)
			var n int64
			for {
				run, err := r.Read(buf, commitlog.Position{Seq: until})
				if size := tooLarge(err); size > len(buf) {
					buf = make([]byte, size)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(run.Bytes) == 0 {
					break
				}
				n += int64(run.Records)
			}
			if want := int64(until-1) * 10; n != want {
				t.Errorf("%d records before seq %d, want %d", n, until, want)
			}
			if want := len(batchOf(numbered(0, 10)...)); until > 1 && len(buf) != want {
				t.Errorf("the buffer had to be of %d bytes, want %d", len(buf), want)
			}
		})
	}
}

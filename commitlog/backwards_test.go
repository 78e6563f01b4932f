package commitlog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
)

// variedLog has batches of many sizes, control batches and, if it is compacted, holes, in segments of about 20 KiB.
func variedLog(t *testing.T, compacted bool) *logKit {
	t.Helper()
	k := newKit(t, segmentsOf(20_000))
	for i := range 150 {
		if i%9 == 0 {
			k.appendBatch(uint64(i+1), int64(i), epochBatch(uint64(i+1)))
		}
		records := numbered(k.log.End().Offset, i%40+1)
		for j := range records {
			if (i+j)%3 > 0 {
				records[j].Key = fmt.Append(nil, (i*j)%11)
			}
		}
		k.appendBatch(uint64(i+1), int64(i/2), batchOf(records...))
	}
	k.commit()
	if compacted {
		if done := k.compact(commitlog.Compaction{}, 1000); done.Segments < 2 {
			t.Fatalf("compaction says %+v", done)
		}
	}
	return k
}

// readBack reads what lies before the position, newest run first, and puts the runs into the order of the log. A buffer
// that is too small grows to what the error asks for.
func readBack(r *commitlog.BackReader, buffer int) ([]stored, error) {
	var all []stored
	buf := make([]byte, buffer)
	for {
		run, err := r.Read(buf)
		var large *commitlog.TooLargeError
		if errors.As(err, &large) && large.SizeBytes > len(buf) {
			buf = make([]byte, large.SizeBytes)
			continue
		}
		if err != nil || len(run.Bytes) == 0 {
			return all, err
		}
		of, err := storedIn(run)
		if err != nil {
			return all, err
		}
		all = append(of, all...)
	}
}

func TestBackwardsIsForwardsReversed(t *testing.T) {
	t.Parallel()
	for _, compacted := range []bool{false, true} {
		k := variedLog(t, compacted)
		want := k.read()
		for _, buffer := range []int{1, 107, 500, 4 << 10, 16 << 10, 17 << 10, 20_000, 64 << 10, 1 << 20} {
			t.Run(fmt.Sprintf("compacted %v, %d bytes", compacted, buffer), func(t *testing.T) {
				t.Parallel()
				got, err := readBack(k.log.ReadBackFrom(k.log.End()), buffer)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("read (-want +got):\n%s", diff)
				}
			})
		}
		t.Run(fmt.Sprintf("compacted %v, from every place", compacted), func(t *testing.T) {
			t.Parallel()
			for i := len(want); i >= 0; i -= 3 {
				p := k.log.End()
				if i < len(want) {
					p = commitlog.Position{Seq: want[i].Seq, Offset: want[i].Offset}
				}
				run, err := k.log.ReadBackFrom(p).Read(make([]byte, 64<<10))
				if err != nil {
					t.Fatal(err)
				}
				var before int
				for before < len(want) && want[before].Seq < p.Seq {
					before++
				}
				got, err := storedIn(run)
				if len(run.Bytes) == 0 {
					got, err = nil, nil
				}
				if err != nil || len(got) > before || (len(got) == 0) != (before == 0) {
					t.Fatalf("%d records before %v, %v; there are %d", len(got), p, err, before)
				}
				if !slices.Equal(want[before-len(got):before], got) {
					t.Fatalf("before %v: %+v, want %+v", p, got, want[before-len(got):before])
				}
			}
		})
	}
}

func TestBackwardsEndsAtTheOldestBatch(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(500))
	if run, err := k.log.ReadBackFrom(k.log.End()).Read(make([]byte, 1)); err != nil || len(run.Bytes) > 0 {
		t.Errorf("an empty log has %+v, %v", run, err)
	}
	k.fill(20, 10)
	if _, err := k.log.SetStart(95); err != nil {
		t.Fatal(err)
	}
	all, err := readBack(k.log.ReadBackFrom(k.log.End()), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, all, k.read()[0].Offset, 200)
}

package commitlog_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// eachOwn is a kit in which every batch has a segment of its own.
func eachOwn(k *logKit) { k.opts.SegmentBytes, k.marked = 1, true }

// put appends records, one per batch and time unit: "k=v" is a record with a key, "k" a tombstone, "=v" one without a
// key, "-" a control batch. A durable batch without a key follows, so that all before may be compacted.
func (k *logKit) put(records ...string) {
	k.Helper()
	for i, text := range records {
		if text == "-" {
			k.appendBatch(1, int64(i+1), epochBatch(1))
			continue
		}
		k.append(int64(i+1), recordOfText(text))
	}
	k.append(int64(len(records)+1), batch.Record{Value: []byte("last")})
	k.commit()
}

func recordOfText(text string) batch.Record {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return batch.Record{Key: []byte(key), Tombstone: true}
	}
	if key == "" {
		return batch.Record{Value: []byte(value)}
	}
	return keyed(key, value)
}

// compact compacts the log, with memory for all keys of a test unless it is given.
func (k *logKit) compact(c commitlog.Compaction, now int64) commitlog.Compacted {
	k.Helper()
	if c.MemoryBytes == 0 {
		c.MemoryBytes = 1 << 20
	}
	done, err := k.log.Compact(k.Context(), c, now)
	if err != nil {
		k.Fatal(err)
	}
	return done
}

func TestCompact(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		records []string
		options commitlog.Compaction
		now     int64
		want    []string
	}{
		{"the newest of each key", []string{"a=1", "b=1", "a=2", "c=1", "b=2"}, commitlog.Compaction{}, 100, []string{"a=2", "c=1", "b=2"}},
		{"without a key all stay", []string{"=1", "=1", "=2", "a=1", "=1", "a=1"}, commitlog.Compaction{}, 100, []string{"=1", "=1", "=2", "=1", "a=1"}},
		{"control batches stay", []string{"-", "a=1", "-", "a=2", "-"}, commitlog.Compaction{}, 100, []string{"-", "-", "a=2", "-"}},
		{"an empty value is a value", []string{"a=1", "a="}, commitlog.Compaction{}, 100, []string{"a="}},
		{"a tombstone that is old enough", []string{"a=1", "a", "b=1"}, commitlog.Compaction{TombstoneDelay: 8}, 10, []string{"b=1"}},
		{"a tombstone that is too young", []string{"a=1", "a", "b=1"}, commitlog.Compaction{TombstoneDelay: 9}, 10, []string{"a", "b=1"}},
		{"a tombstone whose delay begins after the lag", []string{"a=1", "a", "b=1"}, commitlog.Compaction{TombstoneDelay: 5, MinLag: 4}, 10, []string{"a", "b=1"}},
		{"a key that is written again", []string{"a=1", "a", "a=2"}, commitlog.Compaction{}, 100, []string{"a=2"}},
		{"what is younger than the lag stays", []string{"a=1", "a=2", "a=3", "a=4"}, commitlog.Compaction{MinLag: 8}, 10, []string{"a=2", "a=3", "a=4"}},
		{"everything is younger than the lag", []string{"a=1", "a=2", "a=3"}, commitlog.Compaction{MinLag: 100}, 10, []string{"a=1", "a=2", "a=3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, eachOwn)
			k.put(test.records...)
			end := k.log.End()
			before := map[int64]stored{}
			for _, s := range k.read() {
				before[s.Offset] = s
			}
			done := k.compact(test.options, test.now)
			want := append(test.want, "=last")
			for range 2 {
				all := k.read()
				if diff := cmp.Diff(want, keysAndValues(all)); diff != "" {
					t.Errorf("what is left (-want +got):\n%s", diff)
				}
				for _, s := range all {
					if diff := cmp.Diff(before[s.Offset], s); !s.Control && diff != "" {
						t.Errorf("record %d (-want +got):\n%s", s.Offset, diff)
					}
				}
				if k.log.End() != end {
					t.Errorf("the log ends at %v, want %v", k.log.End(), end)
				}
				k.noFaults()
				k.reopen()
			}
			if removed := len(test.records) + 1 - len(want); done.Records != int64(removed) || done.More {
				t.Errorf("compaction says %+v, want %d records", done, removed)
			}
		})
	}
}

func TestCompactWaitsUntilItIsWorthTheWork(t *testing.T) {
	t.Parallel()
	k := newKit(t, eachOwn)
	k.put("a=1", "b=1", "c=1", "d=1", "e=1", "f=1") // and one more
	k.compact(commitlog.Compaction{}, 100)
	k.put("a=2", "b=2")
	segments := len(k.names(".seg"))
	if done := k.compact(commitlog.Compaction{MinDirtyRatio: 0.5}, 100); done.Segments != 0 {
		t.Errorf("compaction says %+v: 3 segments of 9 are dirty", done)
	}
	if done := k.compact(commitlog.Compaction{MinDirtyRatio: 0.3}, 100); done.Segments != 2 || done.Records != 2 {
		t.Errorf("compaction says %+v, want 2 segments", done)
	}
	if done := k.compact(commitlog.Compaction{}, 100); done != (commitlog.Compacted{}) {
		t.Errorf("compaction says %+v, all is compacted", done)
	}
	k.reopen()
	if done := k.compact(commitlog.Compaction{}, 100); done != (commitlog.Compacted{}) {
		t.Errorf("compaction says %+v after opening again", done)
	}
	if got := len(k.names(".seg")); got != segments {
		t.Errorf("%d segments, want %d: compaction removes none", got, segments)
	}
}

// With memory for few keys a log is compacted call by call, also where one segment, or one batch, has more keys than that.
func TestCompactInLittleMemory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		segmentBytes int64
		perBatch     int
	}{
		{"a batch per segment", 1, 3},
		{"more keys in a segment than in memory", 8 << 10, 3},
		{"more keys in a batch than in memory", 8 << 10, 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(test.segmentBytes))
			rng := rand.New(rand.NewPCG(1, 2))
			newest := map[string]string{}
			for range 600 / test.perBatch {
				records := make([]batch.Record, test.perBatch)
				for j := range records {
					key, value := fmt.Sprint("key", rng.IntN(150)), fmt.Sprint(rng.Uint32())
					records[j], newest[key] = keyed(key, value), value
					if rng.IntN(5) == 0 {
						records[j] = batch.Record{Key: []byte(key), Tombstone: true}
						delete(newest, key)
					}
				}
				k.append(1, records...)
			}
			for range 40 { // at least one segment more
				k.append(1, numbered(0, 10)...)
			}
			k.commit()
			calls := 1
			for k.compact(commitlog.Compaction{MemoryBytes: 800}, 100).More {
				if calls++; calls > 600 {
					t.Fatal("it never ends")
				}
			}
			left := map[string]string{}
			for _, s := range k.read() {
				if _, twice := left[s.Key]; s.Key != "" && (twice || s.Tombstone) {
					t.Errorf("%+v is left", s)
				}
				if s.Key != "" {
					left[s.Key] = s.Value
				}
			}
			if diff := cmp.Diff(newest, left); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
			if calls < 3 {
				t.Errorf("%d calls: memory was not bounded", calls)
			}
			k.noFaults()
		})
	}
}

// Without a bound of its own, the memory takes far more keys than the smallest map.
func TestCompactInDefaultMemory(t *testing.T) {
	t.Parallel()
	k := newKit(t, withMarks(4000))
	var records []string
	for i := range 100 {
		records = append(records, fmt.Sprintf("k%d=x", i%50))
	}
	k.put(records...)
	for range 40 { // at least one segment more
		k.append(200, numbered(0, 10)...)
	}
	k.commit()
	done, err := k.log.Compact(t.Context(), commitlog.Compaction{}, 300)
	if err != nil || done.More || done.Records != 50 {
		t.Errorf("compaction says %+v, %v, want 50 records removed and no more to do", done, err)
	}
}

// A tombstone that the memory had no room for stays: what it deletes is still there.
func TestTombstoneOutlivesWhatItDeletes(t *testing.T) {
	t.Parallel()
	k := newKit(t, withMarks(4000))
	var records []string
	for i := range 12 { // as many as the smallest map takes
		records = append(records, fmt.Sprintf("k%d=x", i))
	}
	k.put(append(records, "new=1", "k0")...)
	for range 40 {
		k.append(20, numbered(0, 10)...)
	}
	k.commit()
	if len(k.names(".seg")) < 2 {
		t.Fatal("one segment is not enough")
	}
	if done := k.compact(commitlog.Compaction{MemoryBytes: 384}, 100); !done.More {
		t.Fatalf("compaction says %+v, want more", done)
	}
	state := map[string]bool{}
	for _, s := range k.read() {
		state[s.Key] = !s.Tombstone
	}
	if state["k0"] {
		t.Error("a deleted key is back")
	}
}

func TestCompactedFileSaysWhatItIs(t *testing.T) {
	t.Parallel()
	k := newKit(t, withMarks(700))
	for i := range 30 {
		k.append(int64(i), keyed("same", fmt.Sprint(i)), keyed(fmt.Sprint(i), "own"))
	}
	k.append(30, keyed("same", "30"))
	k.commit()
	before := k.summaries()
	k.compact(commitlog.Compaction{}, 100)
	names := k.names(".seg")
	if len(names) != len(before) {
		t.Fatalf("%d segments, want %d", len(names), len(before))
	}
	for i, name := range names[:len(names)-1] {
		want := strings.Replace(path.Base(before[i].File), "-000000.", "-000001.", 1)
		if name != want {
			t.Errorf("segment %d is %s, want %s", i, name, want)
		}
		checkFooter(t, k, name, before[i].End)
		old := before[i+1].Base
		if got := k.summaries()[i]; got.End != old || got.LastTime > before[i].LastTime || got.Generation != 1 {
			t.Errorf("%s is %+v", name, got)
		}
	}
	if k.names(".seg")[len(names)-1] != path.Base(before[len(before)-1].File) {
		t.Error("the active segment has another name")
	}
	// The chain across files holds as it did.
	for i, name := range names[:len(names)-1] {
		last := decodeSegment(t, k.bytes(name)).GetFooter().GetLastCrc()
		next := decodeSegment(t, k.bytes(names[i+1])).GetBatches()[0]
		if i == len(names)-2 && next.GetPreviousCrc() != last {
			t.Errorf("the batch behind %s names %08x, the footer says %08x", name, next.GetPreviousCrc(), last)
		}
	}
}

func TestReaderGoesOnWhenItsSegmentIsSwapped(t *testing.T) {
	t.Parallel()
	for read := range 6 {
		for _, from := range []int64{0, 7} {
			t.Run(fmt.Sprintf("from %d after %d reads", from, read), func(t *testing.T) {
				t.Parallel()
				k := newKit(t, segmentsOf(2000))
				for i := range 60 {
					k.append(int64(i), keyed(fmt.Sprint(i%7), fmt.Sprint(i)), batch.Record{Value: fmt.Append(nil, i)})
				}
				k.commit()
				r := k.log.ReadFrom(from)
				var seen []stored
				for range read {
					run, err := r.Read(make([]byte, 500), k.log.End())
					if err != nil {
						t.Fatal(err)
					}
					of, err := storedIn(run)
					if err != nil {
						t.Fatal(err)
					}
					seen = append(seen, of...)
				}
				if done := k.compact(commitlog.Compaction{}, 100); done.Segments < 3 {
					t.Fatalf("compaction says %+v", done)
				}
				rest, err := readOn(r, k.log, 500)
				if err != nil {
					t.Fatal(err)
				}
				wantGoneOn(t, k, from, seen, rest)
			})
		}
	}
}

// wantGoneOn fails the test unless what a reader has seen before the log was compacted, and the rest that it read
// afterwards, are all that there is from the batch that holds the offset on, once.
func wantGoneOn(t *testing.T, k *logKit, from int64, seen, rest []stored) {
	t.Helper()
	next := from - from%2
	if len(seen) > 0 {
		if seen[0].Offset != next {
			t.Errorf("the first record is %d, want %d", seen[0].Offset, next)
		}
		next = seen[len(seen)-1].Offset + 1
	}
	var want []stored
	for _, s := range k.read() {
		if s.Offset >= next {
			want = append(want, s)
		}
	}
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("what is read after the swap (-want +got):\n%s", diff)
	}
}

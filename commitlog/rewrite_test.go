package commitlog_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

func TestCrashDuringCompaction(t *testing.T) {
	t.Parallel()
	prepare := func(t *testing.T) *logKit {
		k := newKit(t, withMarks(600))
		for i := range 20 {
			k.append(int64(i), keyed(fmt.Sprint(i%5), fmt.Sprint(i)), batch.Record{Value: fmt.Append(nil, i)})
		}
		k.commit()
		return k
	}
	ops := 0
	k := prepare(t)
	k.mem.OnOp(func(vfs.Op) error { ops++; return nil })
	k.compact(commitlog.Compaction{}, 100)
	want := map[string]string{"0": "15", "1": "16", "2": "17", "3": "18", "4": "19"}
	for n := range ops {
		k := prepare(t)
		left := n
		k.mem.OnOp(func(vfs.Op) error {
			if left--; left < 0 {
				k.mem.Crash(vfs.KeepNone)
			}
			return nil
		})
		crashed := k.mem
		if _, err := k.log.Compact(t.Context(), commitlog.Compaction{}, 100); err == nil {
			t.Fatalf("operation %d of %d: no crash", n, ops)
		}
		k.mem = crashed.CrashClone(vfs.KeepRandom)
		k.fs = k.mem
		k.open()
		newest, plain := map[string]string{}, 0
		for _, s := range k.read() {
			newest[s.Key] = s.Value
			if s.Key == "" {
				plain++
			}
		}
		delete(newest, "")
		if diff := cmp.Diff(want, newest); diff != "" || plain != 20 || k.log.End().Offset != 40 {
			t.Fatalf("operation %d: %d records without a key, end %v (-want +got):\n%s", n, plain, k.log.End(), diff)
		}
		if tmp := k.names(".tmp"); len(tmp) > 0 {
			t.Errorf("operation %d: left over %v", n, tmp)
		}
		k.noFaults()
		k.compact(commitlog.Compaction{}, 100)
	}
}

// A segment that nothing durable follows is the last one after a crash. It is not compacted, for it would be read anew.
func TestLastDurableSegmentIsNotCompacted(t *testing.T) {
	t.Parallel()
	for _, marked := range []bool{false, true} {
		t.Run(fmt.Sprint("marks ", marked), func(t *testing.T) {
			t.Parallel()
			k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.marked = 600, marked })
			for len(k.names(".seg")) < 3 {
				k.append(1, keyed("a", "x"), batch.Record{Value: []byte("plain")})
			}
			k.log.Commit(k.log.End()) // as replicas may, before this one has synced
			k.compact(commitlog.Compaction{}, 100)
			want := k.log.Durable()
			k.crash(vfs.KeepNone)
			k.open()
			if k.log.End() != want {
				t.Fatalf("the log ends at %v, want %v", k.log.End(), want)
			}
			k.noFaults()
		})
	}
}

// The last segment is one that was rewritten, because the file behind it was taken away.
func TestRewrittenSegmentIsTheLast(t *testing.T) {
	t.Parallel()
	for _, marked := range []bool{false, true} {
		t.Run(fmt.Sprint("marks ", marked), func(t *testing.T) {
			t.Parallel()
			k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.marked = 600, marked })
			for i := range 20 {
				k.append(int64(i), keyed("a", fmt.Sprint(i)), batch.Record{Value: fmt.Append(nil, i)})
			}
			k.commit()
			k.compact(commitlog.Compaction{}, 100)
			segments := k.summaries()
			last := segments[len(segments)-1]
			want := k.read()
			for want[len(want)-1].Seq >= last.Base.Seq {
				want = want[:len(want)-1]
			}
			k.close()
			if err := k.fs.Remove(last.File); err != nil {
				t.Fatal(err)
			}
			k.open()
			left, _ := readPastDamage(t, k) // readers learn of a loss that a mark knows of
			if diff := cmp.Diff(want, left); diff != "" || len(k.report.Cut)+len(k.report.Damaged) > 0 {
				t.Errorf("report %+v, read (-want +got):\n%s", k.report, diff)
			}
			if got := k.log.End(); !marked && got != last.Base || marked && (k.report.Lost == nil || got.Seq != 21) {
				t.Errorf("the log ends at %v, lost %v", got, k.report.Lost)
			}
			appended := k.append(50, keyed("b", "x"))
			k.commit()
			k.reopen()
			if got, _ := readPastDamage(t, k); got[len(got)-1].Offset != appended.First.Offset {
				t.Errorf("the last record is %+v, want %v", got[len(got)-1], appended.First)
			}
		})
	}
}

// A rewritten segment has the name of the one behind it, and its header, which would tell, is damaged: its footer ends the
// log where the segment begins, and the next segment would get the same place.
func TestRewrittenSegmentUnderAnotherName(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(600))
	for i := range 20 {
		k.append(int64(i), keyed("a", fmt.Sprint(i)), batch.Record{Value: fmt.Append(nil, i)})
	}
	k.commit()
	k.compact(commitlog.Compaction{}, 100)
	names := k.names(".seg")
	content := k.bytes(names[0])
	k.close()
	for i, name := range names {
		if i != 1 {
			if err := k.fs.Remove(path.Join(k.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	setFile(t, k.fs, path.Join(k.dir, names[1]), flipAt(48)(content))
	k.open()
	if len(k.report.Cut) != 1 || len(k.report.Mended) != 1 {
		t.Errorf("report %+v, want one header mended and one file cut", k.report)
	}
	appended := k.append(50, keyed("b", "x"))
	k.commit()
	k.reopen()
	if all := k.read(); len(all) != 1 || all[0].Offset != appended.First.Offset || all[0].Key != "b" {
		t.Errorf("read %+v, appended was %v", all, appended.First)
	}
	k.noFaults()
}

// Truncating to the end of a rewritten segment leaves it sealed, and the end where it was.
func TestTruncateBehindRewrittenSegment(t *testing.T) {
	t.Parallel()
	k := newKit(t, eachOwn)
	k.put("a=1", "b=1", "a")
	end := k.log.End()
	k.compact(commitlog.Compaction{}, 100) // the tombstone before the last batch goes, too
	if diff := cmp.Diff([]string{"b=1", "=last"}, keysAndValues(k.read())); diff != "" {
		t.Fatal(diff)
	}
	want := commitlog.Position{Seq: end.Seq - 1, Offset: end.Offset - 1}
	if got, err := k.log.TruncateUnclean(want.Seq); err != nil || got != want {
		t.Fatalf("truncated to %v, %v, want %v", got, err, want)
	}
	k.append(50, keyed("b", "2"))
	k.commit()
	k.crash(vfs.KeepNone)
	k.open()
	if diff := cmp.Diff([]string{"b=1", "b=2"}, keysAndValues(k.read())); diff != "" {
		t.Error(diff)
	}
	k.noFaults()
}

// An unclean truncation may end within a rewritten segment, which is appended to from then on.
func TestTruncateWithinRewrittenSegment(t *testing.T) {
	t.Parallel()
	for seq := uint64(2); seq < 20; seq++ {
		for _, marked := range []bool{false, true} {
			t.Run(fmt.Sprintf("seq %d, marks %v", seq, marked), func(t *testing.T) {
				t.Parallel()
				k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.marked = 1300, marked })
				for i := range 30 {
					k.append(int64(i), keyed(fmt.Sprint(i%3), fmt.Sprint(i)))
				}
				k.append(30, numbered(30, 50)...)
				k.commit()
				k.compact(commitlog.Compaction{}, 100)
				var want []stored
				for _, s := range k.read() {
					if s.Seq < seq {
						want = append(want, s)
					}
				}
				end, err := k.log.TruncateUnclean(seq)
				if err != nil || end.Seq > seq {
					t.Fatalf("truncated to %v, %v", end, err)
				}
				want = append(want, stored{Seq: end.Seq, Offset: end.Offset, Time: 99, Epoch: 1, Key: "new", Value: "1"})
				k.append(99, keyed("new", "1"))
				k.commit()
				k.crash(vfs.KeepNone)
				k.open()
				if diff := cmp.Diff(want, k.read()); diff != "" || len(k.report.Cut)+len(k.report.Damaged) > 0 {
					t.Errorf("report %+v, read (-want +got):\n%s", k.report, diff)
				}
			})
		}
	}
}

func TestCompactPackedBatches(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.opts.Codec, k.opts.Compress = 3000, zstdCodec{}, true })
	text := strings.Repeat("much the same ", 30)
	for i := range 40 {
		k.append(int64(i), keyed(fmt.Sprint(i%4), text+fmt.Sprint(i)), keyed("only"+fmt.Sprint(i), text))
	}
	k.commit()
	done := k.compact(commitlog.Compaction{}, 100)
	if done.Segments == 0 || done.Records == 0 {
		t.Fatalf("compaction says %+v", done)
	}
	k.noFaults()
	all := k.read()
	if len(all) != 80-int(done.Records) {
		t.Errorf("%d records are left after %d went", len(all), done.Records)
	}
	newest := map[string]string{}
	for _, s := range all {
		newest[s.Key] = s.Value
	}
	for i := range 40 {
		if newest["only"+fmt.Sprint(i)] != text || i >= 36 && newest[fmt.Sprint(i%4)] != text+fmt.Sprint(i) {
			t.Errorf("record %d is lost or wrong", i)
		}
	}
	packed := 0
	for _, name := range k.names(".seg") {
		for _, b := range decodeSegment(t, k.bytes(name)).GetBatches() {
			if batch.Attributes(b.GetAttributes())&batch.CodecMask == batch.Zstd {
				packed++
			}
		}
	}
	if packed < 30 {
		t.Errorf("%d of 40 batches are packed", packed)
	}
}

// A log without the codec keeps packed batches: it cannot look into them.
func TestCompactWithoutCodec(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.opts.Codec, k.opts.Compress = 600, zstdCodec{}, true })
	for range 5 {
		k.append(1, keyed("a", strings.Repeat("x", 400)))
	}
	k.commit()
	k.opts.Codec, k.opts.Compress = nil, false
	k.opts.SegmentBytes = 1
	k.reopen()
	k.append(1, numbered(5, 1)...)
	k.commit()
	if _, err := k.log.Compact(t.Context(), commitlog.Compaction{}, 100); !errors.Is(err, commitlog.ErrNoCodec) {
		t.Errorf("error is %v, want ErrNoCodec", err)
	}
	if got := len(k.read()); got != 6 {
		t.Errorf("%d records are left, want 6", got)
	}
}

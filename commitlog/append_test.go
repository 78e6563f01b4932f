package commitlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

func TestSegmentIsSealedWhenItIsDue(t *testing.T) {
	t.Parallel()
	size := int64(len(batchOf(numbered(0, 1)...)))
	for _, test := range []struct {
		name  string
		bytes int64
		age   time.Duration
		times []int64
		bases []uint64 // of the segments
	}{
		{"by size, exactly full", 75 + 2*size, 0, []int64{1, 1, 1, 1, 1}, []uint64{1, 3, 5}},
		{"by size, a byte short", 75 + 2*size - 1, 0, []int64{1, 1, 1}, []uint64{1, 2, 3}},
		{"a batch larger than a segment", 1, 0, []int64{1, 1, 1}, []uint64{1, 2, 3}},
		{"by age", 0, 10, []int64{1, 10, 11, 20, 21}, []uint64{1, 3, 5}},
		{"not by an age that goes back", 0, 10, []int64{100, 1, 2, 109}, []uint64{1}},
		{"not while it is empty", 0, 10, []int64{1}, []uint64{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, func(k *logKit) { k.opts.SegmentBytes, k.opts.SegmentAge = test.bytes, test.age })
			for i, now := range test.times {
				k.append(now, numbered(int64(i), 1)...)
			}
			var bases []uint64
			for i, s := range k.summaries() {
				bases = append(bases, s.Base.Seq)
				if last := i == len(test.bases)-1; s.Sealed == last {
					t.Errorf("segment %d: sealed is %v", i, s.Sealed)
				}
			}
			if diff := cmp.Diff(test.bases, bases); diff != "" {
				t.Errorf("bases of the segments (-want +got):\n%s", diff)
			}
			k.noFaults()
			wantNumbers(t, k.read(), 0, int64(len(test.times)))
		})
	}
}

func TestSealedFooterSaysWhatItCloses(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(k *logKit) { k.opts.SegmentAge = 10 })
	k.appendBatch(3, 1, epochBatch(3))
	k.appendBatch(3, 2, batchOf(numbered(0, 3)...))
	k.appendBatch(4, 5, epochBatch(4))
	k.appendBatch(4, 12, batchOf(numbered(3, 1)...))
	name := k.names(".seg")[0]
	checkFooter(t, k, name, commitlog.Position{Seq: 4, Offset: 3})
	footer := decodeSegment(t, k.bytes(name)).GetFooter()
	if footer.GetLastTime() != 5 || footer.GetLastEpoch() != 4 || footer.GetRecords() != 3 {
		t.Errorf("footer is %v, want time 5, epoch 4 and 3 records", footer)
	}
}

// checkFooter holds the footer of a sealed segment against its batches, as protobuf reads them.
func checkFooter(t *testing.T, k *logKit, name string, end commitlog.Position) {
	t.Helper()
	content := k.bytes(name)
	message := decodeSegment(t, content)
	footer := message.GetFooter()
	if footer == nil {
		t.Fatalf("%s has no footer", name)
	}
	var digest uint32
	var records uint64
	for _, b := range message.GetBatches() {
		crc := b.GetHeaderCrc()
		digest = batch.UpdateChecksum(digest, []byte{byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24)})
		records += uint64(b.GetRecordCount())
	}
	if footer.GetDigest() != digest || footer.GetRecords() != records || footer.GetBytes() != uint64(len(content)-74) {
		t.Errorf("%s: footer is %v, want digest %08x of %d records", name, footer, digest, records)
	}
	if footer.GetLastSeq()+1 != end.Seq || footer.GetNextOffset() != end.Offset {
		t.Errorf("%s: footer is %v, want the end %v", name, footer, end)
	}
}

func TestEveryBatchTakesOneSeq(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	appended, err := k.log.Append(2, 7, epochBatch(2), batchOf(numbered(0, 3)...), epochBatch(2), batchOf(numbered(3, 1)...))
	if err != nil {
		t.Fatal(err)
	}
	want := commitlog.Appended{First: commitlog.Origin, End: commitlog.Position{Seq: 5, Offset: 4}, Time: 7}
	if diff := cmp.Diff(want, appended); diff != "" {
		t.Errorf("appended (-want +got):\n%s", diff)
	}
	at := func(seq uint64, offset int64, value string) stored {
		return stored{Seq: seq, Offset: offset, Time: 7, Epoch: 2, Value: value, Control: value == ""}
	}
	all := []stored{
		at(1, 0, ""), at(2, 0, "00000000"), at(2, 1, "00000001"), at(2, 2, "00000002"), at(3, 3, ""), at(4, 3, "00000003"),
	}
	if diff := cmp.Diff(all, k.read()); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	whole := batchOf(numbered(0, 1)...)
	for _, test := range []struct {
		name    string
		epoch   uint64
		batches [][]byte
	}{
		{"an epoch that is over", 4, [][]byte{whole}},
		{"nothing", 5, nil},
		{"an empty batch", 5, [][]byte{{}}},
		{"a batch cut short", 5, [][]byte{whole[:len(whole)-1]}},
		{"a batch with something behind it", 5, [][]byte{append(batchOf(numbered(0, 1)...), 0)}},
		{"a header without a body", 5, [][]byte{whole[:50]}},
		{"bytes that are no batch", 5, [][]byte{make([]byte, 200)}},
		{"a whole batch and one that is not", 5, [][]byte{batchOf(numbered(0, 1)...), make([]byte, 200)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, nil)
			k.appendBatch(5, 1, epochBatch(5))
			end, size := k.log.End(), k.log.SizeBytes()
			if appended, err := k.log.Append(test.epoch, 2, test.batches...); err == nil {
				t.Fatalf("appended %+v, want an error", appended)
			}
			if k.log.End() != end || k.log.SizeBytes() != size {
				t.Errorf("the log ends at %v with %d bytes, want %v with %d", k.log.End(), k.log.SizeBytes(), end, size)
			}
			k.appendBatch(5, 3, batchOf(numbered(0, 1)...))
			k.reopen()
			if got := k.read(); len(got) != 2 || got[1].Value != "00000000" {
				t.Errorf("read %+v, want the control batch and one record", got)
			}
		})
	}
}

func TestAppendTimeNeverGoesBack(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(400))
	want := []int64{10, 10, 11, 11, 11, 50}
	for i, now := range []int64{10, 3, 11, -7, 0, 50} {
		if i == 4 {
			k.reopen()
		}
		if got := k.append(now, numbered(int64(i), 1)...).Time; got != want[i] {
			t.Errorf("batch %d appended at %d has time %d, want %d", i, now, got, want[i])
		}
	}
}

func TestFullDiskUndoesTheAppend(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		segmentBytes int64
	}{
		{"in the middle of a segment", 1 << 20},
		{"where a segment is sealed", 5000},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(test.segmentBytes))
			k.mem.SetCapacity(64 << 10)
			end, refused := commitlog.Position{}, 0
			for refused == 0 {
				end = k.log.End()
				_, err := k.log.Append(1, 1, batchOf(numbered(end.Offset, 100)...))
				if err != nil && !errors.Is(err, commitlog.ErrFull) {
					t.Fatalf("error is %v, want ErrFull", err)
				}
				if err != nil {
					refused++
				}
			}
			if k.log.End() != end {
				t.Fatalf("the log ends at %v, want %v", k.log.End(), end)
			}
			wantNumbers(t, k.read(), 0, end.Offset)
			k.mem.SetCapacity(0)
			k.fill(3, 100)
			k.crash(vfs.KeepNone)
			k.open()
			wantNumbers(t, k.read(), 0, end.Offset+300)
			k.noFaults()
		})
	}
}

func TestReadOnlyLogIsReadAndShrinks(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(500))
	k.fill(10, 10)
	k.log.SetReadOnly(true)
	if _, err := k.log.Append(1, 99, batchOf(numbered(0, 1)...)); !errors.Is(err, commitlog.ErrReadOnly) {
		t.Fatalf("error is %v, want ErrReadOnly", err)
	}
	if start, err := k.log.SetStart(55); err != nil || start != 55 {
		t.Fatalf("start is %d, %v, want 55", start, err)
	}
	if _, err := k.log.Sync(); err != nil {
		t.Fatal(err)
	}
	k.log.SetReadOnly(false)
	k.fill(1, 10)
	wantNumbers(t, k.read(), 50, 110)
}

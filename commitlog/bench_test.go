package commitlog_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// largeBatch is a batch of about 256 KiB of records of 128 bytes.
func largeBatch() []byte {
	records := make([]batch.Record, 2000)
	for i := range records {
		records[i] = batch.Record{Key: fmt.Appendf(nil, "key-%08d", i), Value: make([]byte, 112)}
	}
	return batchOf(records...)
}

func smallBatch() []byte { return batchOf(batch.Record{Value: make([]byte, 124)}) }

// discard keeps a benchmark's log small: what is committed goes. It appends nothing and is not measured.
func discard(b *testing.B, log *commitlog.Log) {
	b.Helper()
	if log.SizeBytes() < 512<<20 {
		return
	}
	b.StopTimer()
	end, err := log.Sync()
	if err != nil {
		b.Fatal(err)
	}
	log.Commit(end)
	if _, err := log.Purge(end.Offset, 1); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name   string
		bytes  []byte
		synced bool
	}{
		{"256KiB", largeBatch(), false},
		{"1record", smallBatch(), false},
		{"256KiB-sync", largeBatch(), true},
		{"1record-sync", smallBatch(), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			k := newKit(b, onDisk)
			h, err := batch.Parse(c.bytes)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(c.bytes)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.log.Append(1, 1, c.bytes); err != nil {
					b.Fatal(err)
				}
				if c.synced {
					if _, err := k.log.Sync(); err != nil {
						b.Fatal(err)
					}
				}
				discard(b, k.log)
			}
			b.ReportMetric(float64(h.RecordCount)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			k.close()
		})
	}
}

// filled is a kit with that many bytes of large batches.
func filled(b *testing.B, change func(*logKit), bytes int64) *logKit {
	b.Helper()
	k := newKit(b, change)
	for large := largeBatch(); k.log.SizeBytes() < bytes; {
		k.appendBatch(1, 1, large)
	}
	k.commit()
	return k
}

func BenchmarkRead(b *testing.B) {
	k := filled(b, onDisk, 64<<20)
	buf := make([]byte, 1<<20)
	r := k.log.ReadFrom(0)
	records, bytes := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		run, err := r.Read(buf, k.log.End())
		if err != nil {
			b.Fatal(err)
		}
		if len(run.Bytes) == 0 {
			r = k.log.ReadFrom(0)
			continue
		}
		records, bytes = records+run.Records, bytes+len(run.Bytes)
	}
	b.SetBytes(int64(bytes / b.N))
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
	k.close()
}

func BenchmarkDecodeRecords(b *testing.B) {
	content := largeBatch()
	h, err := batch.Parse(content)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	var r batch.Record
	for b.Loop() {
		list, err := h.RecordsOf(content)
		for ok := true; ok && err == nil; {
			_, ok, err = list.Next(&r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(h.RecordCount)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkRecover opens a log whose last segment has 64 MiB and no mark: all of it is read.
func BenchmarkRecover(b *testing.B) {
	k := filled(b, onDisk, 64<<20)
	b.SetBytes(k.log.SizeBytes())
	b.ReportAllocs()
	for b.Loop() {
		k.close()
		k.open()
	}
	k.close()
}

// BenchmarkCompact compacts a million records of 100,000 keys.
func BenchmarkCompact(b *testing.B) {
	const records, keys, perBatch = 1_000_000, 100_000, 1000
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		k := newKit(b, segmentsOf(16<<20))
		list := make([]batch.Record, perBatch)
		for i := range records / perBatch {
			for j := range list {
				list[j] = batch.Record{Key: fmt.Appendf(nil, "key-%08d", (i*perBatch+j)*7919%keys), Value: make([]byte, 100)}
			}
			k.append(1, list...)
		}
		k.commit()
		b.SetBytes(k.log.SizeBytes())
		b.StartTimer()
		if done := k.compact(commitlog.Compaction{MemoryBytes: commitlog.DefaultCompactionMemory}, 100); done.Records < records/2 {
			b.Fatalf("compaction says %+v", done)
		}
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// Ten million keys need a bounded, known amount of memory. It must be asked for: the default is for three million.
func TestKeyMapMemory(t *testing.T) {
	if used := fillKeyMap(t, 1_000_000, 64<<20); used > 64<<20 {
		t.Errorf("a million keys take %d bytes, 64 MiB were allowed", used)
	}
}

func BenchmarkKeyMapOfTenMillion(b *testing.B) {
	const keys = 10_000_000
	for b.Loop() {
		b.ReportMetric(float64(fillKeyMap(b, keys, 512<<20))/keys, "B/key")
	}
}

// fillKeyMap fills a map with keys, looks some of them up, and returns the bytes that it takes.
func fillKeyMap(t testing.TB, keys, allowedBytes int64) int64 {
	t.Helper()
	before := heapBytes()
	m := commitlog.NewKeyMap(allowedBytes)
	key := make([]byte, 0, 20)
	for i := range keys {
		if key = fmt.Appendf(key[:0], "key-%d", i); !m.Put(key, i) {
			t.Fatalf("key %d has no room", i)
		}
	}
	used := heapBytes() - before
	for i := int64(0); i < keys; i += 9973 {
		key = fmt.Appendf(key[:0], "key-%d", i)
		if m.Superseded(key, i) || !m.Superseded(key, i-1) {
			t.Fatalf("key %d is not known as it was put", i)
		}
	}
	return used
}

// Neither appending nor reading allocates for each record, and hardly for each call.
func TestAllocations(t *testing.T) {
	content := largeBatch()
	k := newKit(t, nil)
	k.fs, k.dir = vfs.OS(), t.TempDir()
	k.open()
	appends := testing.AllocsPerRun(100, func() {
		if _, err := k.log.Append(1, 1, content); err != nil {
			t.Fatal(err)
		}
	})
	two, three := slices.Clone(content), slices.Clone(content) // batches are stamped in place
	several := testing.AllocsPerRun(100, func() {
		if _, err := k.log.Append(1, 1, content, two, three); err != nil {
			t.Fatal(err)
		}
	})
	r, buf, end := k.log.ReadFrom(0), make([]byte, 1<<20), k.log.End()
	records := 0
	reads := testing.AllocsPerRun(50, func() {
		run, err := r.Read(buf, end)
		if err != nil {
			t.Fatal(err)
		}
		records += run.Records
	})
	t.Logf("allocations: %v in an append of 2,000 records, %v in one of 6,000, %v in a read of %d", appends, several, reads, records/51)
	for name, got := range map[string]float64{"an append": appends, "an append of three batches": several, "a read": reads} {
		if got > 3+raceAllocations {
			t.Errorf("%s allocates %v times", name, got)
		}
	}
	if records < 51*6000 {
		t.Errorf("%d records in 51 reads", records)
	}
	k.close()
}

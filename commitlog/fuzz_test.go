package commitlog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// reseal makes the CRC at the end of an element right, which lets more of them through.
func reseal(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= 4 {
		binary.LittleEndian.PutUint32(b[len(b)-4:], batch.Checksum(b[:len(b)-4]))
	}
	return b
}

func fuzzSegment(f *testing.F) []byte {
	f.Helper()
	k := newKit(f, segmentsOf(1))
	k.fill(2, 3)
	return k.bytes(k.names(".seg")[0])
}

// FuzzSegmentHeader parses headers as they are and with their CRC made right. What is read is what would be written.
func FuzzSegmentHeader(f *testing.F) {
	f.Add(fuzzSegment(f)[:75])
	f.Add([]byte{0x12})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, reseal(b)} {
			again, size, err := commitlog.ParseAgain(b)
			if err != nil {
				continue
			}
			if size < 75 || size > len(b) {
				t.Fatalf("a header of %d bytes in %d", size, len(b))
			}
			for i, want := range again[11:71] {
				if at := i + 11; isHeaderValue(at) && b[at] != want {
					t.Fatalf("byte %d is %02x, read as %02x", at, b[at], want)
				}
			}
		}
	})
}

// isHeaderValue says whether a byte of a segment header is part of a value, not a tag or the length of the UUID.
func isHeaderValue(at int) bool {
	return !slices.Contains([]int{15, 16, 33, 38, 47, 56, 65, 70}, at)
}

// FuzzSegmentFooter is FuzzSegmentHeader for footers.
func FuzzSegmentFooter(f *testing.F) {
	segment := fuzzSegment(f)
	f.Add(segment[len(segment)-74:])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, reseal(b)} {
			again, err := commitlog.ParseFooterAgain(b)
			if err != nil {
				continue
			}
			for i, want := range again[6:69] {
				if at := i + 6; !slices.Contains([]int{14, 23, 32, 41, 50, 59, 64, 69}, at) && b[at] != want {
					t.Fatalf("byte %d is %02x, read as %02x", at, b[at], want)
				}
			}
		}
	})
}

// FuzzSegmentName reads names of files. A name that is understood is the only one of its segment.
func FuzzSegmentName(f *testing.F) {
	f.Add("00000000000000000001-00000000000000000000-000000.seg")
	f.Add("1-2-3.seg")
	f.Add("+0000000000000000001-00000000000000000000-000000.seg")
	f.Fuzz(func(t *testing.T, name string) {
		if again, ok := commitlog.ParseName(name); ok && again != path.Base(name) {
			t.Fatalf("%q is taken for %q", name, again)
		}
	})
}

// FuzzIndex searches indexes of arbitrary bytes, and such whose entries have right CRCs.
func FuzzIndex(f *testing.F) {
	base := commitlog.Position{Seq: 5, Offset: 50}
	var sound []byte
	for i := range uint64(9) {
		e := commitlog.IndexEntry{Seq: 5 + i*3, Offset: int64(50 + i*10), Time: int64(i), Position: int64(75 + i*16384)}
		sound = commitlog.AppendIndexEntry(sound, base, e)
	}
	f.Add(sound, uint64(14), int64(40_000), false)
	f.Add(sound[:100], uint64(14), int64(40_000), true)
	f.Fuzz(func(t *testing.T, b []byte, seq uint64, until int64, mend bool) {
		if mend {
			var mended []byte
			for entry := range slices.Chunk(b, 32) {
				var e [32]byte
				copy(e[:], entry)
				mended = commitlog.AppendIndexEntry(mended, base, commitlog.IndexEntry{
					Seq: binary.LittleEndian.Uint64(e[:]), Offset: int64(binary.LittleEndian.Uint64(e[8:])),
					Time: int64(binary.LittleEndian.Uint64(e[16:])), Position: int64(binary.LittleEndian.Uint64(e[24:])),
				})
			}
			b = mended
		}
		mem := vfs.NewMem(1)
		setFile(t, mem, "index", b)
		file, err := mem.Open("index")
		if err != nil {
			t.Fatal(err)
		}
		mem.ResetReads()
		e, err := commitlog.SearchIndex(file, base, seq)
		if err == nil && e != (commitlog.IndexEntry{}) && (e.Seq > seq || !isEntry(b, base, e)) {
			t.Fatalf("found %+v, which is not in the index or not before %d", e, seq)
		}
		last, n, err := commitlog.LastIndexed(file, base, until)
		if err == nil && n > 0 && (n > int64(len(b)/commitlog.IndexEntrySize) || !isEntry(b, base, last)) {
			t.Fatalf("last is %+v of %d, which is not in the index", last, n)
		}
		if got := mem.TotalReads().Calls; got > 100 {
			t.Fatalf("%d reads of an index of %d bytes", got, len(b))
		}
	})
}

func isEntry(b []byte, base commitlog.Position, e commitlog.IndexEntry) bool {
	for entry := range slices.Chunk(b, commitlog.IndexEntrySize) {
		if bytes.Equal(entry, commitlog.AppendIndexEntry(nil, base, e)) {
			return true
		}
	}
	return false
}

// FuzzMarks opens marks of arbitrary bytes. What is read is there, and it is all there after opening again.
func FuzzMarks(f *testing.F) {
	mem := vfs.NewMem(1)
	m := marksIn(f, mem)
	for n := range uint32(3) {
		m.Put(markedAt(n, 9))
		flush(f, m)
	}
	f.Add(fileBytes(f, mem, "data/marks"))
	f.Add(bytes.Repeat([]byte("TM\x88\x01"), 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := vfs.NewMem(1)
		if err := mem.MkdirAll("data"); err != nil {
			t.Fatal(err)
		}
		setFile(t, mem, "data/marks", b)
		before, err := commitlog.ReadMarks(mem, "data/marks")
		if err != nil {
			t.Fatal(err)
		}
		for name := range before {
			if !bytes.Contains(b, name.Partition[:]) {
				t.Fatalf("a mark of %x, which is not in the file", name.Partition)
			}
		}
		if err := marksIn(t, mem).Close(); err != nil {
			t.Fatal(err)
		}
		after, err := commitlog.ReadMarks(mem, "data/marks")
		if err != nil || len(after) != len(before) {
			t.Fatalf("%d marks, %v, after opening; %d before", len(after), err, len(before))
		}
		for name, mark := range before {
			if after[name] != mark {
				t.Fatalf("mark is %+v after opening, %+v before", after[name], mark)
			}
		}
	})
}

// damagedLog is a small log whose files are to be damaged: what they hold, and what is true.
type damagedLog struct {
	files map[string][]byte // by path
	names []string
	truth map[int64]stored // by offset
}

func newDamagedLog(f *testing.F, compacted bool) *damagedLog {
	f.Helper()
	k := newKit(f, withMarks(700))
	for i := range 12 {
		if i%5 == 0 {
			k.appendBatch(uint64(i/5+1), int64(i), epochBatch(uint64(i/5+1)))
		}
		k.appendBatch(uint64(i/5+1), int64(i), batchOf(keyed(fmt.Sprint("key", i%3), fmt.Sprint("value", i)), keyed("", fmt.Sprint(i))))
	}
	k.commit()
	d := &damagedLog{files: map[string][]byte{}, truth: map[int64]stored{}}
	for _, s := range k.read() {
		if !s.Control {
			d.truth[s.Offset] = s
		}
	}
	if compacted {
		k.compact(commitlog.Compaction{}, 100)
	}
	k.close()
	d.names = append(d.names, "data/marks")
	for _, name := range k.names("") {
		d.names = append(d.names, path.Join(k.dir, name))
	}
	for _, name := range d.names {
		d.files[name] = fileBytes(f, k.fs, name)
	}
	return d
}

// on writes the files to a disk.
func (d *damagedLog) on(t *testing.T) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem(1)
	if err := mem.MkdirAll("data/log0"); err != nil {
		t.Fatal(err)
	}
	for name, content := range d.files {
		setFile(t, mem, name, content)
	}
	return mem
}

// mutation is a change of one file, as a fuzzer chooses it.
type mutation struct {
	kind, file       byte
	position, length uint16
}

const mutationSize = 6

func mutations(b []byte) []mutation {
	var all []mutation
	for part := range slices.Chunk(b, mutationSize) {
		if len(part) < mutationSize || len(all) == 8 {
			break
		}
		all = append(all, mutation{
			part[0], part[1], binary.LittleEndian.Uint16(part[2:]), binary.LittleEndian.Uint16(part[4:]),
		})
	}
	return all
}

// apply changes the disk. Files that are not there any more stay so.
func (m mutation) apply(t *testing.T, mem *vfs.Mem, d *damagedLog) {
	t.Helper()
	name := d.names[int(m.file)%len(d.names)]
	if _, err := mem.Stat(name); err != nil {
		return
	}
	b := fileBytes(t, mem, name)
	at := int(m.position) % (len(b) + 1)
	end := min(at+int(m.length), len(b))
	switch m.kind % 8 {
	case 0:
		if at < len(b) {
			b[at] ^= 1 << (m.length % 8)
		}
	case 1:
		b = b[:at]
	case 2:
		b = slices.Concat(b[:end], b[at:end], b[end:])
	case 3:
		clear(b[at:end])
	case 4:
		copy(b[int(m.length)%(len(b)+1):], b[at:min(at+300, len(b))])
	case 5:
		b = append(b, make([]byte, m.length%5000)...)
	case 6, 7:
		if err := mem.Remove(name); err != nil {
			t.Fatal(err)
		}
		if m.kind%8 == 6 {
			return
		}
		name = m.newName(d, name)
	}
	setFile(t, mem, name, b)
}

// newName is another name for a file: that of another one, of another generation, or of nothing that is known.
func (m mutation) newName(d *damagedLog, name string) string {
	stem, suffix := name[:max(len(name)-len("000000.seg"), 0)], path.Ext(name)
	switch m.length % 4 {
	case 0:
		return fmt.Sprintf("%s%06d%s", stem, m.position%4, suffix)
	case 1:
		return name + ".tmp"
	case 2:
		return d.names[int(m.position)%len(d.names)]
	}
	return fmt.Sprintf("data/log0/%020d-%020d-%06d%s", m.position%20, m.position/20%30, m.position%2, suffix)
}

// FuzzRecover damages the files of a log, opens it and reads it. It may refuse, and it may lose what is damaged; whatever
// it serves is what was written at that offset, once and in order, and it goes on with what is appended next.
func FuzzRecover(f *testing.F) {
	logs := []*damagedLog{newDamagedLog(f, false), newDamagedLog(f, true)}
	for kind := range byte(8) {
		f.Add([]byte{kind, 1, 200, 0, 7, 0}, true, false)
		f.Add([]byte{kind, 4, 120, 1, 9, 1, kind + 1, 7, 10, 0, 3, 0}, false, true)
	}
	f.Fuzz(func(t *testing.T, changes []byte, marked, compacted bool) {
		d := logs[0]
		if compacted {
			d = logs[1]
		}
		mem := d.on(t)
		for _, m := range mutations(changes) {
			m.apply(t, mem, d)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		k := &logKit{TB: t, fs: mem, mem: mem, dir: "data/log0", marked: marked}
		k.opts.Partition, k.opts.SegmentBytes = kitPartition, 700
		if k.tryOpen() != nil {
			return
		}
		d.check(t, k, 1<<62)
		appended, err := k.log.Append(1<<40, 1<<40, batchOf(keyed("after", "damage")))
		if err != nil {
			t.Fatal(err)
		}
		k.close()
		k.open()
		last := d.check(t, k, appended.First.Offset)
		if last.Key != "after" || last.Offset != appended.First.Offset {
			t.Fatalf("the last record is %+v, appended was %+v", last, appended)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 128<<20 {
			t.Fatalf("%d bytes were allocated", got)
		}
	})
}

// check reads all that can be read, forwards and backwards, and returns the last record. From the offset new on there is
// what was appended after the damage.
func (d *damagedLog) check(t *testing.T, k *logKit, newOffset int64) stored {
	t.Helper()
	var last stored
	forwards, _ := readPastDamage(t, k)
	for _, s := range forwards {
		if s.Seq < last.Seq || !s.Control && s.Seq == last.Seq && s.Offset <= last.Offset {
			t.Fatalf("%+v is read behind %+v", s, last)
		}
		if !s.Control && s.Offset < newOffset && s != d.truth[s.Offset] {
			t.Fatalf("read %+v, written was %+v", s, d.truth[s.Offset])
		}
		last = s
	}
	backwards, err := readBack(k.log.ReadBackFrom(k.log.End()), 64<<10)
	if err != nil && !commitlog.IsDamage(err) && !errors.As(err, new(*commitlog.RangeError)) {
		t.Fatal(err)
	}
	for _, s := range backwards {
		if s.Offset >= k.log.Start() && !slices.Contains(forwards, s) {
			t.Fatalf("%+v is read backwards only", s)
		}
	}
	return last
}

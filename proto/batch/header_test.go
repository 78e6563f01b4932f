package batch_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/proto/batch"
)

// sampleBatches are small batches of every kind.
func sampleBatches() map[string][]byte {
	s := newSource(1)
	packed := []byte("packed")
	samples := map[string][]byte{
		"records": build([]byte("subject"), s.records(3)...),
		"packed": batch.Append(nil, &batch.Header{
			Attributes: batch.Zstd, RecordCount: 3, LastOffsetDelta: 2, Body: batch.BodyPacked, BodyCRC: batch.Checksum(packed),
		}, packed),
		"control":         batch.AppendControl(nil, &batch.Control{Kind: batch.ControlEpoch, Epoch: 300}),
		"without content": batch.AppendControl(nil, &batch.Control{}),
		"longer header":   longerHeader(build(nil, batch.Record{Value: []byte("v")}), "\x9d\x01\x01\x02\x03\x04"),
	}
	for _, b := range samples {
		stamp := s.stamp()
		stamp.Put(b)
	}
	return samples
}

// longerHeader is the batch b as a later version would write it, with further fields before the body.
func longerHeader(b []byte, fields string) []byte {
	const bodyTag = 100
	longer := slices.Concat(b[:bodyTag], []byte(fields), b[bodyTag:])
	batch.PutPaddedLength(longer[1:], len(longer)-5)
	longer[8] = byte(batch.HeaderSize + len(fields))
	reseal(longer)
	return longer
}

func TestStampPut(t *testing.T) {
	t.Parallel()
	for name, b := range sampleBatches() {
		before := parse(t, b)
		stamp := newSource(2).stamp()
		unstamped := bytes.Clone(b)
		crc := stamp.Put(b)
		got := parse(t, b)
		want := before
		want.Seq, want.BaseOffset, want.LeaderEpoch = stamp.Seq, stamp.BaseOffset, stamp.LeaderEpoch
		want.Time, want.PreviousCRC, want.PartitionTag = stamp.Time, stamp.PreviousCRC, stamp.PartitionTag
		want.HeaderCRC = crc
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
		if !bytes.Equal(b[got.HeaderSize:], unstamped[got.HeaderSize:]) {
			t.Errorf("%s: stamping changed the body", name)
		}
		if wantNext := stamp.BaseOffset + int64(before.LastOffsetDelta) + 1; got.NextOffset() != wantNext {
			t.Errorf("%s: NextOffset() = %d, want %d", name, got.NextOffset(), wantNext)
		}
		headerOnly := bytes.Clone(unstamped[:got.HeaderSize])
		if crcOfHeader := stamp.Put(headerOnly); crcOfHeader != crc {
			t.Errorf("%s: Put on the header alone gives crc %08x, on the batch %08x", name, crcOfHeader, crc)
		}
		if parsed, err := batch.ParseHeader(headerOnly); err != nil || parsed != got {
			t.Errorf("%s: ParseHeader of the header alone: %+v, %v", name, parsed, err)
		}
	}
}

// TestEveryFlipIsSeen: no byte of a batch can change in any way, length and padding included, without being noticed.
func TestEveryFlipIsSeen(t *testing.T) {
	t.Parallel()
	for name, b := range sampleBatches() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parse(t, b)
			after := append(bytes.Clone(b), sampleBatches()["records"]...) // a longer length finds bytes
			for i := range b {
				for flip := 1; flip < 256; flip++ {
					for where, damaged := range map[string][]byte{
						"alone": mutated(b, i, byte(flip)), "before another": mutated(after, i, byte(flip)),
					} {
						_, err := batch.Parse(damaged)
						if !errors.Is(err, batch.ErrCorrupt) && !errors.Is(err, batch.ErrShort) {
							t.Fatalf("byte %d ^ %02x, %s: got error %v, want ErrCorrupt or ErrShort", i, flip, where, err)
						}
					}
				}
			}
		})
	}
}

func TestEveryCutIsSeen(t *testing.T) {
	t.Parallel()
	for name, b := range sampleBatches() {
		h := parse(t, b)
		for n := range b {
			if _, err := batch.Parse(b[:n]); !errors.Is(err, batch.ErrShort) {
				t.Errorf("%s: Parse of %d of %d bytes: got error %v, want ErrShort", name, n, len(b), err)
			}
			_, err := batch.ParseHeader(b[:n])
			if whole := n >= h.HeaderSize; (err == nil) != whole || !whole && !errors.Is(err, batch.ErrShort) {
				t.Errorf("%s: ParseHeader of %d of %d bytes: got error %v", name, n, h.HeaderSize, err)
			}
		}
		got, err := batch.Parse(append(bytes.Clone(b), "what follows"...))
		if err != nil || got != h {
			t.Errorf("%s: Parse with bytes after it: %+v, %v", name, got, err)
		}
	}
}

func TestZerosAreNoBatch(t *testing.T) {
	t.Parallel()
	if _, err := batch.Parse(make([]byte, 4096)); !errors.Is(err, batch.ErrCorrupt) {
		t.Errorf("got error %v, want ErrCorrupt", err)
	}
}

// TestLongerHeader reads what a later version may write: fields between the last one known here and the body.
func TestLongerHeader(t *testing.T) {
	t.Parallel()
	records := []batch.Record{{Value: []byte("v")}, {Value: []byte("w")}}
	b := build([]byte("s"), records...)
	stamp := newSource(1).stamp()
	stamp.Put(b)
	short := parse(t, b)
	fields := "\x9d\x01\x01\x02\x03\x04" + "\xa2\x01\x03abc"
	longer := longerHeader(b, fields)
	got := parse(t, longer)
	want := short
	want.HeaderCRC, want.HeaderSize, want.Size = got.HeaderCRC, short.HeaderSize+len(fields), short.Size+len(fields)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if !bytes.Equal(got.BodyOf(longer), short.BodyOf(b)) {
		t.Error("body is another")
	}
	if diff := cmp.Diff(read(t, b), read(t, longer)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := decode(t, longer)[0]; len(got.GetRecords().GetRecords()) != 2 || got.Seq != stamp.Seq {
		t.Errorf("generated code reads %v", got)
	}
	selected, err := batch.Select(nil, &got, longer, func(offset int64, _ []byte) bool { return offset == stamp.BaseOffset })
	if err != nil {
		t.Fatal(err)
	}
	if all := read(t, selected); len(all) != 1 || string(all[0].Record.Value) != "v" {
		t.Errorf("Select of it gives %v", all)
	}
}

func TestLongestHeader(t *testing.T) {
	t.Parallel()
	fields := make([]byte, 255-batch.HeaderSize)
	binary.LittleEndian.PutUint16(fields, 0x019a) // tag of field 19, bytes
	binary.LittleEndian.PutUint16(fields[2:], uint16(0x80|(len(fields)-4)&0x7f|(len(fields)-4)>>7<<8))
	b := longerHeader(build(nil, batch.Record{Value: []byte("v")}), string(fields))
	if h := parse(t, b); h.HeaderSize != 255 {
		t.Errorf("header of %d bytes, want 255", h.HeaderSize)
	}
	if all := read(t, b); len(all) != 1 || string(all[0].Record.Value) != "v" {
		t.Errorf("read %v", all)
	}
}

// TestHeadersRefused has headers that pass their CRC and make no sense, or none to this version.
func TestHeadersRefused(t *testing.T) {
	t.Parallel()
	set32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], v) }
	}
	set64 := func(at int, v uint64) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint64(b[at:], v) }
	}
	set := func(at int, v ...byte) func([]byte) { return func(b []byte) { copy(b[at:], v) } }
	const attributes, count, delta, base = 21, 26, 31, 45
	type row struct {
		sample string
		change func([]byte)
		want   error
	}
	rows := map[string]row{
		"version 0":                     {"records", set(9, 0), batch.ErrVersion},
		"version 2":                     {"records", set(9, 2), batch.ErrVersion},
		"header of 105 bytes":           {"records", set(8, 105), batch.ErrCorrupt},
		"header longer than the batch":  {"without content", set(8, 107), batch.ErrCorrupt},
		"magic":                         {"records", set(6, 'S'), batch.ErrCorrupt},
		"segment header instead":        {"records", set(0, 0x12), batch.ErrCorrupt},
		"codec 2":                       {"packed", set32(attributes, 2), batch.ErrVersion},
		"codec 3":                       {"packed", set32(attributes, 3), batch.ErrVersion},
		"codec of plain records":        {"records", set32(attributes, uint32(batch.Zstd)), batch.ErrCorrupt},
		"packed without codec":          {"packed", set32(attributes, 0), batch.ErrCorrupt},
		"records marked control":        {"records", set32(attributes, uint32(batch.IsControl)), batch.ErrCorrupt},
		"control not marked":            {"control", set32(attributes, 0), batch.ErrCorrupt},
		"control with a record":         {"control", set32(count, 1), batch.ErrCorrupt},
		"control with an offset":        {"control", set32(delta, 0), batch.ErrCorrupt},
		"no record":                     {"records", set32(count, 0), batch.ErrCorrupt},
		"more records than offsets":     {"records", set32(count, 4), batch.ErrCorrupt},
		"records beyond 2^31":           {"records", set32(count, 1<<31), batch.ErrCorrupt},
		"offset delta -1":               {"records", set32(delta, 1<<32-1), batch.ErrCorrupt},
		"offset delta -2^31":            {"records", set32(delta, 1<<31), batch.ErrCorrupt},
		"base offset -1":                {"records", set64(base, 1<<64-1), batch.ErrCorrupt},
		"offsets beyond 2^63":           {"records", set64(base, 1<<63-3), batch.ErrCorrupt},
		"body field 15":                 {"records", set(100, 0xfa, 0x00), batch.ErrCorrupt},
		"body field 19":                 {"records", set(100, 0x9a, 0x01), batch.ErrCorrupt},
		"body no bytes":                 {"records", set(100, 0x80, 0x01), batch.ErrCorrupt},
		"body tag of three bytes":       {"records", set(101, 0x81), batch.ErrCorrupt},
		"body length not padded":        {"records", set(102, 0x01), batch.ErrCorrupt},
		"body shorter than the batch":   {"records", set(102, 0x80), batch.ErrCorrupt},
		"body length beyond four bytes": {"records", set(105, 0x80), batch.ErrCorrupt},
		"tag of header crc (no crc)":    {"records", set(10, 0x16), batch.ErrCorrupt},
		"length not padded":             {"records", set(2, 0x00), batch.ErrCorrupt},
		"length of five bytes":          {"records", set(4, 0x80), batch.ErrCorrupt},
		"length less than a header":     {"records", set(1, 0x80, 0x80), batch.ErrCorrupt},
		"next offset 2^63 - 1":          {"records", set64(base, 1<<63-4), nil},
	}
	for bit := 24; bit < 32; bit++ {
		rows[fmt.Sprintf("attribute bit %d", bit)] = row{"records", set32(attributes, 1<<bit), batch.ErrVersion}
	}
	for _, at := range []int{5, 15, 20, 25, 30, 35, 44, 53, 62, 71, 76, 81, 90, 95} {
		rows[fmt.Sprintf("tag at byte %d", at)] = row{"records", set(at, 0x01), batch.ErrCorrupt}
	}
	for bit := 7; bit < 24; bit++ {
		rows[fmt.Sprintf("attribute bit %d", bit)] = row{"records", set32(attributes, 1<<bit), nil}
	}
	for name, test := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sampleBatches()[test.sample]
			test.change(b)
			reseal(b)
			if _, err := batch.Parse(b); !errors.Is(err, test.want) {
				t.Errorf("Parse: got error %v, want %v", err, test.want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for name, b := range sampleBatches() {
		if got, err := batch.Size(b[:5]); err != nil || got != len(b) {
			t.Errorf("%s: Size of the first five bytes = %d, %v; want %d", name, got, err, len(b))
		}
		if _, err := batch.Size(b[:4]); !errors.Is(err, batch.ErrShort) {
			t.Errorf("%s: Size of four bytes: got error %v, want ErrShort", name, err)
		}
	}
}

func TestPaddedLength(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 127, 128, 1<<14 - 1, 1 << 14, 1<<21 - 1, 1 << 21, batch.MaxPaddedLength} {
		var b [4]byte
		batch.PutPaddedLength(b[:], n)
		if got, ok := batch.PaddedLength(b[:]); !ok || got != n {
			t.Errorf("%d: read as %d, %t", n, got, ok)
		}
		if got, length := binary.Uvarint(b[:]); got != uint64(n) || length != 4 {
			t.Errorf("%d: as a varint %d of %d bytes", n, got, length)
		}
	}
	for name, b := range map[string]string{
		"nothing": "", "three bytes": "\x80\x80\x80", "one byte": "\x01\x80\x80\x01", "two bytes": "\x80\x01\x80\x01",
		"three bytes and more": "\x80\x80\x01\x01", "five bytes": "\x80\x80\x80\x80\x01",
	} {
		if got, ok := batch.PaddedLength([]byte(b)); ok {
			t.Errorf("%s: read as %d", name, got)
		}
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	// The check value of CRC-32C.
	if got := batch.Checksum([]byte("123456789")); got != 0xe3069283 {
		t.Errorf("Checksum = %08x, want e3069283", got)
	}
	if got := batch.UpdateChecksum(batch.Checksum([]byte("1234")), []byte("56789")); got != 0xe3069283 {
		t.Errorf("in two parts: %08x, want e3069283", got)
	}
	uuid := [16]byte([]byte("0123456789abcdef"))
	if got, want := batch.PartitionTag(uuid, 0x01020304), batch.Checksum([]byte("0123456789abcdef\x04\x03\x02\x01")); got != want {
		t.Errorf("PartitionTag = %08x, want %08x", got, want)
	}
}

// TestHostileLengthsAllocateNothing: what bytes say of their own size costs nothing before it is seen to be true.
func TestHostileLengthsAllocateNothing(t *testing.T) {
	long := bytes.Clone(sampleBatches()["records"])
	batch.PutPaddedLength(long[1:], batch.MaxPaddedLength)
	reseal(long)
	many := withBody(1<<30, 1<<30-1, encodeRecords(batch.Record{}))
	for name, b := range map[string][]byte{"length of 2^28": long, "2^30 records": many} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h, err := batch.Parse(b)
		if err == nil {
			_, err = h.RecordsOf(b)
		}
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<16 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
}

package streamfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

const described = `{"name":"orders"}`

func at(n int64) time.Time { return time.Unix(1_700_000_000, n) }

// sample is what a reader of two partitions may come across.
func sample() []Chunk {
	return []Chunk{{
		Partition: 0,
		Messages: []client.Message{
			{
				Offset: 5, LeaderEpoch: 7, Time: at(1), Subject: "orders.1", Reply: "_INBOX.1", Key: []byte("k"), Value: []byte("one"),
				Headers: []client.HeaderField{{Name: "A", Value: []byte("b:c")}, {Name: "A", Value: []byte{}}, {Name: "Nats-Msg-Id", Value: []byte("i")}},
			},
			{Offset: 6, LeaderEpoch: 7, Time: at(1), Subject: "orders.\xff", Key: []byte{}, Value: []byte{}},
			{Offset: 9, LeaderEpoch: 7, Time: at(1), Key: []byte("gone"), Tombstone: true}, // compaction took 7 and 8 away
			{Offset: 10, LeaderEpoch: 8, Time: at(2), Value: []byte("\x00\n\xff")},
		},
	}, {
		Partition: 130,
		Gaps:      []client.Gap{{Offset: 0, Cause: client.GapRestart, From: at(3), To: at(4)}, {Offset: 0, Cause: client.GapDiskFull, From: at(4), To: at(5), AtLeast: 12}},
		Messages:  []client.Message{{Partition: 130, Offset: 0, LeaderEpoch: 1, Time: at(6), Value: []byte("two")}},
	}}
}

func write(t *testing.T, chunks []Chunk) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, []byte(described))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		for _, gap := range c.Gaps {
			err = errors.Join(err, w.Gap(c.Partition, gap))
		}
		err = errors.Join(err, w.Messages(c.Messages))
	}
	if err := errors.Join(err, w.Close([]byte(`{"messages":5}`))); err != nil {
		t.Fatal(err)
	}
	if w.Bytes() != int64(file.Len()) {
		t.Errorf("got %d bytes, wrote %d", w.Bytes(), file.Len())
	}
	return file.Bytes()
}

func read(from io.Reader) (chunks []Chunk, err error) {
	r, err := NewReader(from)
	for err == nil {
		var c Chunk
		if c, err = r.Next(); err == nil {
			chunks = append(chunks, c)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return chunks, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	file := write(t, sample())
	got, err := read(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, err = r.Next(); err == nil; _, err = r.Next() {
		if r.End() != nil {
			t.Error("an end before the end")
		}
	}
	if string(r.Stream()) != described || string(r.End()) != `{"messages":5}` {
		t.Errorf("got stream %s and end %s", r.Stream(), r.End())
	}
	if _, again := r.Next(); !errors.Is(again, io.EOF) {
		t.Errorf("got %v behind the end, want io.EOF again", again)
	}
}

// TestManyMessages: chunks and batches end where they should, and a message that is larger than both is whole.
func TestManyMessages(t *testing.T) {
	t.Parallel()
	var want []client.Message
	for i := range int64(3000) {
		want = append(want, client.Message{Offset: i, LeaderEpoch: 1, Time: at(i / 700), Value: bytes.Repeat([]byte{byte(i)}, 1000)})
	}
	want[1500].Value = bytes.Repeat([]byte("large"), 1<<19)
	chunks, err := read(bytes.NewReader(write(t, []Chunk{{Messages: want}})))
	if err != nil {
		t.Fatal(err)
	}
	var got []client.Message
	for _, c := range chunks {
		got = append(got, c.Messages...)
	}
	if len(chunks) < 4 || len(chunks) > 8 {
		t.Errorf("got %d chunks for 5.5 MiB, want about one for each MiB", len(chunks))
	}
	if !reflect.DeepEqual(want, got) { // cmp takes seconds over so many bytes
		t.Error("what was read is not what was written")
	}
}

// TestDamage: whichever byte is another, it is noticed, and nothing that was not written is handed out.
func TestDamage(t *testing.T) {
	t.Parallel()
	file := write(t, sample())
	want := sample()
	for i := range file {
		damaged := bytes.Clone(file)
		damaged[i] ^= 1 << (i % 8)
		chunks, err := read(bytes.NewReader(damaged))
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrCutShort) {
			t.Fatalf("byte %d: got %v", i, err)
		}
		if len(chunks) > len(want) || len(chunks) > 0 && !reflect.DeepEqual(want[:len(chunks)], chunks) {
			t.Fatalf("byte %d: got %+v, want no more than was written", i, chunks)
		}
	}
	if _, err := read(bytes.NewReader(append(bytes.Clone(file), 0))); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v for a byte too many, want ErrDamaged", err)
	}
}

func TestCutShort(t *testing.T) {
	t.Parallel()
	file := write(t, sample())
	for n := range len(file) {
		if _, err := read(bytes.NewReader(file[:n])); !errors.Is(err, ErrCutShort) && !errors.Is(err, ErrFormat) {
			t.Fatalf("%d of %d bytes: got %v", n, len(file), err)
		}
	}
	failing := errors.New("the disk is gone")
	if _, err := read(io.MultiReader(bytes.NewReader(file[:200]), &failingReader{failing})); !errors.Is(err, failing) {
		t.Errorf("got %v, want what the reader said", err)
	}
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestOtherFormats(t *testing.T) {
	t.Parallel()
	file := write(t, nil)
	if _, err := read(strings.NewReader("PK\x03\x04 something else entirely")); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "stream export") {
		t.Errorf("got %v, want ErrFormat and what to do", err)
	}
	var later bytes.Buffer
	w := &Writer{to: &later}
	w.field(tagFormat, []byte(formatName+"9"))
	later.Write(file)
	if _, err := read(&later); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), `"9"`) {
		t.Errorf("got %v, want ErrFormat that names format 9", err)
	}
}

func TestWriterKeepsTheFirstError(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	if _, err := NewWriter(&fullDisk{err: full}, []byte(described)); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	w, err := NewWriter(&fullDisk{left: 100, err: full}, []byte(described))
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Messages(sample()[0].Messages)
	if err := w.Close(nil); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

type fullDisk struct {
	left int
	err  error
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, d.err
	}
	return len(b), nil
}

// TestGoldenFile: files that were written once are read for ever. The bytes are those of testdata/two-partitions.hex.
func TestGoldenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "two-partitions.hex")
	file := write(t, sample())
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(hex.Dump(file)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), hex.Dump(file)); diff != "" {
		t.Errorf("(-golden +written)\n%s", diff)
	}
}

// TestCauses: every cause that the protocol has comes back as it was.
func TestCauses(t *testing.T) {
	t.Parallel()
	for number, name := range trestlev1.GapCause_name {
		cause := client.GapCause(strings.ToLower(strings.TrimPrefix(name, causePrefix)))
		if int32(causeNumber(cause)) != number || causeName(causeNumber(cause)) != cause {
			t.Errorf("%s: got number %d, name %s", name, causeNumber(cause), causeName(causeNumber(cause)))
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x0a\x10trestle stream 1"))
	f.Fuzz(func(t *testing.T, content []byte) {
		// As a chunk whose checksum is right: what is behind the checksums is never trusted either.
		var file bytes.Buffer
		w, err := NewWriter(&file, []byte(described))
		if err != nil {
			t.Fatal(err)
		}
		w.field(tagChunk, content)
		if err := w.Close(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := read(&file); err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("got %v, want no error or ErrDamaged", err)
		}
		if _, err := read(bytes.NewReader(content)); err == nil {
			t.Error("got no error for bytes that begin in another way")
		}
	})
}

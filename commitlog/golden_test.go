package commitlog_test

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// The golden logs in testdata/v1 are version 1 of the format: every program that writes version 1 writes these bytes,
// and every later one reads them.

var updateGolden = flag.Bool("update", false, "write the golden segments anew; those of a released format never change")

const goldenFolder = "testdata/v1"

// goldenStart is the append time of the first batch, unix nanoseconds; a batch comes goldenInterval after the one
// before it.
const (
	goldenStart    = 1_767_225_600_123_456_789
	goldenInterval = 1001
)

// goldenLog is a log as it lies on disk.
type goldenLog struct {
	name     string
	base     commitlog.Position // zero: commitlog.Origin
	segments [][]goldenBatch
	zeros    int // bytes that follow the last batch
	torn     int // bytes that are missing at the end of the last batch
}

func goldenLogs(t *testing.T) []goldenLog {
	t.Helper()
	return []goldenLog{
		{name: "sealed-and-active", segments: [][]goldenBatch{everyKind(t), afterFailover()}},
		{
			// Numbers that a double cannot hold.
			name: "zeros", base: commitlog.Position{Seq: 1<<53 + 1, Offset: 1<<53 + 3},
			segments: [][]goldenBatch{afterFailover()}, zeros: 4 << 10,
		},
		{name: "torn", segments: [][]goldenBatch{afterFailover()}, torn: 40},
	}
}

func TestGoldenLogsAreWrittenAsEver(t *testing.T) {
	if *updateGolden {
		savePacked(t)
	} else { // not while the others read what is written here
		t.Parallel()
	}
	for _, golden := range goldenLogs(t) {
		written := golden.write(t)
		if *updateGolden {
			golden.save(t, written)
		}
		committed := segmentFiles(t, golden.folder())
		if got, want := sortedNames(written), sortedNames(committed); !slices.Equal(got, want) {
			t.Fatalf("%s: segments are called %q, want %q", golden.name, got, want)
		}
		for name, want := range committed {
			if got := written[name]; !bytes.Equal(got, want) {
				t.Errorf("%s/%s: %d bytes are written, want %d; first difference at byte %d",
					golden.name, name, len(got), len(want), firstDifference(got, want))
			}
		}
	}
}

func TestGoldenLogsAreReadAsEver(t *testing.T) {
	t.Parallel()
	for _, golden := range goldenLogs(t) {
		t.Run(golden.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, content := range segmentFiles(t, golden.folder()) {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			log, report, err := commitlog.Open(dir, golden.options(t))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := cutBytes(report), golden.tailBytes(); got != want {
				t.Errorf("%d bytes were cut off, want %d: %+v", got, want, report.Cut)
			}
			if diff := cmp.Diff(golden.want(), valuesOfLog(t, log, golden.origin())); diff != "" {
				t.Errorf("read -want +got:\n%s", diff)
			}
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whoever has generated code reads the same values; so says also the text that protoc made of the file.
func TestGoldenSegmentsAreProtobufMessages(t *testing.T) {
	t.Parallel()
	for _, golden := range goldenLogs(t) {
		t.Run(golden.name, func(t *testing.T) {
			t.Parallel()
			var got []value
			files := segmentFiles(t, golden.folder())
			for _, name := range sortedNames(files) {
				message := decodeSegment(t, soundPart(files[name]))
				got = append(got, valuesOfMessage(t, message)...)
				text := readFile(t, filepath.Join(golden.folder(), textName(name)))
				var fromText trestlev1.Batches
				if err := prototext.Unmarshal(text, &fromText); err != nil {
					t.Fatal(err)
				}
				if !proto.Equal(&fromText, message) {
					t.Errorf("%s says something else than %s", textName(name), name)
				}
				if diff := cmp.Diff(goldenPartition[:], message.GetSegment().GetPartitionUuid()); diff != "" {
					t.Errorf("partition of %s -want +got:\n%s", name, diff)
				}
			}
			if diff := cmp.Diff(golden.want(), got); diff != "" {
				t.Errorf("decoded -want +got:\n%s", diff)
			}
		})
	}
}

func TestGoldenFooterSaysWhatItCloses(t *testing.T) {
	t.Parallel()
	sealed := goldenLogs(t)[0]
	files := segmentFiles(t, sealed.folder())
	names := sortedNames(files)
	message := decodeSegment(t, files[names[0]])
	last := message.GetBatches()[len(message.GetBatches())-1]
	records := 0
	for _, b := range sealed.segments[0] {
		records += len(b.records)
	}
	const footerSize = 74
	footer := message.GetFooter()
	want := &trestlev1.SegmentFooter{
		LastSeq: last.GetSeq(), NextOffset: last.GetBaseOffset() + int64(last.GetLastOffsetDelta()) + 1,
		LastTime: last.GetTime(), LastEpoch: last.GetLeaderEpoch(), LastCrc: last.GetHeaderCrc(),
		Bytes: uint64(len(files[names[0]]) - footerSize), Records: uint64(records),
		Digest: footer.GetDigest(), Crc: footer.GetCrc(), // checksums, which the bytes above all hang on
	}
	if !proto.Equal(footer, want) {
		t.Errorf("footer is %v, want %v", footer, want)
	}
	next := decodeSegment(t, files[names[1]])
	if next.GetFooter() != nil {
		t.Error("the active segment has a footer")
	}
	if got := next.GetBatches()[0].GetPreviousCrc(); got != footer.GetLastCrc() {
		t.Errorf("first batch after the footer names %08x, want %08x", got, footer.GetLastCrc())
	}
}

func TestFlippedByteInGoldenBatchIsFound(t *testing.T) {
	t.Parallel()
	for _, golden := range goldenLogs(t) {
		for name, file := range segmentFiles(t, golden.folder()) {
			for at := 0; at < len(soundPart(file)); {
				element := slices.Clone(file[at : at+elementSize(t, file[at:])])
				for i := range element {
					if element[0] != batch.Tag {
						break // header and footer
					}
					for _, flip := range []byte{1 << (i % 8), 0xff} {
						element[i] ^= flip
						if _, err := batch.Parse(element); err == nil {
							t.Errorf("%s/%s: byte %d of the batch at %d: %#x flipped, no error", golden.name, name, i, at, flip)
						}
						element[i] ^= flip
					}
				}
				at += len(element)
			}
		}
	}
}

func (g *goldenLog) folder() string { return filepath.Join(goldenFolder, g.name) }

func (g *goldenLog) origin() commitlog.Position {
	if g.base == (commitlog.Position{}) {
		return commitlog.Origin
	}
	return g.base
}

// options under which a segment is sealed by its age only.
func (g *goldenLog) options(t *testing.T) commitlog.Options {
	t.Helper()
	files := commitlog.NewFiles(vfs.OS(), 8)
	t.Cleanup(func() {
		if err := files.Close(); err != nil {
			t.Error(err)
		}
	})
	return commitlog.Options{Files: files, Partition: goldenPartition, Base: g.base, SegmentAge: time.Hour}
}

// write writes the log and returns its segment files by name.
func (g *goldenLog) write(t *testing.T) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	log, _, err := commitlog.Open(dir, g.options(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, segment := range g.segments {
		for j, b := range segment {
			if _, err := log.Append(b.epoch, appendTime(i, j), slices.Clone(b.bytes)); err != nil {
				t.Fatalf("%s: %v", b.name, err)
			}
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	written := segmentFiles(t, dir)
	names := sortedNames(written)
	if len(names) != len(g.segments) {
		t.Fatalf("%s: %d segments are written, want %d", g.name, len(names), len(g.segments))
	}
	last := names[len(names)-1]
	content := written[last]
	written[last] = append(content[:len(content)-g.torn], make([]byte, g.zeros)...)
	return written
}

// save replaces the golden log. It needs protoc for the text beside each segment.
func (g *goldenLog) save(t *testing.T, written map[string][]byte) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(g.folder()), os.MkdirAll(g.folder(), 0o750)); err != nil {
		t.Fatal(err)
	}
	for name, content := range written {
		path := filepath.Join(g.folder(), name)
		err := errors.Join(os.WriteFile(path, content, 0o600), os.WriteFile(textName(path), protocText(t, content), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tailBytes is how many bytes follow the last whole batch.
func (g *goldenLog) tailBytes() int64 {
	if g.torn == 0 {
		return int64(g.zeros)
	}
	last := g.segments[len(g.segments)-1]
	return int64(len(last[len(last)-1].bytes) - g.torn)
}

// want is what every reader finds in the log.
func (g *goldenLog) want() []value {
	var values []value
	next := g.origin()
	for i, segment := range g.segments {
		if g.torn > 0 && i == len(g.segments)-1 {
			segment = segment[:len(segment)-1]
		}
		for j, b := range segment {
			values = append(values, b.want(next, appendTime(i, j))...)
			next = commitlog.Position{Seq: next.Seq + 1, Offset: next.Offset + b.offsets()}
		}
	}
	return values
}

// appendTime of a batch: a segment is begun when the one before it is too old.
func appendTime(segment, place int) int64 {
	return goldenStart + int64(segment)*int64(time.Hour) + int64(place)*goldenInterval
}

func cutBytes(report commitlog.Report) int64 {
	var n int64
	for _, cut := range report.Cut {
		n += cut.Bytes
	}
	return n
}

func segmentFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		files[filepath.Base(path)] = readFile(t, path)
	}
	return files
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func sortedNames(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

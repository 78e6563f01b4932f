package commitlog_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// The golden logs under testdata/v1 are what version 1 of the format is: every later version of this program writes the
// same bytes as long as it writes version 1, and reads these for ever.

var update = flag.Bool("update", false, "write the golden segments anew; those of a released format never change")

const goldenFolder = "testdata/v1"

var goldenPartition = [16]byte{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x41, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// goldenStart is the append time of the first batch, unix nanoseconds; each batch comes a microsecond and a nanosecond
// after the one before.
const (
	goldenStart    = 1_767_225_600_123_456_789
	goldenInterval = 1001
)

// goldenLog is a log as it lies on disk.
type goldenLog struct {
	name     string
	base     commitlog.Position // zero: commitlog.Origin
	segments [][]goldenBatch
	// tail follows the last batch of the last segment and is not part of the log.
	tail func(t *testing.T) []byte
}

func goldenLogs() []goldenLog {
	return []goldenLog{
		{name: "sealed-and-active", segments: [][]goldenBatch{everyKind(), afterFailover()}},
		{
			// Numbers that a double cannot hold: readers in some languages trip over them.
			name: "zeros", base: commitlog.Position{Seq: 1<<53 + 1, Offset: 1<<53 + 3},
			segments: [][]goldenBatch{afterFailover()},
			tail:     func(*testing.T) []byte { return make([]byte, 4<<10) },
		},
		{name: "torn", segments: [][]goldenBatch{afterFailover()}, tail: tornBatch},
	}
}

// options of the golden logs. Only age seals a segment.
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

// write writes the log into dir and returns its segment files by name.
func (g *goldenLog) write(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	log, _, err := commitlog.Open(dir, g.options(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, segment := range g.segments {
		for j, b := range segment {
			if _, err := log.Append(b.epoch, g.appendTime(i, j), b.bytes(t)); err != nil {
				t.Fatalf("%s: %v", b.name, err)
			}
		}
	}
	if _, err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	written := segmentFiles(t, dir)
	if len(written) != len(g.segments) {
		t.Fatalf("got %d segments, want %d", len(written), len(g.segments))
	}
	if g.tail != nil {
		last := slices.Max(slices.Collect(mapsKeys(written)))
		written[last] = append(written[last], g.tail(t)...)
	}
	return written
}

// appendTime of a batch: each segment is begun when the one before it is too old.
func (g *goldenLog) appendTime(segment, batch int) int64 {
	return goldenStart + int64(segment)*int64(time.Hour) + int64(batch)*goldenInterval
}

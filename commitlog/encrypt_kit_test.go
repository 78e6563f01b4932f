package commitlog_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

const secretFolder = "log0"

// secretOptions are those of a log with small segments and a master key on the file system.
func secretOptions(fsys vfs.FS) commitlog.Options {
	return commitlog.Options{
		Files: commitlog.NewFiles(fsys, 16), Partition: [16]byte{1, 2, 3}, LogID: 4, SegmentBytes: 700, Key: masterKey(1),
	}
}

func masterKey(seed byte) []byte { return bytes.Repeat([]byte{seed, ^seed}, commitlog.KeySize/2) }

func openSecret(t testing.TB, dir string, opts commitlog.Options) *commitlog.Log {
	t.Helper()
	log, _, err := commitlog.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func closeSecret(t testing.TB, log *commitlog.Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// appendSecret appends the records as one batch, commits it, and returns where it went.
func appendSecret(t testing.TB, log *commitlog.Log, records ...batch.Record) commitlog.Appended {
	t.Helper()
	a, err := log.Append(1, 1, secretBatch(records...))
	if err != nil {
		t.Fatal(err)
	}
	log.Commit(a.End)
	return a
}

func secretBatch(records ...batch.Record) []byte {
	var b batch.Builder
	b.Reset([]byte("orders"))
	for i := range records {
		b.Append(&records[i])
	}
	return b.Finish(0)
}

func secretRecord(key string, i int) batch.Record {
	return batch.Record{Key: []byte(key), Value: fmt.Appendf(nil, "value %d of %s%s", i, key, strings.Repeat(".", 100))}
}

// readSecret returns the records from the offset on, and the error that ended it.
func readSecret(log *commitlog.Log, from int64) (all []batch.Record, err error) {
	for r, err := range log.Records(context.Background(), from, false) {
		if err != nil {
			return all, err
		}
		all = append(all, *ownBytes(&r.Record))
	}
	return all, nil
}

func checkSecret(t testing.TB, log *commitlog.Log, want ...batch.Record) {
	t.Helper()
	got, err := readSecret(log, log.Start())
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i] = *ownBytes(&want[i])
		want[i].Subject = []byte("orders")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("records (-want +got):\n%s", diff)
	}
}

func parsed(t testing.TB, b []byte) batch.Header {
	t.Helper()
	h, err := batch.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// storedBatch is the batch at the offset, as it is stored.
func storedBatch(t testing.TB, log *commitlog.Log, offset int64) (batch.Header, []byte) {
	t.Helper()
	run, err := log.ReadFrom(offset).Read(make([]byte, 1<<20), log.End())
	if err != nil {
		t.Fatal(err)
	}
	h, err := batch.Parse(run.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return h, slices.Clone(run.Bytes[:h.Size])
}

package partition_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/server/internal/partition"
)

// chunksOf are the bytes of all chunks there are, and what the reader gave away of each; whatever is kept is a copy made at once.
func chunksOf(t *testing.T, r *partition.Reader) (aliases, copies [][]byte, given []*[]byte) {
	t.Helper()
	for {
		chunk, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return aliases, copies, given
		}
		if err != nil {
			t.Fatal(err)
		}
		aliases, copies, given = append(aliases, chunk.Batches), append(copies, bytes.Clone(chunk.Batches)), append(given, r.Give())
	}
}

// What a reader gave away stays as it is, whatever others read into the same Buffers, until it is given back.
func TestGivenMemoryStays(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t)
	for i := range 200 {
		publish(t, r, records(fmt.Sprint(i, strings.Repeat("x", i*i%3000))))
	}
	var buffers partition.Buffers
	for _, maxBytes := range []int{0, 4 << 10, 5000} {
		options := partition.ReadOptions{Start: at(partition.AtEarliest), MaxBytes: maxBytes, Buffers: &buffers}
		var aliases, copies [][]byte
		var given []*[]byte
		for range 3 {
			reader, err := r.Read(options)
			if err != nil {
				t.Fatal(err)
			}
			a, c, g := chunksOf(t, reader)
			aliases, copies, given = append(aliases, a...), append(copies, c...), append(given, g...)
		}
		for i, b := range aliases {
			if given[i] == nil || !bytes.Equal(b, copies[i]) {
				t.Errorf("chunks of %d bytes: chunk %d was read into, or is of its own memory: %v", maxBytes, i, given[i] == nil)
			}
		}
		for _, memory := range given {
			clear((*memory)[:cap(*memory)]) // for the next round to read into
			buffers.GiveBack(memory)
		}
	}
	r.close(t)
}

// A chunk that is not as the log has it lies in no buffer: nothing is given away with it.
func TestCutChunksAreNotGiven(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t)
	publish(t, r, records("0", "1", "2"))
	var buffers partition.Buffers
	for name, o := range map[string]partition.ReadOptions{
		"cut in front": {Start: atOffset(1), Buffers: &buffers},
		"cut behind":   {Start: at(partition.AtEarliest), Stop: atOffset(2), Buffers: &buffers},
		"backwards":    {Start: atOffset(1), Stop: at(partition.AtNever), Backwards: true, Buffers: &buffers},
	} {
		reader, err := r.Read(o)
		if err != nil {
			t.Fatal(err)
		}
		aliases, _, given := chunksOf(t, reader)
		if len(aliases) != 1 || given[0] != nil {
			t.Errorf("%s: %d chunks, and the first gave memory away: %v", name, len(aliases), len(given) > 0 && given[0] != nil)
		}
	}
	r.close(t)
}

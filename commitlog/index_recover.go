package commitlog

import (
	"errors"
	"io"
	"io/fs"
	"sort"
)

// takeIndex opens the index of the last segment and keeps of it what lies below the position until, up to which the
// segment is known. What is not to be trusted is made anew from the batches.
func (r *recovery) takeIndex(t *tail, until int64) error {
	name := t.segment.indexName()
	file, err := r.files.acquire(name)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = r.files.create(name)
	}
	if err != nil {
		return err
	}
	t.index = indexWriter{file: file, base: t.segment.base, covered: segmentHeaderSize + 1}
	if until <= segmentHeaderSize {
		return file.Truncate(0)
	}
	size, err := file.Size()
	if err != nil {
		return err
	}
	last, n, err := lastIndexed(file, size, t.segment.base, until)
	if err == nil && (n == 0 || r.indexed(t.file, last)) {
		t.index.size = n * indexEntrySize
		if n > 0 {
			t.index.covered = last.position + indexInterval
		}
		if t.index.size == size {
			return nil
		}
		return file.Truncate(t.index.size)
	}
	if err != nil && !errors.Is(err, errIndex) {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	return r.rebuildIndex(t, until)
}

// lastIndexed finds the last entry below the position until in a file of that size, and how many entries there are up to and
// with it.
func lastIndexed(file *handle, size int64, base Position, until int64) (last indexEntry, n int64, err error) {
	var buf [indexEntrySize]byte
	read := func(i int) (indexEntry, error) {
		if _, err := file.ReadAt(buf[:], int64(i)*indexEntrySize); err != nil && !errors.Is(err, io.EOF) {
			return indexEntry{}, err
		}
		return parseIndexEntry(buf[:], base)
	}
	count := sort.Search(int(size/indexEntrySize), func(i int) bool {
		e, readErr := read(i)
		return readErr != nil || e.position >= until // what cannot be believed was written last
	})
	if count == 0 {
		return last, 0, nil
	}
	last, err = read(count - 1)
	return last, int64(count), err
}

// rebuildIndex adds the batches below the position until to an empty index, as far as they are sound.
func (r *recovery) rebuildIndex(t *tail, until int64) error {
	sc := newScanner(t.file, t.segment.name, segmentHeaderSize, until)
	for {
		e, err := sc.next()
		var corrupt *CorruptError
		if errors.Is(err, io.EOF) || errors.As(err, &corrupt) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.footer == nil {
			t.index.add(indexEntry{seq: e.header.Seq, offset: e.header.BaseOffset, time: e.header.Time, position: e.position})
		}
	}
}

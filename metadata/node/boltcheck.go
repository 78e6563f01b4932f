package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The file of bbolt is checked before bbolt opens it, because bbolt trusts its file: a pointer that rotted makes it
// panic, run in a circle or fault in its memory map, some of it on goroutines of its own where nobody can recover, and
// a rotten free list makes it overwrite live pages. This reader knows the format (bbolt's internal/common, version 2;
// numbers are in the machine's order) and accepts a file only if every page is accounted for exactly once.
//
// bbolt survives one torn meta page by falling back to the other one, one transaction back. We refuse that: the
// fields of a meta page lie within one sector, which a crash does not tear, and falling back would silently forget a
// vote or an acknowledged entry if the page rotted instead.
const (
	boltMagic        = 0xED0CDAED
	boltVersion      = 2
	boltMetaAt       = 16 // behind the page's header
	boltMetaBytes    = 64
	boltPageHeader   = 16 // id u64 | flags u16 | count u16 | overflow u32
	boltElementBytes = 16
	boltBucketBytes  = 16 // root u64 | sequence u64

	boltBranch   = 0x01
	boltLeaf     = 0x02
	boltMetaPage = 0x04
	boltFreelist = 0x10

	boltBucketEntry = 0x01
)

type boltMeta struct {
	pageSize                   uint32
	root, freelist, pages, txn uint64
}

// boltReader walks one file. visit sees every key and value of every bucket once, keys in order; its error ends it.
type boltReader struct {
	file  io.ReaderAt
	size  int64
	meta  boltMeta
	seen  map[uint64]bool // pages that are in use
	visit func(bucket, key, value []byte) error
}

// checkBolt reads a whole file of bbolt and returns what is wrong with it, or what visit returned.
func checkBolt(file io.ReaderAt, size int64, visit func(bucket, key, value []byte) error) error {
	r := &boltReader{file: file, size: size, seen: map[uint64]bool{0: true, 1: true}, visit: visit}
	if err := r.readMeta(); err != nil {
		return err
	}
	if err := r.walk(r.meta.root, nil, nil, r.bucket); err != nil {
		return err
	}
	return r.checkFreelist()
}

func (r *boltReader) readMeta() error {
	first, err := r.metaAt(0, 0)
	if err != nil {
		return fmt.Errorf("meta page 0: %w", err)
	}
	second, err := r.metaAt(1, int64(first.pageSize))
	if err != nil {
		return fmt.Errorf("meta page 1: %w", err)
	}
	if second.pageSize != first.pageSize {
		return errors.New("meta pages disagree about the size of a page")
	}
	r.meta = first
	if second.txn > first.txn {
		r.meta = second
	}
	if older := min(first.txn, second.txn); r.meta.txn != older+1 || first.txn%2 != 0 {
		return fmt.Errorf("meta pages are of transactions %d and %d, which do not follow each other", first.txn, second.txn)
	}
	if r.meta.pages > uint64(r.size)/uint64(r.meta.pageSize) {
		return fmt.Errorf("file has %d bytes, its %d pages of %d need more", r.size, r.meta.pages, r.meta.pageSize)
	}
	return nil
}

func (r *boltReader) metaAt(id uint64, offset int64) (boltMeta, error) {
	var page [boltMetaAt + boltMetaBytes]byte
	if _, err := r.file.ReadAt(page[:], offset); err != nil {
		return boltMeta{}, fmt.Errorf("cannot be read: %w", err)
	}
	order, raw := binary.NativeEndian, page[boltMetaAt:]
	if order.Uint64(page[:]) != id || order.Uint16(page[8:]) != boltMetaPage {
		return boltMeta{}, errors.New("is no meta page")
	}
	if order.Uint32(raw) != boltMagic || order.Uint32(raw[4:]) != boltVersion {
		return boltMeta{}, errors.New("is not of a bolt file of version 2")
	}
	sum := fnv.New64a()
	_, _ = sum.Write(raw[:56])
	if sum.Sum64() != order.Uint64(raw[56:]) {
		return boltMeta{}, errors.New("checksum mismatch")
	}
	meta := boltMeta{
		pageSize: order.Uint32(raw[8:]), root: order.Uint64(raw[16:]), freelist: order.Uint64(raw[32:]),
		pages: order.Uint64(raw[40:]), txn: order.Uint64(raw[48:]),
	}
	if meta.pageSize < 1024 || meta.pageSize > 1<<24 || meta.pageSize&(meta.pageSize-1) != 0 {
		return boltMeta{}, fmt.Errorf("says that pages have %d bytes", meta.pageSize)
	}
	return meta, nil
}

// page reads a page with those that it overflows into, and notes them all as used.
func (r *boltReader) page(id uint64) ([]byte, error) {
	size := uint64(r.meta.pageSize)
	if id >= r.meta.pages {
		return nil, fmt.Errorf("page %d lies beyond the %d pages of the file", id, r.meta.pages)
	}
	head := make([]byte, boltPageHeader)
	if _, err := r.file.ReadAt(head, int64(id*size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if said := binary.NativeEndian.Uint64(head); said != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, said)
	}
	pages := 1 + uint64(binary.NativeEndian.Uint32(head[12:]))
	if pages > r.meta.pages-id {
		return nil, fmt.Errorf("page %d overflows into %d pages, beyond the end of the file", id, pages-1)
	}
	for used := id; used < id+pages; used++ {
		if r.seen[used] {
			return nil, fmt.Errorf("page %d is used twice", used)
		}
		r.seen[used] = true
	}
	page := make([]byte, pages*size)
	if _, err := r.file.ReadAt(page, int64(id*size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return page, nil
}

// leafVisit sees the elements of leaf pages.
type leafVisit func(flags uint32, key, value []byte) error

// walk reads the tree below page id, whose keys must lie in [low, high); nil is no bound.
func (r *boltReader) walk(id uint64, low, high []byte, visit leafVisit) error {
	page, err := r.page(id)
	if err != nil {
		return err
	}
	if binary.NativeEndian.Uint16(page[8:]) == boltLeaf {
		return walkLeaf(page, low, high, visit)
	}
	if binary.NativeEndian.Uint16(page[8:]) != boltBranch {
		return fmt.Errorf("page %d is neither branch nor leaf", id)
	}
	count := int(binary.NativeEndian.Uint16(page[10:]))
	if count == 0 {
		return fmt.Errorf("page %d is a branch without children", id)
	}
	keys, children := make([][]byte, count+1), make([]uint64, count)
	for i := range count {
		at := boltPageHeader + i*boltElementBytes
		if at+boltElementBytes > len(page) {
			return fmt.Errorf("page %d ends within its elements", id)
		}
		position, size := binary.NativeEndian.Uint32(page[at:]), binary.NativeEndian.Uint32(page[at+4:])
		children[i] = binary.NativeEndian.Uint64(page[at+8:])
		if keys[i], err = cut(page, uint64(at)+uint64(position), size); err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		if err := inOrder(keys[i], low, high, i > 0); err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		low = keys[i]
	}
	keys[count] = high
	for i, child := range children {
		if err := r.walk(child, keys[i], keys[i+1], visit); err != nil {
			return err
		}
	}
	return nil
}

// walkLeaf reads the elements of one leaf page, which may be one that lies inside a bucket's value.
func walkLeaf(page, low, high []byte, visit leafVisit) error {
	id := binary.NativeEndian.Uint64(page)
	for i := range int(binary.NativeEndian.Uint16(page[10:])) {
		at := boltPageHeader + i*boltElementBytes
		if at+boltElementBytes > len(page) {
			return fmt.Errorf("page %d ends within its elements", id)
		}
		field := func(n int) uint32 { return binary.NativeEndian.Uint32(page[at+4*n:]) }
		start := uint64(at) + uint64(field(1))
		key, err := cut(page, start, field(2))
		if err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		value, err := cut(page, start+uint64(field(2)), field(3))
		if err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		if err := inOrder(key, low, high, i > 0); err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		low = key
		if err := visit(field(0), key, value); err != nil {
			return err
		}
	}
	return nil
}

// bucket reads the bucket that an element of the root holds.
func (r *boltReader) bucket(flags uint32, name, value []byte) error {
	if flags != boltBucketEntry || len(value) < boltBucketBytes {
		return fmt.Errorf("%q is no bucket", name)
	}
	visit := func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return fmt.Errorf("key %x in bucket %q has flags %x", key, name, flags)
		}
		return r.visit(name, key, value)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return r.walk(root, nil, nil, visit)
	}
	inline := value[boltBucketBytes:]
	if len(inline) < boltPageHeader || binary.NativeEndian.Uint64(inline) != 0 ||
		binary.NativeEndian.Uint16(inline[8:]) != boltLeaf {
		return fmt.Errorf("bucket %q has no leaf page", name)
	}
	return walkLeaf(inline, nil, nil, visit)
}

// checkFreelist compares the pages that are free with those that are in use: together they are all.
func (r *boltReader) checkFreelist() error {
	page, err := r.page(r.meta.freelist)
	if err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	if binary.NativeEndian.Uint16(page[8:]) != boltFreelist {
		return fmt.Errorf("page %d is no free list", r.meta.freelist)
	}
	ids, count := page[boltPageHeader:], uint64(binary.NativeEndian.Uint16(page[10:]))
	if count == 0xFFFF {
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		return fmt.Errorf("free list names %d pages and has no room for them", count)
	}
	for i := range count {
		id := binary.NativeEndian.Uint64(ids[8*i:])
		if id >= r.meta.pages || r.seen[id] {
			return fmt.Errorf("free list names page %d, which is in use, named twice or beyond the end", id)
		}
		r.seen[id] = true
	}
	if uint64(len(r.seen)) != r.meta.pages {
		return fmt.Errorf("%d pages are neither free nor in use", r.meta.pages-uint64(len(r.seen)))
	}
	return nil
}

func cut(page []byte, start uint64, size uint32) ([]byte, error) {
	if end := start + uint64(size); end <= uint64(len(page)) {
		return page[start:end], nil
	}
	return nil, fmt.Errorf("bytes %d to %d lie beyond the page's %d", start, start+uint64(size), len(page))
}

// inOrder checks a key against its neighbours: above low if after, at or above low if not, and below high.
func inOrder(key, low, high []byte, after bool) error {
	switch order := bytes.Compare(key, low); {
	case len(key) == 0:
		return errors.New("key is empty")
	case order < 0 || (after && order == 0), high != nil && bytes.Compare(key, high) >= 0:
		return fmt.Errorf("key %x is out of order", key)
	}
	return nil
}

package vfs

import (
	"bytes"
	"math"
	"syscall"
)

// maxFileSize bounds the table of pages of a sparse file.
const maxFileSize = 1 << 34

// contents is what a file of a Mem holds: what is read, what is durable, and the changes in between. It knows nothing of
// names. The mutex of the Mem guards it.
type contents struct {
	cache   image
	durable image

	// journal has the changes that are not durable, in order. The cache is the durable image with all of them applied,
	// save for stale pages.
	journal []contentChange

	// dirty has the pages written since the journal began, by index.
	dirty map[int]dirtyPage

	// stale has the pages that a failed sync marked as clean: the cache shows what the disk does not hold.
	stale map[int]struct{}

	// cut is the smallest size that a change in the journal shrank the file to; math.MaxInt64 if none did.
	cut int64

	// taken counts the pages of the cache that take space.
	taken int64
	disk  *space
}

// contentChange is a change of contents that is not durable yet.
type contentChange struct {
	kind   changeKind
	offset int64 // for written and reservedSpace
	length int64
	data   []byte // for written
	size   int64  // of the file after the change
}

type changeKind uint8

const (
	written changeKind = iota
	shrunk
	grown
	reservedSpace
)

// dirtyPage is a page with writes that are not durable.
type dirtyPage struct {
	base  *page // the page before the first of them
	first int   // that write's place in the journal
	own   *page // the page of the cache that may be changed in place, if it is still there
}

// space counts the pages of a disk.
type space struct {
	taken int64
	limit int64
}

func newContents(im image, disk *space) *contents {
	c := &contents{cache: im, durable: im.clone(), cut: math.MaxInt64, disk: disk}
	for _, p := range im.pages {
		if p != nil {
			c.taken++
		}
	}
	disk.taken += c.taken
	return c
}

// free gives back the space. The contents are not used any more.
func (c *contents) free() {
	c.disk.taken -= c.taken
	c.taken = 0
}

// write changes the cache. When the disk is full it writes what fits and returns how much that was.
func (c *contents) write(p []byte, offset int64) (int, error) {
	if offset > maxFileSize-int64(len(p)) {
		return 0, syscall.EFBIG
	}
	fits := c.fitting(offset, len(p))
	if fits > 0 {
		c.apply(p[:fits], offset)
	}
	if fits < len(p) {
		return fits, syscall.ENOSPC
	}
	return fits, nil
}

// fitting is how many of n bytes from offset on find space.
func (c *contents) fitting(offset int64, n int) int {
	left := c.disk.limit - c.disk.taken
	for done := 0; done < n; {
		i, at := split(offset + int64(done))
		if c.cache.page(i) == nil {
			if left <= 0 {
				return done
			}
			left--
		}
		done += pageSize - at
	}
	return n
}

func (c *contents) apply(p []byte, offset int64) {
	for done := 0; done < len(p); {
		i, at := split(offset + int64(done))
		done += copy(c.private(i)[at:], p[done:])
	}
	c.cache.size = max(c.cache.size, offset+int64(len(p)))
	c.journal = append(c.journal, contentChange{
		kind: written, offset: offset, length: int64(len(p)), data: bytes.Clone(p), size: c.cache.size,
	})
}

// private returns a page of the cache that no other image holds, for the write that is next in the journal.
func (c *contents) private(i int) *page {
	old := c.cache.page(i)
	d, dirty := c.dirty[i]
	if dirty && d.own == old && old != nil {
		return old
	}
	if !dirty {
		d = dirtyPage{base: old, first: len(c.journal)}
		delete(c.stale, i)
	}
	d.own = copyPage(old)
	if c.dirty == nil {
		c.dirty = map[int]dirtyPage{}
	}
	c.dirty[i] = d
	if old == nil {
		c.take(1)
	}
	c.cache.set(i, d.own)
	return d.own
}

func (c *contents) take(pages int64) {
	c.taken += pages
	c.disk.taken += pages
}

func (c *contents) truncate(size int64) error {
	if size > maxFileSize {
		return syscall.EFBIG
	}
	change := contentChange{kind: grown, size: size}
	if size == c.cache.size {
		return nil
	}
	if size < c.cache.size {
		change.kind = shrunk
		c.cut = min(c.cut, size)
		for i := pagesFor(size); i < len(c.cache.pages); i++ {
			if c.cache.pages[i] != nil {
				c.take(-1)
			}
		}
	}
	c.cache.resize(size)
	c.journal = append(c.journal, change)
	return nil
}

func (c *contents) preallocate(offset, length int64) error {
	if offset > maxFileSize-length {
		return syscall.EFBIG
	}
	missing := int64(0)
	for i := int(offset / pageSize); i < pagesFor(offset+length); i++ {
		if c.cache.page(i) == nil {
			missing++
		}
	}
	if missing > c.disk.limit-c.disk.taken {
		return syscall.ENOSPC
	}
	c.cache.size = max(c.cache.size, offset+length)
	c.cache.reserve(offset, length)
	c.take(missing)
	c.journal = append(c.journal, contentChange{
		kind: reservedSpace, offset: offset, length: length, size: c.cache.size,
	})
	return nil
}

// sync makes the cache durable, save for stale pages.
func (c *contents) sync() {
	c.durable.resize(min(c.cut, c.durable.size))
	c.durable.resize(c.cache.size)
	for i := range c.dirty {
		if i < len(c.cache.pages) {
			c.durable.set(i, c.cache.pages[i])
		}
	}
	for _, change := range c.journal {
		if change.kind == reservedSpace {
			c.syncSpace(change.offset, change.length)
		}
	}
	clear(c.journal)
	c.journal = c.journal[:0]
	clear(c.dirty)
	c.cut = math.MaxInt64
}

// syncSpace makes durable that pages without contents take space, as far as they still do.
func (c *contents) syncSpace(offset, length int64) {
	for i := int(offset / pageSize); i < min(pagesFor(offset+length), len(c.cache.pages)); i++ {
		if c.cache.pages[i] != nil && c.durable.page(i) == nil {
			c.durable.set(i, reserved)
		}
	}
}

// failSync marks the dirty pages as clean though they are not durable. Changes of the size stay as they were.
func (c *contents) failSync() {
	if c.stale == nil {
		c.stale = map[int]struct{}{}
	}
	for i := range c.dirty {
		c.stale[i] = struct{}{}
	}
	clear(c.dirty)
	for i := range c.journal {
		if change := &c.journal[i]; change.kind == written {
			*change = contentChange{kind: grown, size: change.size}
		}
	}
}

// dropCache makes stale pages show what the disk holds: the durable page, less what was cut off meanwhile.
func (c *contents) dropCache() {
	for i := range c.stale {
		if i < len(c.cache.pages) {
			c.cache.pages[i] = c.onDisk(i)
		}
	}
	clear(c.stale)
}

func (c *contents) onDisk(i int) *page {
	p := c.durable.page(i)
	if begin := int64(i) * pageSize; p != nil && c.cut < begin+pageSize {
		p = p.zeroedFrom(int(max(0, c.cut-begin)))
	}
	if p == nil && c.cache.pages[i] != nil {
		return reserved // it keeps the space that it took
	}
	return p
}

// damage changes bytes at rest: what is read, what is durable, and what a write to the same sector would bring along.
func (c *contents) damage(offset, length int64, change func([]byte)) {
	for done := int64(0); done < length; {
		i, at := split(offset + done)
		n := min(length-done, int64(pageSize-at))
		damaged := func(p *page) *page {
			p = copyPage(p)
			change(p[at : at+int(n)])
			return p
		}
		if c.cache.page(i) == nil {
			c.take(1)
		}
		c.cache.set(i, damaged(c.cache.page(i)))
		if pos := int64(i)*pageSize + int64(at); pos < c.durable.size {
			c.durable.set(i, damaged(c.durable.page(i)))
			c.durable.clip()
		}
		if d, dirty := c.dirty[i]; dirty {
			d.base = damaged(d.base)
			c.dirty[i] = d
		}
		done += n
	}
}

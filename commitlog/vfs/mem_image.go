package vfs

import "slices"

const (
	pageSize   = 4096 // the unit of the cache and of space
	sectorSize = 512  // the unit that reaches the disk whole or not at all
)

type page [pageSize]byte

// reserved stands for pages of zeros that take space. It is never written.
var reserved = new(page)

// image is what a file holds: pages, and nil for pages of zeros that take no space. Images share pages, so a page that
// an image holds is not changed but replaced; contents.private tells the one exception.
//
// Invariants: no page begins at or beyond the size; the bytes of the last page beyond the size are zero.
type image struct {
	size  int64
	pages []*page
}

func (im *image) page(i int) *page {
	if i >= len(im.pages) {
		return nil
	}
	return im.pages[i]
}

// set replaces a page. The caller sees to the size.
func (im *image) set(i int, p *page) {
	if missing := i + 1 - len(im.pages); missing > 0 {
		im.pages = append(im.pages, make([]*page, missing)...)
	}
	im.pages[i] = p
}

// resize sets the size: what is cut off is gone, what is added is zero.
func (im *image) resize(size int64) {
	shrinks := size < im.size
	im.size = size
	if shrinks {
		im.clip()
	}
}

// clip restores the invariants after the size or pages were set.
func (im *image) clip() {
	if n := pagesFor(im.size); n < len(im.pages) {
		clear(im.pages[n:])
		im.pages = im.pages[:n]
	}
	i, rest := int(im.size/pageSize), int(im.size%pageSize)
	if rest == 0 {
		return
	}
	if last := im.page(i); last != nil {
		im.pages[i] = last.zeroedFrom(rest)
	}
}

// reserve gives space to the pages that overlap the range.
func (im *image) reserve(offset, length int64) {
	for i := int(offset / pageSize); i < pagesFor(offset+length); i++ {
		if im.page(i) == nil {
			im.set(i, reserved)
		}
	}
}

// readAt copies what there is and returns how much that was.
func (im *image) readAt(p []byte, offset int64) int {
	if offset >= im.size {
		return 0
	}
	p = p[:min(int64(len(p)), im.size-offset)]
	for done := 0; done < len(p); {
		i, at := split(offset + int64(done))
		rest := p[done:min(len(p), done+pageSize-at)]
		if from := im.page(i); from != nil {
			copy(rest, from[at:])
		} else {
			clear(rest)
		}
		done += len(rest)
	}
	return len(p)
}

// clone shares the pages.
func (im *image) clone() image {
	return image{size: im.size, pages: slices.Clone(im.pages)}
}

// zeroedFrom is the page with zeros from there on: a copy, unless it is so already.
func (p *page) zeroedFrom(at int) *page {
	for _, b := range p[at:] {
		if b != 0 {
			zeroed := new(page)
			copy(zeroed[:at], p[:at])
			return zeroed
		}
	}
	return p
}

// copyPage returns a page of its own with the same bytes; nil is zeros.
func copyPage(p *page) *page {
	own := new(page)
	if p != nil {
		*own = *p
	}
	return own
}

// split is the page that holds a position, and the place in it.
func split(offset int64) (index, at int) {
	return int(offset / pageSize), int(offset % pageSize)
}

// pagesFor is the number of pages that hold so many bytes.
func pagesFor(size int64) int {
	return int((size + pageSize - 1) / pageSize)
}

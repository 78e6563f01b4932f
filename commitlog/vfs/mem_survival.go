package vfs

import (
	"iter"
	"math"
	"math/rand/v2"
)

// Keep says what of all that was not synced survives a crash.
type Keep uint8

const (
	KeepRandom Keep = iota // some of it, chosen from the seed
	KeepNone               // nothing
	KeepAll                // everything but what a failed SyncData left behind
)

// survival is the outcome of a crash for the changes of one file.
//
// Changes of metadata, that is of the size and the space, survive up to one of them, as in a file system's journal. What
// a sector holds was on its way independently of that: it is the sector as it was after some change, see reached.
type survival struct {
	file     *contents
	metadata int // that many changes of the journal survived as far as the size is concerned

	// reached tells for each sector of a dirty page the last change that reached the disk, as its place in the
	// journal plus one; 0 is none.
	reached map[int]*[pageSize / sectorSize]int
}

// afterCrash is what the file holds after a crash. Choices makes the source of them, which few files need.
func (c *contents) afterCrash(keep Keep, choices func() *rand.Rand) image {
	out := c.durable.clone()
	if keep == KeepNone || len(c.journal) == 0 {
		return out
	}
	rng := choices()
	s := survival{file: c, metadata: len(c.journal), reached: map[int]*[pageSize / sectorSize]int{}}
	if keep == KeepRandom {
		s.metadata = survivingPrefix(rng, len(c.journal))
	}
	s.decide(keep, rng)
	for _, change := range c.journal[:s.metadata] {
		out.resize(change.size)
		if change.kind == reservedSpace {
			out.reserve(change.offset, change.length)
		}
	}
	for i, p := range s.replay(&out) {
		if i < pagesFor(out.size) {
			out.set(i, p)
		}
	}
	out.clip()
	return out
}

// survivingPrefix chooses how many of n changes survive: none, all, or any number.
func survivingPrefix(rng *rand.Rand, n int) int {
	switch rng.IntN(3) {
	case 0:
		return 0
	case 1:
		return n
	default:
		return rng.IntN(n + 1)
	}
}

// likelihood chooses how likely each of a number of changes survives, so that few, most and all do so often enough.
func likelihood(keep Keep, rng *rand.Rand) float64 {
	if keep == KeepAll {
		return 1
	}
	return float64(rng.IntN(5)) / 4
}

// decide goes through the writes and lets sectors of them reach the disk.
func (s *survival) decide(keep Keep, rng *rand.Rand) {
	lives := likelihood(keep, rng)
	gone := int64(math.MaxInt64) // what is written from here on lies in space that a lost truncation would have freed
	for j, change := range s.file.journal {
		switch change.kind {
		case shrunk:
			if j < s.metadata {
				s.cut(j, change.size)
			} else {
				gone = min(gone, (change.size+sectorSize-1)/sectorSize*sectorSize)
			}
		case written:
			if rng.Float64() >= lives {
				continue
			}
			torn := keep == KeepRandom && rng.IntN(3) == 0
			for pos := range sectors(change) {
				if pos < gone && (!torn || rng.IntN(2) == 0) {
					s.reach(pos, j)
				}
			}
		case grown, reservedSpace:
		}
	}
}

// reach notes that the sector reached the disk as it was after change j.
func (s *survival) reach(pos int64, j int) {
	i, at := split(pos)
	if s.reached[i] == nil {
		s.reached[i] = new([pageSize / sectorSize]int)
	}
	s.reached[i][at/sectorSize] = j + 1
}

// cut lets the truncation at place j reach the disk. The sectors beyond the size are given up. The one that it goes
// through is as it was after it: file systems write that one before they give up space.
func (s *survival) cut(j int, size int64) {
	for i, last := range s.reached {
		for k := range last {
			if int64(i)*pageSize+int64(k)*sectorSize >= size {
				last[k] = 0
			}
		}
	}
	i, at := split(size)
	if d, dirty := s.file.dirty[i]; dirty && d.first < j && at%sectorSize > 0 {
		s.reach(size, j)
	}
}

// replay makes the pages that reached sectors belong to; the other sectors of them are those of out.
func (s *survival) replay(out *image) map[int]*page {
	pages := make(map[int]*page, len(s.reached))
	for i, last := range s.reached {
		p := copyPage(out.page(i))
		base := s.file.dirty[i].base
		if base == nil {
			base = reserved
		}
		for k := range last {
			if last[k] > 0 {
				copy(p[k*sectorSize:(k+1)*sectorSize], base[k*sectorSize:])
			}
		}
		pages[i] = p
	}
	for j, change := range s.file.journal {
		switch change.kind {
		case written:
			for pos, end := range sectors(change) {
				i, at := split(pos)
				if last := s.reached[i]; last != nil && last[at/sectorSize] > j {
					copy(pages[i][at:], change.data[pos-change.offset:end-change.offset])
				}
			}
		case shrunk:
			s.zero(pages, j, change.size)
		case grown, reservedSpace:
		}
	}
	return pages
}

// zero does to reached sectors what the truncation at place j did to them before later writes.
func (s *survival) zero(pages map[int]*page, j int, size int64) {
	for i, last := range s.reached {
		if j < s.file.dirty[i].first {
			continue // the page was cut before it became dirty
		}
		for k := range last {
			begin := int64(i)*pageSize + int64(k)*sectorSize
			if last[k] > j && begin+sectorSize > size {
				clear(pages[i][k*sectorSize+int(max(0, size-begin)) : (k+1)*sectorSize])
			}
		}
	}
}

// sectors yields the parts of a write that lie in one sector each, as begin and end.
func sectors(change contentChange) iter.Seq2[int64, int64] {
	return func(yield func(pos, end int64) bool) {
		limit := change.offset + change.length
		for pos := change.offset; pos < limit; {
			end := min(limit, (pos/sectorSize+1)*sectorSize)
			if !yield(pos, end) {
				return
			}
			pos = end
		}
	}
}

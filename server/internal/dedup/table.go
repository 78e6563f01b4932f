package dedup

import "math/bits"

// table finds an id among entries: linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing",
// 1980), which grows and shrinks by one bucket at a time, so no append ever waits for a great table to be copied. A
// bucket is a chain of positions, newest first, linked through the entries: 4 bytes a bucket and 4 an id. What is dropped
// at the front of the entries is the end of its chain and needs no unlinking.
type table struct {
	segments []*segment
	buckets  int
}

const (
	segmentLen   = 64
	segmentBytes = 4 * segmentLen
)

// segment holds the links to the newest id of each of so many buckets.
type segment [segmentLen]uint32

func (t *table) head(bucket int) *uint32 { return &t.segments[bucket/segmentLen][bucket%segmentLen] }

// headOf points to the first link of the bucket in which an id belongs.
func (t *table) headOf(id *ID) *uint32 {
	hash := id.bucket()
	full := 1 << bits.Len(uint(t.buckets-1))
	bucket := int(hash & uint64(full-1))
	if bucket >= t.buckets {
		bucket = int(hash & uint64(full/2-1))
	}
	return t.head(bucket)
}

// find returns the link that leads to the newest entry with an id, and that entry's position.
func (t *table) find(e *entries, id *ID) (link *uint32, position uint64, found bool) {
	if t.buckets == 0 {
		return nil, 0, false
	}
	link = t.headOf(id)
	for {
		position, ok := e.follow(*link)
		if !ok {
			return nil, 0, false
		}
		if *e.id(position) == *id {
			return link, position, true
		}
		link = e.link(position)
	}
}

// insert puts a position into its bucket, which is ordered by position, the newest first.
func (t *table) insert(e *entries, position uint64) {
	link := t.headOf(e.id(position))
	for {
		next, ok := e.follow(*link)
		if !ok || next < position {
			*e.link(position) = *link
			*link = uint32(position)
			return
		}
		link = e.link(next)
	}
}

// fit makes as many buckets as the number of ids asks for: at least as many, and at most a third more.
func (t *table) fit(e *entries) {
	for t.buckets == 0 || e.len() > t.buckets {
		t.grow(e)
	}
	for t.buckets > segmentLen && 4*e.len() < 3*t.buckets {
		t.shrink(e)
	}
}

// grow splits a bucket; the first time it makes a segment of them.
func (t *table) grow(e *entries) {
	if t.buckets == len(t.segments)*segmentLen {
		t.segments = append(t.segments, new(segment))
	}
	if t.buckets == 0 {
		t.buckets = segmentLen
		for i := range t.segments[0] {
			t.segments[0][i] = e.nowhere()
		}
		return
	}
	added := t.buckets
	bit := uint64(1) << (bits.Len(uint(added)) - 1)
	stay, leave := t.head(added-int(bit)), t.head(added)
	t.buckets++
	link := *stay
	for {
		position, ok := e.follow(link)
		if !ok {
			break
		}
		to := &stay
		if e.id(position).bucket()&bit != 0 {
			to = &leave
		}
		**to = link
		*to = e.link(position)
		link = **to
	}
	*stay, *leave = e.nowhere(), e.nowhere()
}

// shrink merges the last bucket into the one that it was split from.
func (t *table) shrink(e *entries) {
	last := t.buckets - 1
	bit := 1 << (bits.Len(uint(last)) - 1)
	into := t.head(last - bit)
	one, other := *into, *t.head(last)
	t.buckets--
	for {
		p, ok := e.follow(one)
		q, more := e.follow(other)
		if !ok && !more {
			*into = e.nowhere()
			break
		}
		if !ok || more && q > p {
			p, one, other = q, other, one
		}
		*into = one
		into = e.link(p)
		one = *into
	}
	if spare := len(t.segments) - 1; t.buckets <= (spare-1)*segmentLen {
		t.segments[spare] = nil
		t.segments = t.segments[:spare]
	}
}

func (t *table) bytes() int64 {
	return int64(len(t.segments))*segmentBytes + int64(cap(t.segments))*pointerLen
}

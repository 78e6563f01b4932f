package dedup

// A window's ids lie in the order in which they were appended, in chunks of 64, column by column so that no byte is lost
// to alignment: 40 bytes an id. A position counts the ids from the first on, for ever; chunk and place follow from it.
const (
	chunkLen   = 64
	chunkBytes = 2688 // what the allocator takes for a chunk of 2560: 42 bytes an id
	pointerLen = 8
	keptChunks = 2 // free chunks that a window keeps for what comes next
)

type chunk struct {
	ids     [chunkLen]ID
	times   [chunkLen]int64
	offsets [chunkLen]int64
	seqs    [chunkLen]uint32 // the lower half
	links   [chunkLen]uint32 // lower half of the position of the next older id of the bucket
}

// entry is an id that was stored.
type entry struct {
	id     ID
	offset int64
	seq    uint64
	time   int64 // append time, unix nanoseconds
}

// entries are the ids from position front, inclusive, to position end.
type entries struct {
	chunks ring[*chunk]
	free   []*chunk
	front  uint64
	end    uint64
	newest uint64 // the seq last added: no entry has a greater one, and none a seq 2^32 below it
}

func (e *entries) len() int { return int(e.end - e.front) }

// full says that the next id needs another chunk.
func (e *entries) full() bool { return int(e.end/chunkLen-e.front/chunkLen) >= e.chunks.len() }

func (e *entries) chunk(position uint64) (c *chunk, place int) {
	return *e.chunks.at(int(position/chunkLen - e.front/chunkLen)), int(position % chunkLen)
}

func (e *entries) id(position uint64) *ID {
	c, i := e.chunk(position)
	return &c.ids[i]
}

func (e *entries) time(position uint64) int64 {
	c, i := e.chunk(position)
	return c.times[i]
}

func (e *entries) seq(position uint64) uint64 {
	c, i := e.chunk(position)
	return e.newest - uint64(uint32(e.newest)-c.seqs[i])
}

func (e *entries) get(position uint64) entry {
	c, i := e.chunk(position)
	return entry{id: c.ids[i], offset: c.offsets[i], seq: e.seq(position), time: c.times[i]}
}

// link points to the link of the id at a position.
func (e *entries) link(position uint64) *uint32 {
	c, i := e.chunk(position)
	return &c.links[i]
}

// follow returns the position that a link names, and whether an id is there: a bucket ends where its ids were dropped.
func (e *entries) follow(link uint32) (position uint64, ok bool) {
	distance := uint64(uint32(e.end) - link)
	return e.end - distance, distance > 0 && distance <= e.end-e.front
}

// nowhere is a link that names no id, now or later.
func (e *entries) nowhere() uint32 { return uint32(e.front - 1) }

func (e *entries) push(added entry) (position uint64) {
	if e.full() {
		e.chunks.push(e.newChunk())
	}
	position, e.newest = e.end, added.seq
	e.end++
	c, i := e.chunk(position)
	c.ids[i], c.times[i], c.offsets[i], c.seqs[i] = added.id, added.time, added.offset, uint32(added.seq)
	return position
}

// popFront drops the oldest id.
func (e *entries) popFront() {
	e.front++
	if e.front%chunkLen == 0 {
		e.release(e.chunks.popFront())
	}
}

// popBack drops the newest id.
func (e *entries) popBack() {
	e.end--
	if e.end%chunkLen == 0 {
		e.release(e.chunks.popBack())
	}
}

func (e *entries) newChunk() *chunk {
	if last := len(e.free) - 1; last >= 0 {
		c := e.free[last]
		e.free[last] = nil
		e.free = e.free[:last]
		return c
	}
	return new(chunk)
}

func (e *entries) release(c *chunk) {
	if len(e.free) < keptChunks {
		e.free = append(e.free, c)
	}
}

// bytes is the memory that the ids take.
func (e *entries) bytes() int64 {
	return int64(e.chunks.len()+len(e.free))*chunkBytes + int64(len(e.chunks.buf))*pointerLen
}

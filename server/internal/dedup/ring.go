package dedup

// ring is a queue with two ends. It keeps its memory, but for what a burst left behind. The zero ring is empty.
type ring[T any] struct {
	buf   []T // its length is a power of two
	first int // index of the front
	n     int
}

// keptRing is the number of places that an empty ring keeps.
const keptRing = 64

func (r *ring[T]) len() int { return r.n }

// at points to the i-th element from the front; i is below len.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.first+i)&(len(r.buf)-1)] }

func (r *ring[T]) front() *T { return r.at(0) }

func (r *ring[T]) back() *T { return r.at(r.n - 1) }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		r.resize(max(4, 2*r.n))
	}
	r.n++
	*r.back() = v
}

func (r *ring[T]) popFront() T {
	p := r.front()
	v := *p
	var zero T
	*p = zero
	r.first = (r.first + 1) & (len(r.buf) - 1)
	r.n--
	r.shrink()
	return v
}

func (r *ring[T]) popBack() T {
	p := r.back()
	v := *p
	var zero T
	*p = zero
	r.n--
	r.shrink()
	return v
}

func (r *ring[T]) shrink() {
	if len(r.buf) > keptRing && r.n < len(r.buf)/8 {
		r.resize(len(r.buf) / 2)
	}
}

func (r *ring[T]) resize(places int) {
	buf := make([]T, places)
	for i := range r.n {
		buf[i] = *r.at(i)
	}
	r.buf, r.first = buf, 0
}

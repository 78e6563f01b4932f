package capture

import (
	"sync"
	"sync/atomic"
)

// message is one that NATS has delivered. Its bytes are valid until the dispatcher has handed it on.
type message struct {
	route          *route
	subject, reply []byte
	header         []byte // as sent; nil: none
	data           []byte

	passed chan<- struct{} // not nil: this is no message, and whoever waits for those before it is told here
}

// weight is what a message counts while it waits: its bytes, and what is kept beside them.
func (m *message) weight() int {
	return len(m.subject) + len(m.reply) + len(m.header) + len(m.data) + messageOverhead
}

const messageOverhead = 128

// arrivals are the messages that wait for the dispatcher, in their order.
type arrivals struct {
	bytes atomic.Int64  // that wait, with what the dispatcher has at hand
	some  chan struct{} // holds one token when something waits
	pool  sync.Pool     // of parcels

	mu      sync.Mutex
	waiting []*parcel
}

// parcel is what one read of a connection brought, and the memory that holds it.
type parcel struct {
	messages []message
	buffer   *buffer // nil: none
}

func newArrivals() *arrivals { return &arrivals{some: make(chan struct{}, 1)} }

// parcel is an empty one, to be filled and added.
func (a *arrivals) parcel() *parcel {
	if p, ok := a.pool.Get().(*parcel); ok {
		return p
	}
	return &parcel{}
}

// add adds the parcel, whose messages are in the buffer.
func (a *arrivals) add(p *parcel, in *buffer) {
	if in != nil && !mutant("capture-buffers-not-held") {
		in.hold()
		p.buffer = in
	}
	bytes := 0
	for i := range p.messages {
		bytes += p.messages[i].weight()
	}
	a.bytes.Add(int64(bytes))
	a.mu.Lock()
	a.waiting = append(a.waiting, p)
	a.mu.Unlock()
	select {
	case a.some <- struct{}{}:
	default:
	}
}

// take takes all that waits, and leaves the memory of parcels for what comes next.
func (a *arrivals) take(parcels []*parcel) []*parcel {
	clear(parcels)
	a.mu.Lock()
	defer a.mu.Unlock()
	parcels, a.waiting = a.waiting, parcels[:0]
	return parcels
}

// release gives the parcel back, when all of it has been handed on.
func (a *arrivals) release(p *parcel) {
	if p.buffer != nil {
		p.buffer.release()
	}
	clear(p.messages)
	p.messages, p.buffer = p.messages[:0], nil
	a.pool.Put(p)
}

// bufferBytes is what is read from a connection at once.
const bufferBytes = 256 << 10

// buffer is memory that messages are read into. It is used again when all who hold it have released it.
type buffer struct {
	bytes   []byte
	holders atomic.Int32
	pool    *sync.Pool // nil: of an unusual size
}

// newBuffer is held by the caller.
func newBuffer(pool *sync.Pool, size int) *buffer {
	if size <= bufferBytes {
		if b, ok := pool.Get().(*buffer); ok {
			b.hold()
			return b
		}
		size = bufferBytes
	} else {
		pool = nil
	}
	b := &buffer{bytes: make([]byte, size), pool: pool}
	b.hold()
	return b
}

func (b *buffer) hold() { b.holders.Add(1) }

func (b *buffer) release() {
	if b.holders.Add(-1) == 0 && b.pool != nil {
		b.pool.Put(b)
	}
}

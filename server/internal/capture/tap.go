package capture

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// tap is a connection of nats.go from which messages are taken before nats.go sees them: it connects, proves who we are, subscribes
// and comes back; messages go from the socket to the dispatcher, without a copy and without an allocation each. What is no message is
// nats.go's to read, after all messages that came before it have been handed on.
type tap struct {
	net.Conn
	stream  io.ReadWriter // Conn, or TLS over it
	gate    *gate
	into    *arrivals
	listens *listening
	pool    *sync.Pool // of buffers
	largest int        // message

	ended sync.Once

	// What follows belongs to whoever reads.
	buffer   *buffer
	from, to int    // of the buffer: read, and not a whole frame yet
	need     int    // bytes of the frame that begins at from, as far as is known
	rest     []byte // for nats.go
}

// tap makes one.
func (d *dispatcher) tap(conn net.Conn, config *Config) spoken {
	d.gate.confirmed.CompareAndSwap(0, d.gate.now().UnixNano()) // nothing is subscribed to
	return &tap{
		Conn: conn, stream: conn, gate: d.gate, into: d.arrivals, listens: d.listens, pool: &d.buffers, largest: int(config.MaxMessageBytes),
	}
}

// over is called before anything is read or written.
func (t *tap) over(stream io.ReadWriter) { t.stream = stream }

// leastRead is how many bytes a read asks for at least.
const leastRead = 16 << 10

// Read waits at the gate first. It returns what is not a message.
func (t *tap) Read(b []byte) (int, error) {
	for len(t.rest) == 0 {
		t.gate.pass()
		if err := t.fill(); err != nil {
			t.end()
			return 0, err
		}
		if err := t.split(); err != nil {
			t.end()
			return 0, err
		}
	}
	n := copy(b, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// fill reads more. Where it read before belongs to messages that may wait.
func (t *tap) fill() error {
	if t.buffer == nil || len(t.buffer.bytes)-t.to < leastRead || len(t.buffer.bytes)-t.from < t.need {
		next := newBuffer(t.pool, max(t.need, t.to-t.from+leastRead))
		if t.buffer != nil {
			t.to = copy(next.bytes, t.buffer.bytes[t.from:t.to])
			t.buffer.release()
		}
		t.buffer, t.from = next, 0
	}
	n, err := t.stream.Read(t.buffer.bytes[t.to:])
	if n > 0 {
		t.to += n
		t.gate.read.Store(t.gate.now().UnixNano())
		return nil // an error comes again
	}
	return err
}

// split hands the whole messages in the buffer on, and keeps what is not one for nats.go.
func (t *tap) split() (err error) {
	var f frame
	last, to := int64(-1), (*route)(nil)
	arrived := t.into.parcel()
	t.rest = t.rest[:0]
	for t.from < t.to {
		var n int
		if n, t.need, err = f.cut(t.buffer.bytes[t.from:t.to], t.largest); n == 0 {
			break
		}
		t.from += n
		if f.line != nil {
			t.rest = append(t.rest, f.line...)
			if f.line[0] == '-' {
				t.listens.refusal(f.line, t.gate.now().UnixNano())
			}
			continue
		}
		if f.sid != last {
			last, to = f.sid, t.listens.of(f.sid)
		}
		if to != nil {
			arrived.messages = append(arrived.messages, message{route: to, subject: f.subject, reply: f.reply, header: f.header, data: f.data})
		}
	}
	if len(arrived.messages) > 0 {
		t.into.add(arrived, t.buffer)
	} else {
		t.into.release(arrived)
	}
	return err
}

// Write sends what nats.go says, which is whole lines.
func (t *tap) Write(b []byte) (int, error) {
	if err := t.listens.sent(b); err != nil && !mutant("capture-subscriptions-unchecked") {
		return 0, fmt.Errorf("subscribing: %w; this version of nats.go is not understood", err)
	}
	return t.stream.Write(b)
}

func (t *tap) Close() error {
	t.end()
	return t.Conn.Close()
}

// end tells, once, until when everything that was published was read.
func (t *tap) end() {
	t.ended.Do(func() {
		if t.gate.onEnd != nil {
			t.gate.onEnd(t.gate.confirmed.Load()-int64(transit), t.gate.held())
		}
	})
}

package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// errAway says that what is to go out cannot.
var errAway = errors.New("there is no connection to NATS")

// wire is the connection of nats.go that goes out, with a second way into it: commands that are made elsewhere go between those of
// nats.go, which writes whole ones. So a message that is fanned out costs no copy in nats.go, no map of headers and no lock of
// its own.
type wire struct {
	net.Conn

	mu     sync.Mutex
	stream io.ReadWriter // Conn, or TLS over it; written to with mu held
	open   bool          // NATS knows who we are: it has answered a PING; guarded by mu

	heard []byte // the line that is being read, as far as it matters, until NATS has answered; of who reads
	known bool   // it has; of who reads
}

// pong is how NATS answers a PING. The first one comes after a login that it has accepted.
const pong = "PONG\r"

func (s *Source) newWire(conn net.Conn, _ *Config) spoken {
	w := &wire{Conn: conn, stream: conn}
	s.wire.Store(w)
	return w
}

// over is called before anything is read or written.
func (w *wire) over(stream io.ReadWriter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stream = stream
}

// Read looks out for the first answer of NATS to a PING, which may come in any pieces.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.stream.Read(b)
	for i := 0; i < n && !w.known; i++ {
		switch {
		case b[i] != '\n':
			if len(w.heard) <= len(pong) {
				w.heard = append(w.heard, b[i])
			}
		case string(w.heard) == pong:
			w.known = true
			w.mu.Lock()
			w.open = true
			w.mu.Unlock()
		default:
			w.heard = w.heard[:0]
		}
	}
	return n, err
}

// Write sends what nats.go says.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\r\n")) {
		return 0, fmt.Errorf("nats.go writes half a command; this version of it is not understood: %.80q", b)
	}
	return w.write(b)
}

// send sends whole commands between those of nats.go.
func (w *wire) send(commands []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open && !mutant("capture-sends-before-connect") {
		return errAway
	}
	_, err := w.write(commands)
	return err
}

// partBytes is how much NATS must read within signTimeout.
const partBytes = 64 << 10

// write writes part by part. The caller holds mu. What has gone out in part cannot be completed: the connection is given up, and
// nats.go makes another.
func (w *wire) write(b []byte) (written int, err error) {
	for part := range slices.Chunk(b, partBytes) {
		n := 0
		if err = w.Conn.SetWriteDeadline(time.Now().Add(signTimeout)); err == nil {
			n, err = w.stream.Write(part)
		}
		if written += n; err != nil {
			w.open = false
			_ = w.Close()
			break
		}
	}
	return written, err
}

// SetDeadline is for nats.go, and moves the end of reading alone: each write has its own.
func (w *wire) SetDeadline(t time.Time) error { return w.SetReadDeadline(t) }

// SetWriteDeadline is for nats.go, and does nothing.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
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

	mu        sync.Mutex
	stream    io.ReadWriter // Conn, or TLS over it; written to with mu held
	connected bool          // nats.go has said CONNECT; guarded by mu
	open      bool          // and asked whether that was understood: anything may follow; guarded by mu
}

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

func (w *wire) Read(b []byte) (int, error) { return w.stream.Read(b) }

// Write sends what nats.go says.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case bytes.HasPrefix(b, []byte("CONNECT ")):
		w.connected = true
	case w.connected && bytes.HasPrefix(b, []byte("PING")):
		defer func() { w.open = true }()
	case len(b) > 0 && !bytes.HasSuffix(b, []byte("\r\n")):
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

// write writes with the time that NATS may take to read it. The caller holds mu. What has gone out in part cannot be completed: the
// connection is given up, and nats.go makes another.
func (w *wire) write(b []byte) (int, error) {
	if err := w.Conn.SetWriteDeadline(time.Now().Add(signTimeout)); err != nil {
		return 0, err
	}
	n, err := w.stream.Write(b)
	if err != nil {
		w.open = false
		_ = w.Close()
	}
	return n, err
}

// SetWriteDeadline is for nats.go, and does nothing: each write has its own.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
